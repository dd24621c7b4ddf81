package agent

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent/process"
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/sideband"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// processes feeds the table of processes with the kernel's news, and gives
// sampled frames their executables. It is a bpf.Normalizer.
type processes struct {
	sampler *bpf.Sampler
	table   *process.Table
	tables  *tables
	side    *sideband.Reader
	wanted  map[uint32]bool // nil: every process
	follow  bool
	ended   map[uint32]uint64 // when wanted processes ended that the filter still accepts
	pending []event
	hadNews bool // in the last update
	flooded bool // in the last update more came than there was room for
	// strangers are processes that samples know and the table does not.
	strangers map[processKey]*staccato.Process
	counts    processCounts
}

type processKey struct {
	pid        uint32
	generation uint64
}

// processCounts count what went wrong with the news, since the start.
type processCounts struct {
	LostRecords, LostNotices uint64
}

// event is one piece of news, from either source.
type event struct {
	time   uint64
	record sideband.Record // nil: a notice
	notice bpf.Notice
}

func openProcesses(s *bpf.Sampler, store *native.Store, target Target) (*processes, error) {
	p := &processes{sampler: s, follow: !target.NoInherit, strangers: make(map[processKey]*staccato.Process)}
	cfg := process.Config{Uploader: s.Tables, ChunkFreed: func(chunk uint32) { p.tables.freed(chunk) }}
	if len(target.PIDs) > 0 {
		p.wanted, p.ended = make(map[uint32]bool), make(map[uint32]uint64)
		for _, pid := range target.PIDs {
			p.wanted[uint32(pid)] = true
		}
		cfg.Wants = func(pid uint32) bool { return p.wanted[pid] }
	}
	var err error
	if p.table, err = process.New(cfg); err != nil {
		return nil, err
	}
	p.tables = newTables(store, p.table)
	if p.side, err = sideband.Open(sideband.Config{}); err != nil {
		p.tables.close()
		p.table.Close()
		return nil, bpf.Permission("open side-band events", err)
	}
	// The records of the processes we came for begin here. A command may end
	// before it is looked at the first time.
	for _, pid := range target.PIDs {
		p.table.Adopt(uint32(pid))
	}
	return p, nil
}

func (p *processes) close() {
	p.side.Close()
	p.tables.close()
	p.table.Close()
}

// update takes in the news up to now, in order of time over both sources, and
// tells the kernel side about the processes that changed. symbols is called
// with news of the kernel's own symbols, or nil when some were lost.
func (p *processes) update(symbols func(*sideband.Symbol)) error {
	// What comes in while we read may lack what led to it: it waits.
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return err
	}
	until := uint64(now.Nano())
	p.flooded = false
	if err := p.side.Drain(func(r sideband.Record) {
		p.pending = append(p.pending, event{time: r.When(), record: r})
	}); err != nil {
		return err
	}
	if err := p.sampler.Notices.Drain(func(n bpf.Notice) {
		p.pending = append(p.pending, event{time: n.Time, notice: n})
	}); err != nil {
		return err
	}
	slices.SortStableFunc(p.pending, func(a, b event) int { return cmp.Compare(a.time, b.time) })
	done := 0
	for done < len(p.pending) && p.pending[done].time <= until {
		if e := &p.pending[done]; e.record != nil {
			p.takeRecord(e.record, symbols)
		} else {
			p.takeNotice(e.notice)
		}
		done++
	}
	p.pending = slices.Delete(p.pending, 0, done)
	p.hadNews = done > 0
	if lost := p.sampler.Notices.Lost(); lost > p.counts.LostNotices {
		p.counts.LostNotices = lost
		p.table.Rescan()
	}
	for pid, end := range p.ended {
		if until > end+keepEnded {
			delete(p.ended, pid)
			if err := p.sampler.Unwant(int(pid)); err != nil {
				return err
			}
		}
	}
	return p.table.Flush()
}

