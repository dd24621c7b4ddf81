package process

import (
	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

// Fork says that a process was made. It begins with its parent's mappings.
func (t *Table) Fork(parent, child uint32, childGeneration, time uint64) {
	p := staccato.Process{PID: int(child), Generation: childGeneration}
	if t.live[parent] == nil && parent != 0 && parent != child {
		// The child may be gone before anyone can look at it; its parent less so.
		t.Adopt(parent)
	}
	from := t.live[parent]
	if from != nil {
		p.Name, p.Executable, p.Container = from.Process.Name, from.Process.Executable, from.Process.Container
	}
	i := t.begin(p)
	if i == nil || from == nil || !from.complete || child == parent {
		return
	}
	if t.mappings+len(from.regions.list) > t.config.MaxAllMappings {
		t.stats.MappingsBeyond += uint64(len(from.regions.list))
		return
	}
	from.regions.users++
	i.setRegions(from.regions)
	t.setGenerated(i, from.generated)
	i.complete = true
	i.described = from.described
	i.user = from.user
	t.changed[i] = struct{}{}
}

// Comm takes a record of a new command name; with an exec it begins a new
// image.
func (t *Table) Comm(c sideband.Comm) {
	if int32(c.PID) <= 0 {
		return
	}
	i := t.live[c.PID]
	if !c.Exec {
		if i != nil && c.TID == c.PID {
			i.update(func(p *staccato.Process) { p.Name = asText(c.Name) })
		}
		return
	}
	p := staccato.Process{PID: int(c.PID), Name: asText(c.Name)}
	if i != nil {
		t.discardScan(i, c.Time)
		p.Container = i.Process.Container
	}
	if i = t.begin(p); i != nil {
		i.fromExec, i.complete = true, true
	}
}

// Exec says that a process called exec, and what its generation is since.
func (t *Table) Exec(pid uint32, generation, time uint64) {
	i := t.live[pid]
	switch {
	case i == nil:
		t.begin(staccato.Process{PID: int(pid), Generation: generation})
	case i.fromExec && !i.confirmed:
		t.identify(i, generation)
		i.confirmed = true
	case i.generation() == generation:
		i.confirmed = true
	case i.generation() == 0 && i.scanned > time:
		// All that is known of it was read after this exec.
		t.identify(i, generation)
	case i.generation() == 0 || newer(generation, i.generation()):
		// The record of the exec was lost, so those of its mappings may be, too.
		t.discardScan(i, time)
		container := i.Process.Container
		t.begin(staccato.Process{PID: int(pid), Generation: generation, Container: container})
	}
}

// Exit says that a process ended.
func (t *Table) Exit(pid uint32, generation, time uint64) {
	i := t.live[pid]
	if i == nil || i.generation() != 0 && newer(i.generation(), generation) && !i.unsure() {
		return
	}
	if i.generation() == 0 || i.unsure() {
		t.identify(i, generation)
	}
	t.retire(i)
}

// unsure says that the generation is not what an exec was told to have led to.
func (i *Image) unsure() bool { return i.fromExec && !i.confirmed }

// Unknown says that a process was sampled whose entries the kernel side does
// not have.
func (t *Table) Unknown(pid uint32, generation, time uint64) {
	i := t.Image(pid, generation)
	if i != nil && i.exited {
		return
	}
	if i == nil {
		i = t.live[pid]
		switch {
		case i == nil, i.generation() != 0 && newer(generation, i.generation()):
			i = t.begin(staccato.Process{PID: int(pid), Generation: generation})
		case i.generation() != 0:
			return // of an image that is gone
		case i.startTicks != 0 && !startedAt(generation, i.startTicks):
			i = t.begin(staccato.Process{PID: int(pid), Generation: generation})
		default:
			t.identify(i, generation)
		}
	}
	if i == nil || !t.wants(pid) {
		return
	}
	if !i.complete && t.now() >= i.nextScan {
		t.scan(i)
	}
	if i.complete && !i.exited {
		t.changed[i] = struct{}{}
	}
}

// Adopt begins to follow a process that was there before, or of which records
// were missed: its mappings are read at once. Without this they are read when
// it is first sampled, when it may be gone.
func (t *Table) Adopt(pid uint32) {
	if !t.wants(pid) {
		return
	}
	i := t.live[pid]
	if i == nil {
		i = t.begin(staccato.Process{PID: int(pid)})
	}
	if i != nil {
		t.scan(i)
	}
}

// missed is told of a record of a process that is not known, or not all of it.
func (t *Table) missed(pid uint32) {
	if i := t.live[pid]; i == nil || t.now() >= i.nextScan {
		t.Adopt(pid)
	}
}

// Miss says that a process was sampled at an address outside its entries: the
// record of a mapping was lost, or memory was moved. The process's mappings are
// read anew, but not too often.
func (t *Table) Miss(pid uint32, generation, addr, time uint64) {
	i := t.Image(pid, generation)
	if i == nil || !i.complete {
		t.Unknown(pid, generation, time)
		return
	}
	if i.exited || !t.wants(pid) || i.contests(addr) {
		return
	}
	if i.regions.at(addr) != nil {
		t.changed[i] = struct{}{} // found meanwhile, or its upload failed
		return
	}
	if t.now() < i.nextScan || !t.mayLook(i) {
		t.stats.Deferred++
		return
	}
	t.scan(i)
	i.delayScan(t.now())
}

// Rescan says that records were lost: what is known of any process may be out
// of date. Their mappings are read anew during the next calls of Flush, some in
// each; when records are lost all the time, that takes a while.
func (t *Table) Rescan() {
	if len(t.rescan) > 0 {
		t.rescanAgain = true
		return
	}
	for _, i := range t.live {
		if t.wants(i.pid()) {
			t.rescan = append(t.rescan, i)
		}
	}
}
