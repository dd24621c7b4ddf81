package sideband

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is the memory that the kernel shares with us for one event: a control
// page and data pages (a power of two in bytes) used as a circle. The kernel
// moves head after it has written a record, we move tail after we have read
// one; both only grow.
type ring struct {
	memory []byte
	page   *unix.PerfEventMmapPage
	data   []byte
	// scratch holds a record that goes over the end of data.
	scratch []byte
}

func mapRing(fd, pages int) (*ring, error) {
	pageSize := unix.Getpagesize()
	memory, err := unix.Mmap(fd, 0, (1+pages)*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return newRing(memory, pageSize), nil
}

func newRing(memory []byte, pageSize int) *ring {
	return &ring{
		memory: memory,
		page:   (*unix.PerfEventMmapPage)(unsafe.Pointer(&memory[0])),
		data:   memory[pageSize:],
	}
}

// head is how many bytes the kernel has ever written. The atomic load orders
// our reads of the records behind it.
func (r *ring) head() uint64 { return atomic.LoadUint64(&r.page.Data_head) }

// consume gives the records written before head to handle, until that returns
// false for one: it and what follows stay in the ring. The slice is valid only
// during the call.
func (r *ring) consume(head uint64, handle func(raw []byte) bool) error {
	size := uint64(len(r.data))
	tail := atomic.LoadUint64(&r.page.Data_tail)
	for tail < head {
		at, left := tail%size, head-tail
		// Records are multiples of 8 bytes, so a header never goes over the end.
		n := uint64(binary.NativeEndian.Uint16(r.data[at+6:]))
		if n < headerSize || n%8 != 0 || n > left {
			// Nothing after this can be trusted.
			atomic.StoreUint64(&r.page.Data_tail, head)
			return fmt.Errorf("record of %d bytes where %d were written", n, left)
		}
		raw := r.data[at:min(at+n, size)]
		if at+n > size {
			r.scratch = append(append(r.scratch[:0], raw...), r.data[:at+n-size]...)
			raw = r.scratch
		}
		if !handle(raw) {
			break
		}
		tail += n
		// Only now may the kernel write over the record.
		atomic.StoreUint64(&r.page.Data_tail, tail)
	}
	return nil
}

func (r *ring) unmap() error { return unix.Munmap(r.memory) }
