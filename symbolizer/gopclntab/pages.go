package gopclntab

import (
	"encoding/binary"
	"fmt"
	"io"
)

// pages reads a part of a file as it is needed, and keeps the pages read last. It is
// not mapped: a mapping ends the program that reads it when the file is cut short.
type pages struct {
	in    io.ReaderAt
	size  uint64
	slots []page // a page is kept in the slot of its number, modulo how many there are
	held  int64  // bytes of the pages that are kept

	failed int   // reads
	err    error // of the last of these
}

type page struct {
	number uint64 // plus 1; 0 is none
	data   []byte
}

const pageSize = 4 << 10

func newPages(in io.ReaderAt, size uint64, slots int) pages {
	return pages{in: in, size: size, slots: make([]page, slots)}
}

// over starts to read another file. The memory is kept.
func (p *pages) over(in io.ReaderAt, size uint64) {
	p.in, p.size, p.err = in, size, nil
	for i := range p.slots {
		p.slots[i].number = 0
	}
}

// from returns the bytes from offset on, up to the end of a page: none beyond the
// end, or when the file cannot be read. They are valid until the next call.
func (p *pages) from(offset uint64) []byte {
	if offset >= p.size {
		return nil
	}
	number := offset / pageSize
	s := &p.slots[number%uint64(len(p.slots))]
	if s.number != number+1 && !p.read(s, number) {
		return nil
	}
	return s.data[offset%pageSize:]
}

func (p *pages) read(s *page, number uint64) bool {
	if s.data == nil {
		s.data = make([]byte, 0, pageSize)
		p.held += pageSize
	}
	s.data = s.data[:min(pageSize, p.size-number*pageSize)]
	s.number = 0
	if n, err := p.in.ReadAt(s.data, int64(number*pageSize)); n < len(s.data) {
		p.failed++
		p.err = fmt.Errorf("read Go line table: %w", err)
		return false
	}
	s.number = number + 1
	return true
}

// copy fills b with the bytes from offset on, and reports whether they are there.
func (p *pages) copy(b []byte, offset uint64) bool {
	for len(b) > 0 {
		n := copy(b, p.from(offset))
		if n == 0 {
			return false
		}
		b, offset = b[n:], offset+uint64(n)
	}
	return true
}

func (p *pages) uint32(offset uint64) (uint32, bool) {
	if b := p.from(offset); len(b) >= 4 {
		return binary.LittleEndian.Uint32(b), true
	}
	var b [4]byte
	ok := p.copy(b[:], offset)
	return binary.LittleEndian.Uint32(b[:]), ok
}

func (p *pages) uint64(offset uint64) (uint64, bool) {
	var b [8]byte
	ok := p.copy(b[:], offset)
	return binary.LittleEndian.Uint64(b[:]), ok
}