// followCPUs takes over which CPUs are sampled. What new ones had to tell before
// now is lost.
func (p *processes) followCPUs(change *bpf.CPUChange, symbols func(*sideband.Symbol)) error {
	// Those that went and came back have new rings, too.
	for _, cpus := range [][]int{change.Stayed, change.Now} {
		if err := p.side.SyncCPUs(cpus); err != nil {
			return err
		}
	}
	p.table.Rescan()
	symbols(nil)
	return nil
}

// keepEnded is how long, in nanoseconds, processes are still sampled after
// their end was told: giving back their memory takes some 0.1 s per GiB.
const keepEnded = 10e9

func (p *processes) takeRecord(r sideband.Record, symbols func(*sideband.Symbol)) {
	switch r := r.(type) {
	case sideband.Mmap:
		p.table.Mmap(r)
	case sideband.Many:
		p.flooded = true
		p.table.Many(r)
	case sideband.Comm:
		p.table.Comm(r)
	case sideband.Symbol:
		symbols(&r)
	case sideband.Lost:
		p.counts.LostRecords += r.Count
		if r.Symbols {
			symbols(nil)
			break
		}
		p.flooded = true
		p.table.Rescan()
	}
}

func (p *processes) takeNotice(n bpf.Notice) {
	switch n.Type {
	case bpf.NoticeFork:
		delete(p.ended, n.PID) // the number is in use again
		if p.wanted != nil && p.follow && p.wanted[n.Parent] {
			p.wanted[n.PID] = true
		}
		p.table.Fork(n.Parent, n.PID, n.Generation, n.Time)
	case bpf.NoticeExec:
		p.table.Exec(n.PID, n.Generation, n.Time)
	case bpf.NoticeExit:
		p.table.Exit(n.PID, n.Generation, n.Time)
		if p.wanted[n.PID] {
			delete(p.wanted, n.PID)
			p.ended[n.PID] = n.Time
		}
	case bpf.NoticeUnknown:
		p.table.Unknown(n.PID, n.Generation, n.Time)
	case bpf.NoticeTable:
		p.tables.ask(n)
	case bpf.NoticeMiss:
		p.table.Miss(n.PID, n.Generation, n.Address, n.Time)
	}
}

// windowRead says that a window's samples have been taken.
func (p *processes) windowRead() {
	p.table.WindowRead()
	p.tables.windowRead()
	clear(p.strangers)
}

// Process implements bpf.Normalizer.
func (p *processes) Process(pid uint32, generation uint64, comm string) *staccato.Process {
	if i := p.table.Image(pid, generation); i != nil {
		return i.Process
	}
	k := processKey{pid, generation}
	if s := p.strangers[k]; s != nil {
		return s
	}
	s := &staccato.Process{PID: int(pid), Generation: generation, Name: comm}
	if pid == 0 && comm == "" {
		s.Name = "[idle]"
	}
	p.strangers[k] = s
	return s
}

// Chunk implements bpf.Normalizer.
func (p *processes) Chunk(chunk, offset uint32) (*staccato.Mapping, uint64, bool) {
	return p.table.Frame(chunk, offset)
}

// Address implements bpf.Normalizer.
func (p *processes) Address(pid uint32, generation, address uint64) (*staccato.Mapping, uint64, bpf.Where) {
	i := p.table.Image(pid, generation)
	if i == nil {
		return nil, 0, bpf.Unknown
	}
	m, elf, found := i.Lookup(address)
	switch found {
	case process.File:
		return m, elf, bpf.InFile
	case process.Anonymous:
		return m, 0, bpf.Anonymous
	case process.Contested:
		return nil, 0, bpf.Unknown // better no name than another library's
	}
	return nil, 0, bpf.Unmapped
}

// executable is the path of a process's program as far as it is known.
func (p *processes) executable(pid int) string {
	for _, s := range p.strangers {
		if s.PID == pid {
			return s.Executable
		}
	}
	return ""
}
