package bpf

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
)

const (
	processSlots   = 16384
	processProbes  = 16 // PROCESS_PROBES
	mappingEntries = 131072
	// maxMappings is 2^MAPPING_STEPS: what the kernel side can search.
	maxMappings = 1 << 14
	maxChunk    = 1<<24 - 1
	// deleted marks a slot that was used: probing goes on behind it.
	deleted = ^uint32(0)
)

// Tables are the executable mappings of processes for the kernel side: a hash
// table of processes and a pool of mapping entries, both in memory shared with
// the programs. There is one writer, us; a reader in the kernel may come at any
// time and must never see a half-written process.
type Tables struct {
	processes []layoutProcess
	mappings  []layoutMapping

	top  uint32              // entries of the pool handed out so far
	free [15][]uint32        // free blocks by log2 of size
	wait [2][]block          // freed blocks that a running program may still read
	own  map[uint32]location // by PID
}

type location struct {
	slot  int
	block block
}

type block struct {
	start uint32
	class int
}

// ErrTablesFull says that the kernel side has no room for more processes or
// mappings. Frames of the process are then stored as plain addresses.
var ErrTablesFull = errors.New("no room in the kernel side's tables")

// SetProcess gives the kernel side the executable mappings of a process,
// sorted by Start and not overlapping, in place of those it had.
func (t *Tables) SetProcess(pid uint32, generation uint64, entries []Entry) error {
	if pid == 0 || pid == deleted {
		return fmt.Errorf("set mappings of PID %d: not a PID", pid)
	}
	if len(entries) > maxMappings {
		return fmt.Errorf("set mappings of PID %d: %d entries: %w", pid, len(entries), ErrTablesFull)
	}
	for i, e := range entries {
		if e.Start >= e.End || e.Chunk > maxChunk || i > 0 && e.Start < entries[i-1].End {
			return fmt.Errorf("set mappings of PID %d: bad entry %d: %+v", pid, i, e)
		}
	}
	b, err := t.allocate(len(entries))
	if err != nil {
		return fmt.Errorf("set mappings of PID %d: %w", pid, err)
	}
	for i, e := range entries {
		t.mappings[int(b.start)+i] = layoutMapping{Start: e.Start, End: e.End, Chunk: e.Chunk, Base: e.Base}
	}
	if t.own == nil {
		t.own = make(map[uint32]location)
	}
	loc, known := t.own[pid]
	if known {
		t.wait[0] = append(t.wait[0], loc.block)
	} else if loc.slot = t.findSlot(pid); loc.slot < 0 {
		t.free[b.class] = append(t.free[b.class], b.start)
		return fmt.Errorf("set mappings of PID %d: %w", pid, ErrTablesFull)
	}
	p := &t.processes[loc.slot]
	where := uint64(b.start)<<32 | uint64(len(entries))
	if !known || p.Generation != generation {
		// The slot changes its meaning: close it first.
		atomic.StoreUint64(&p.Where, 0)
		atomic.StoreUint64(&p.Generation, generation)
		atomic.StoreUint32(&p.Pid, pid)
	}
	atomic.StoreUint64(&p.Where, where)
	loc.block = b
	t.own[pid] = loc
	return nil
}

// RemoveProcess forgets a process; unknown ones are no error.
func (t *Tables) RemoveProcess(pid uint32) error {
	loc, ok := t.own[pid]
	if !ok {
		return nil
	}
	p := &t.processes[loc.slot]
	atomic.StoreUint64(&p.Where, 0)
	atomic.StoreUint32(&p.Pid, deleted)
	t.wait[0] = append(t.wait[0], loc.block)
	delete(t.own, pid)
	// At the end of a chain, marks are not needed.
	for i := loc.slot; t.processes[(i+1)%processSlots].Pid == 0 && t.processes[i].Pid == deleted; i = (i + processSlots - 1) % processSlots {
		atomic.StoreUint32(&t.processes[i].Pid, 0)
	}
	return nil
}

// Processes is the number of processes the kernel side knows.
func (t *Tables) Processes() int { return len(t.own) }

// findSlot returns a free slot for the PID, or -1.
func (t *Tables) findSlot(pid uint32) int {
	h := pid * 0x9e3779b1 >> 15 // process_hash in include/process.h
	for i := range uint32(processProbes) {
		at := (h + i) & (processSlots - 1)
		if p := t.processes[at].Pid; p == 0 || p == deleted {
			return int(at)
		}
	}
	return -1
}

func (t *Tables) allocate(n int) (block, error) {
	class := bits.Len(uint(max(n, 8) - 1))
	if list := t.free[class]; len(list) > 0 {
		start := list[len(list)-1]
		t.free[class] = list[:len(list)-1]
		return block{start, class}, nil
	}
	size := uint32(1) << class
	if t.top+size > uint32(len(t.mappings)) {
		return block{}, ErrTablesFull
	}
	start := t.top
	t.top += size
	return block{start, class}, nil
}

// graceOver says that every program that ran when it was last called has
// ended: blocks freed before that call can be used again.
func (t *Tables) graceOver() {
	for _, b := range t.wait[1] {
		t.free[b.class] = append(t.free[b.class], b.start)
	}
	t.wait[1] = append(t.wait[1][:0], t.wait[0]...)
	t.wait[0] = t.wait[0][:0]
}
