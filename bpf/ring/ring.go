// Package ring reads the memory into which the kernel writes the records of perf
// events.
package ring

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HeaderSize is the length of a record's header (perf_event_header): type,
// flags, and the record's length with the header, a multiple of 8.
const HeaderSize = 8

// Ring is the memory that the kernel shares with us for one event: a control
// page and data pages (a power of two in bytes) used as a circle. The kernel
// moves head after it has written a record, we move tail after we have read
// one; both only grow.
type Ring struct {
	memory []byte
	page   *unix.PerfEventMmapPage
	data   []byte
	// scratch holds a record that goes over the end of data.
	scratch []byte
}

func mapRing(fd, pages int) (*Ring, error) {
	pageSize := unix.Getpagesize()
	memory, err := unix.Mmap(fd, 0, (1+pages)*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return newRing(memory, pageSize), nil
}

func newRing(memory []byte, pageSize int) *Ring {
	return &Ring{
		memory: memory,
		page:   (*unix.PerfEventMmapPage)(unsafe.Pointer(&memory[0])),
		data:   memory[pageSize:],
	}
}

// Head is how many bytes the kernel has ever written. The atomic load orders
// our reads of the records behind it.
func (r *Ring) Head() uint64 { return atomic.LoadUint64(&r.page.Data_head) }

// Consume gives the records written before head to handle, until that returns
// false for one: it and what follows stay in the ring. The slice is valid only
// during the call. The error says that the ring did not hold what the format asks
// for; what was written before head is then gone.
func (r *Ring) Consume(head uint64, handle func(raw []byte) bool) error {
	size := uint64(len(r.data))
	tail := atomic.LoadUint64(&r.page.Data_tail)
	for tail < head {
		at, left := tail%size, head-tail
		// Records are multiples of 8 bytes, so a header never goes over the end.
		n := uint64(binary.NativeEndian.Uint16(r.data[at+6:]))
		if n < HeaderSize || n%8 != 0 || n > left {
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

func (r *Ring) unmap() error { return unix.Munmap(r.memory) }
