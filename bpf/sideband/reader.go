package sideband

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/ring"
	"github.com/staccato-profiler/staccato/bpf/without"
)

// Config says how to read. The zero value of each field is its default.
type Config struct {
	// Pages is the size of each CPU's ring in memory pages, a power of two;
	// default 64.
	Pages int
	// MaxMappings is how many mappings of one process a Drain hands over; default
	// 256. A [Many] stands for the others: some processes map and unmap without end.
	// When there were more, it stands for all of the next Drain's.
	MaxMappings int
	// CPUs are the CPUs to begin with; default those that are online.
	CPUs []int
	// NoBuildID does not ask for build IDs, as on kernels before 5.12. For
	// tests of what such kernels give.
	NoBuildID bool
}

// symbolPages is the size of the rings for the kernel's symbols.
const symbolPages = 4

// Reader holds events and their rings for each CPU. Its methods must not be
// called at the same time.
type Reader struct {
	optional    uint64
	maxMappings int
	rings       *ring.Set
	// symbols has the kernel's symbols, since all of them must be read again when
	// news of them are lost: no process can fill these rings.
	symbols *ring.Set
	pending []Record
	// mapped are the mappings of each process since the last Drain, and last is the
	// one that was looked up last.
	mapped map[uint32]*mapped
	last   *mapped
	// unknown and malformed count records that Parse did not take.
	unknown, malformed uint64
}

// mapped counts a process's mappings.
type mapped struct {
	count, most int  // handed over: most
	many        Many // those beyond
}

// Open begins to record on every CPU. It needs CAP_PERFMON, or a
// perf_event_paranoid sysctl below 1.
func Open(config Config) (*Reader, error) {
	if config.Pages == 0 {
		config.Pages = 64
	}
	if config.Pages < 1 || config.Pages&(config.Pages-1) != 0 {
		return nil, fmt.Errorf("ring of %d pages: not a power of two", config.Pages)
	}
	cpus := config.CPUs
	if cpus == nil {
		var err error
		if cpus, err = onlineCPUs(); err != nil {
			return nil, fmt.Errorf("list CPUs: %w", err)
		}
	}
	if len(cpus) == 0 {
		return nil, errors.New("no CPUs to record on")
	}
	optional, err := probe(cpus[0], config.NoBuildID || without.Set(without.BuildID))
	if err != nil {
		return nil, err
	}
	if config.MaxMappings <= 0 {
		config.MaxMappings = 256
	}
	set := func(pages int, bits uint64) *ring.Set {
		return ring.NewSet(pages, func(cpu int) (int, error) { return openEvent(cpu, bits) })
	}
	r := &Reader{
		optional: optional, maxMappings: config.MaxMappings,
		rings:   set(config.Pages, processBits|optional&^bitKsymbol),
		symbols: set(symbolPages, symbolBits),
		mapped:  make(map[uint32]*mapped),
	}
	if err := r.SyncCPUs(cpus); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// BuildIDs says whether the kernel puts build IDs into [Mmap] records.
func (r *Reader) BuildIDs() bool { return r.optional&bitBuildID != 0 }

// Symbols says whether the kernel writes [Symbol] records.
func (r *Reader) Symbols() bool { return r.optional&bitKsymbol != 0 }

// Skipped returns how many records were of an unknown type, and how many
// pieces of a ring did not hold what the format asks for.
func (r *Reader) Skipped() (unknown, malformed uint64) { return r.unknown, r.malformed }

// SyncCPUs follows CPUs that came or went: afterwards the reader records on
// exactly those given, without any that went offline in the meantime. Records
// of a CPU that left are kept for the next Drain.
func (r *Reader) SyncCPUs(online []int) error {
	last := func(_ int, gone *ring.Ring) { r.collect(gone, gone.Head(), 1<<64-1) }
	if err := r.rings.Sync(online, last); err != nil || !r.Symbols() {
		return err
	}
	return r.symbols.Sync(online, last)
}

// Drain calls handle for every record written before the call, ordered by
// time. What one process does on one CPU and then on another comes in that
// order across calls, too: a record from after the call's begin waits for the
// next call, because one that led to it may sit unseen in a ring that has been
// looked at already.
func (r *Reader) Drain(handle func(Record)) error {
	now, err := monotonic()
	if err != nil {
		return fmt.Errorf("read clock: %w", err)
	}
	r.rings.Each(func(_ int, from *ring.Ring) { r.collect(from, from.Head(), now) })
	processes := len(r.pending)
	r.symbols.Each(func(_ int, from *ring.Ring) { r.collect(from, from.Head(), now) })
	for i, record := range r.pending[processes:] {
		if lost, ok := record.(Lost); ok {
			lost.Symbols = true
			r.pending[processes+i] = lost
		}
	}
	for pid, m := range r.mapped {
		if m.many.Count > 0 {
			r.pending = append(r.pending, m.many)
		}
		if m.count <= r.maxMappings {
			delete(r.mapped, pid)
			continue
		}
		*m = mapped{many: Many{PID: pid}}
	}
	r.last = nil
	slices.SortStableFunc(r.pending, func(a, b Record) int { return cmp.Compare(a.When(), b.When()) })
	for _, record := range r.pending {
		handle(record)
	}
	clear(r.pending)
	r.pending = r.pending[:0]
	return nil
}

// collect parses the records before head up to a time into r.pending.
func (r *Reader) collect(from *ring.Ring, head, until uint64) {
	err := from.Consume(head, func(raw []byte) bool {
		if pid, time, ok := mappingOf(raw); ok && time <= until {
			m := r.of(pid)
			if m.count++; m.count > m.most {
				m.many.Time = max(time, m.many.Time)
				m.many.Count++
				return true
			}
		}
		record, err := Parse(raw)
		switch {
		case errors.Is(err, ErrUnknownType):
			r.unknown++
		case err != nil:
			r.malformed++
		case record.When() > until:
			return false
		default:
			r.pending = append(r.pending, record)
		}
		return true
	})
	if err != nil {
		r.malformed++
	}
}

// of returns the count of a process's mappings. Whoever has many of them mostly has
// the next one, too.
func (r *Reader) of(pid uint32) *mapped {
	if r.last != nil && r.last.many.PID == pid {
		return r.last
	}
	m := r.mapped[pid]
	if m == nil {
		m = &mapped{most: r.maxMappings, many: Many{PID: pid}}
		r.mapped[pid] = m
	}
	r.last = m
	return m
}

// Close stops recording. Records not drained are gone.
func (r *Reader) Close() error {
	r.pending = nil
	return errors.Join(r.rings.Close(), r.symbols.Close())
}

func monotonic() (uint64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, err
	}
	return uint64(t.Nano()), nil
}

func onlineCPUs() ([]int, error) {
	text, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return nil, err
	}
	return parseCPUs(string(text))
}
