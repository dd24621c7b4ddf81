package bpf

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// elements maps a BPF array into our memory. Reading it takes no bpf() call:
// such calls keep the kernel from running perf_event programs on their CPU.
func elements[T any](s *Sampler, name string) ([]T, error) {
	m := s.maps[name]
	if m == nil {
		return nil, fmt.Errorf("no map %s", name)
	}
	var zero T
	size := int(unsafe.Sizeof(zero))
	if size%8 != 0 || uint32(size) != m.ValueSize() {
		return nil, fmt.Errorf("map %s has values of %d bytes, Go's are %d", name, m.ValueSize(), size)
	}
	n := int(m.MaxEntries())
	length := (n*size + pageSize - 1) &^ (pageSize - 1)
	b, err := unix.Mmap(m.FD(), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map memory of %s: %w", name, err)
	}
	s.memory = append(s.memory, b)
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), n), nil
}

func unmap(b []byte) { _ = unix.Munmap(b) }

var pageSize = unix.Getpagesize()

// mapLog maps the first n words of a slab of the log (struct log_slab of
// include/types.h) until unmapLog. Slabs are large and rarely full: mapped all the
// time, they would be half of what the process seems to take.
func mapLog(frames *ebpf.Map, slab, n int) ([]uint64, error) {
	if n == 0 {
		return nil, nil
	}
	b, err := unix.Mmap(frames.FD(), int64(slab)*8*logSlabWords, (8*n+pageSize-1)&^(pageSize-1),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map memory of stack_frames: %w", err)
	}
	return unsafe.Slice((*uint64)(unsafe.Pointer(&b[0])), n), nil
}

func unmapLog(words []uint64) {
	if len(words) > 0 {
		// As long as it was mapped, see unix.Mmap.
		b := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), (8*len(words)+pageSize-1)&^(pageSize-1))
		unmap(b)
	}
}

// mapMemory maps every array that we read or write while programs run.
func (s *Sampler) mapMemory(sizes map[string]uint32) (err error) {
	get := func(e error) {
		if err == nil {
			err = e
		}
	}
	var e error
	control, e := elements[layoutControl](s, "controls")
	get(e)
	s.control = control
	s.tallies, e = elements[layoutTally](s, "tallies")
	get(e)
	s.timers, e = elements[layoutTimerTally](s, "timer_tallies")
	get(e)
	b := &banks{tableSize: int(sizes["stack_traces"] / 2), slabs: int(sizes["stack_frames"] / 2)}
	b.traces, e = elements[layoutTrace](s, "stack_traces")
	get(e)
	frames := s.maps["stack_frames"]
	switch {
	case frames == nil:
		get(errors.New("no map stack_frames"))
	case frames.ValueSize() != 8*logSlabWords:
		get(fmt.Errorf("map stack_frames has values of %d bytes, Go's are %d", frames.ValueSize(), 8*logSlabWords))
	}
	b.log = func(slab, n int) ([]uint64, error) { return mapLog(frames, slab, n) }
	b.cursors, e = elements[layoutLogCursor](s, "log_cursors")
	get(e)
	s.banks = b
	t := &Tables{}
	t.processes, e = elements[layoutProcess](s, "processes")
	get(e)
	t.mappings, e = elements[layoutMapping](s, "mappings")
	get(e)
	s.Tables = t
	for _, m := range s.maps {
		if info, e := m.Info(); e == nil {
			if n, ok := info.Memlock(); ok {
				s.mapBytes += n
			}
		}
	}
	return err
}
