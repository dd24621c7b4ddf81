package process

import (
	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent/limit"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

// Table holds the live processes and, for as long as samples may refer to them,
// those that ended.
//
// Events must come in order of time. Times are nanoseconds of CLOCK_MONOTONIC.
// A generation identifies one program image of a PID: it is when the process
// began (the kernel's start_boottime) with its low 10 bits replaced by a count
// of execs. Records of the kernel's side band have no generation: an exec shows
// first as [Table.Comm], then as [Table.Mmap] of the new program, and then
// [Table.Exec] says what its generation is.
//
// All methods must be called from one goroutine; only the files of mappings may
// be read and released at any time.
type Table struct {
	config      Config
	executables *executables
	now         func() uint64 // CLOCK_MONOTONIC

	live map[uint32]*Image // by PID
	byID map[imageID]*Image
	// retired images ended and wait until no window can refer to them.
	retired []*Image
	changed map[*Image]struct{} // to upload
	gone    map[uint32]struct{} // PIDs whose upload is to be removed
	rescan  []*Image            // see Rescan
	// rescanAgain asks for another Rescan after the one that is under way.
	rescanAgain bool
	rescans     limit.Budget
	// behind are images that map too often: their mappings are read anew when
	// they have time for that again.
	behind map[*Image]struct{}
	users  *limit.Users
	took   func(work func()) uint64 // CPU time
	cpu    func() uint64            // CPU time of the thread so far
	// changedPlaces are images that remember former regions.
	changedPlaces map[*Image]struct{}

	mappings int // in all images; shared ones count for each
	// generating is how many processes have code without a file.
	generating int
	stats      Stats
}

type imageID struct {
	pid        uint32
	generation uint64
}

// New returns an empty table.
func New(config Config) (*Table, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	roots, err := newRoots()
	if err != nil {
		return nil, err
	}
	t := &Table{
		config:      config,
		executables: newExecutables(config, roots),
		now:         limit.Now,
		live:        map[uint32]*Image{},
		byID:        map[imageID]*Image{},
		changed:     map[*Image]struct{}{},
		gone:        map[uint32]struct{}{},
		behind:      map[*Image]struct{}{},

		changedPlaces: map[*Image]struct{}{},
	}
	t.rescans = limit.New(rescanRate, t.now())
	t.users = limit.NewUsers(userRate, usersRate, t.now())
	t.took, t.cpu = limit.Took, limit.ThreadTime
	return t, t.executables.addVDSO()
}

// Image returns the image of a process, nil when it is not known. It is found
// until two windows after its end.
func (t *Table) Image(pid uint32, generation uint64) *Image {
	return t.byID[imageID{pid, generation}]
}

// Frame returns the executable and the address in it for a frame that was
// normalized at capture. ok is false for a chunk that is not in use.
func (t *Table) Frame(chunk, offset uint32) (m *staccato.Mapping, address uint64, ok bool) {
	return t.executables.frame(chunk, offset)
}

// Chunk returns the executable behind a chunk and where in its file the chunk
// begins. ok is false for a chunk that is not in use.
func (t *Table) Chunk(chunk uint32) (m *staccato.Mapping, offset uint64, ok bool) {
	return t.executables.piece(chunk)
}

// User returns the effective user of a process, limit.Nobody when it is not known.
func (t *Table) User(pid uint32, generation uint64) uint32 {
	if i := t.Image(pid, generation); i != nil {
		return i.user
	}
	return nobody
}

// Chunks returns the chunks of a process that the kernel side knows; none of one
// that maps too often: it will soon have others.
func (t *Table) Chunks(pid uint32, generation uint64) []uint32 {
	i := t.Image(pid, generation)
	if i == nil {
		return nil
	}
	if _, behind := t.behind[i]; behind {
		return nil
	}
	var list []uint32
	for _, entry := range i.regions.entries(t.executables) {
		if entry.Chunk != 0 {
			list = append(list, entry.Chunk)
		}
	}
	return list
}

// ReleaseFile closes the file of a mapping, whose symbols have been read. It
// may be called from any goroutine; reads fail with ErrReleased from then on.
func (t *Table) ReleaseFile(m *staccato.Mapping) {
	if f, ok := m.File.(*file); ok {
		f.close()
	}
}

// WindowRead says that the samples of one window have been read. What ended
// before the last two windows is forgotten, and its numbers are used again.
func (t *Table) WindowRead() {
	t.executables.windowRead()
	window := t.executables.window
	t.users.Forget(t.now())
	for i := range t.changedPlaces {
		if i.forgetFormer(window); len(i.contested) > 0 && !i.exited {
			t.changed[i] = struct{}{} // the places may be calm again
		}
		if len(i.former) == 0 {
			delete(t.changedPlaces, i)
		}
	}
	n := 0
	for n < len(t.retired) && window-t.retired[n].retiredAt >= minIdleWindows {
		t.forget(t.retired[n])
		n++
	}
	clear(t.retired[:n])
	t.retired = t.retired[n:]
}

// Close closes all files.
func (t *Table) Close() {
	for _, e := range t.executables.byFile {
		e.file.close()
	}
	for _, i := range t.live {
		t.setGenerated(i, nil)
	}
	for _, i := range t.retired {
		t.setGenerated(i, nil)
	}
	t.executables.roots.own.release()
}

func (t *Table) wants(pid uint32) bool { return t.config.Wants == nil || t.config.Wants(pid) }

// begin makes a new image the live one of its PID. It returns nil when there
// is no room.
func (t *Table) begin(p staccato.Process) *Image {
	pid := uint32(p.PID)
	if old := t.live[pid]; old != nil {
		t.retire(old)
	}
	if len(t.live)+len(t.retired) >= t.config.MaxImages {
		t.stats.ImagesBeyond++
		return nil
	}
	i := &Image{Process: &p, table: t, regions: &regions{users: 1}, user: nobody, work: limit.New(processRate, t.now())}
	t.live[pid] = i
	t.index(i)
	return i
}

// index makes an image known under its generation.
func (t *Table) index(i *Image) {
	if i.generation() != 0 {
		t.byID[imageID{i.pid(), i.generation()}] = i
	}
}

// identify sets the generation of an image.
func (t *Table) identify(i *Image, generation uint64) {
	if i.generation() == generation {
		return
	}
	t.unindex(i)
	i.update(func(p *staccato.Process) { p.Generation = generation })
	t.index(i)
	t.changed[i] = struct{}{}
}

func (t *Table) unindex(i *Image) {
	id := imageID{i.pid(), i.generation()}
	if t.byID[id] == i {
		delete(t.byID, id)
	}
}

// retire ends an image.
func (t *Table) retire(i *Image) {
	i.exited = true
	i.retiredAt = t.executables.window
	if t.live[i.pid()] == i {
		delete(t.live, i.pid())
	}
	delete(t.changed, i)
	delete(t.behind, i)
	if i.uploaded {
		t.gone[i.pid()] = struct{}{}
	}
	if i.generation() == 0 {
		t.forget(i) // nothing can refer to it
		return
	}
	t.retired = append(t.retired, i)
}

func (t *Table) forget(i *Image) {
	t.unindex(i)
	i.setRegions(&regions{users: 1})
	t.setGenerated(i, nil)
}

// discardScan drops what was read of a process that has called exec before the
// end of the reading: it may be of the new program.
func (t *Table) discardScan(i *Image, exec uint64) {
	if i.scannedEnd == 0 || exec > i.scannedEnd {
		return
	}
	t.stats.Discarded++
	t.discardCopies(i.regions)
	i.setRegions(&regions{users: 1})
	i.complete = false
	i.code = programCode{}
	i.update(func(p *staccato.Process) {
		*p = staccato.Process{PID: p.PID, Generation: p.Generation, Container: p.Container}
	})
}

// discardCopies drops regions from the images that have them by fork: all of
// these forks came before the exec.
func (t *Table) discardCopies(read *regions) {
	if read.users == 1 {
		return
	}
	drop := func(i *Image) {
		if i.regions != read {
			return
		}
		i.setRegions(&regions{users: 1})
		i.complete = false
		if i.uploaded {
			i.uploaded = false
			t.gone[i.pid()] = struct{}{}
		}
	}
	for _, i := range t.live {
		drop(i)
	}
	for _, i := range t.retired {
		drop(i)
	}
}

// maxOffset is the greatest offset in a file that code is mapped from: chunk
// numbers stand for pieces that 32 bits can number.
const maxOffset = 1 << 53

// regionOf turns a mapping into a region; ok is false for special ones that
// are no code of the process.
func (t *Table) regionOf(d *procDir, w wanted, offset uint64) (r region, ok bool) {
	r = region{start: w.start, end: w.end, offset: offset}
	// Ends in the kernel's half, or offsets no file can have, are made up.
	if w.start >= w.end || w.end > 1<<63 || offset > maxOffset {
		return r, false
	}
	switch kindOf(w.path) {
	case special:
		return r, false
	case fileKind:
		r.executable = t.executables.find(d, w)
	case vdsoKind:
		r.offset = 0
		// Processes of 32 bits have another vDSO, and live below 4 GiB.
		if r.executable = t.executables.vdso; r.executable == nil || w.end <= 1<<32 {
			r.executable = t.executables.refuse(w, reasonVDSO)
		}
	}
	if r.executable != nil && r.executable.code {
		r.executable = nil
	}
	if r.executable == nil {
		r.offset = 0
	}
	return r, true
}

// Mmap takes a record of an executable mapping.
func (t *Table) Mmap(m sideband.Mmap) {
	if int32(m.PID) <= 0 {
		return // a process that is gone, or in another PID namespace
	}
	i := t.live[m.PID]
	if i == nil || !i.complete {
		t.missed(m.PID)
		if i = t.live[m.PID]; i == nil || !i.complete {
			return
		}
	}
	if m.Time <= i.scanned {
		return
	}
	path, _ := cutDeleted(m.Path)
	if i.fromExec && i.Process.Executable == "" && kindOf(m.Path) == fileKind {
		// The kernel maps the program before its interpreter.
		i.update(func(p *staccato.Process) { p.Executable = asText(path) })
	}
	if !t.wants(m.PID) {
		i.complete = false
		return
	}
	w := wanted{
		start: m.Addr, end: m.Addr + m.Len, path: path,
		major: m.Maj, minor: m.Min, inode: m.Inode, buildID: m.BuildID, time: m.Time,
	}
	r, ok := t.lookUp(i, w, m.Offset)
	switch {
	case !ok:
	case i.regions.has(r):
		i.regions.found(r)
	default:
		i.replace(r, m.Time)
		t.changed[i] = struct{}{}
		if r.executable == nil {
			t.generates(i, nil)
		}
	}
}

// Many says that a process has mapped so much that the records were not looked at.
func (t *Table) Many(m sideband.Many) {
	i := t.live[m.PID]
	if i == nil || !i.complete {
		t.missed(m.PID)
		return
	}
	if m.Time > i.scanned && t.wants(m.PID) {
		t.stats.LookupsDeferred += m.Count
		t.behind[i] = struct{}{}
	}
}

// lookUp turns a mapping that was just made into a region. Processes may map and
// unmap without end: those that take too much time get no more of their files than
// the kernel said of them, until their mappings are read anew.
func (t *Table) lookUp(i *Image, w wanted, offset uint64) (region, bool) {
	kind := kindOf(w.path)
	if w.buildID != "" {
		if r, ok := i.regions.again(w, offset); ok {
			return r, true
		}
	}
	if kind != fileKind && (kind != anonymous || !i.mayHold(w) || !t.mayLook(i)) {
		return t.regionOf(nil, w, offset)
	}
	if !t.mayLook(i) {
		if t.executables.known(w) == nil {
			t.stats.LookupsDeferred++
			t.behind[i] = struct{}{}
		}
		if w.end <= w.start || w.end > 1<<63 || offset > maxOffset {
			return region{}, false
		}
		return t.tooOften(w, offset), true
	}
	var r region
	var ok bool
	t.look(i, func() {
		d, err := openProcDir(t.config.Proc, i.pid())
		if err == nil {
			defer d.close()
			i.user = d.user()
		}
		if r, ok = t.regionOf(d, w, offset); ok && err == nil && r.executable == nil {
			r = t.moved(i, d, r)
		}
	})
	return r, ok
}

// tooOften is a region whose file is not looked for: it has the executable that was
// seen under this path and build ID, or no more than the kernel has said.
func (t *Table) tooOften(w wanted, offset uint64) region {
	e := t.executables.known(w)
	if e == nil {
		e = t.executables.refuse(w, reasonTooOften)
	}
	return region{start: w.start, end: w.end, offset: offset, executable: e}
}

type pathKind int

const (
	fileKind pathKind = iota
	anonymous
	vdsoKind
	special
)

// kindOf tells the kernel's names of mappings from paths. Paths begin with "/",
// or with "(unreachable)" when the process has no way to them.
func kindOf(path string) pathKind {
	switch path {
	case staccato.VDSOPath:
		return vdsoKind
	case "[vsyscall]", "[uprobes]", "[vectors]", "[sigpage]":
		return special
	case "/dev/zero", "//anon", "/anon_hugepage", "":
		return anonymous
	}
	if path[0] == '/' || path[0] == '(' {
		return fileKind
	}
	return anonymous
}
