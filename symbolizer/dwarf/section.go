package dwarf

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// section is one section of debugging information: in memory, or read page by
// page where it is needed. Its zero value is an empty one.
type section struct {
	data  []byte // all of it, or nil
	size  uint64
	in    io.ReaderAt // where data is nil
	pages [pages]page
	held  int64 // by pages
}

// page is a part of a section. Which one it can be is decided by its number,
// modulo pages.
type page struct {
	number uint64 // + 1; 0 is none
	data   []byte
}

const (
	pages    = 256
	pageSize = 8 << 10
	// maxString is the longest name or path taken, in bytes.
	maxString = 32 << 10
)

// openSection finds a section of the file. What is compressed, or is no more
// than whole bytes, is taken into memory.
func openSection(file *elffile.File, name string, whole, limit uint64) (*section, error) {
	s := file.Section(name)
	if s == nil || s.Type == elf.SHT_NOBITS {
		return &section{}, nil
	}
	size, err := file.UncompressedSize(s)
	if err != nil {
		return nil, err
	}
	if s.Flags&elf.SHF_COMPRESSED == 0 && size > whole {
		r, err := file.Reader(s)
		if err != nil {
			return nil, err
		}
		return &section{size: size, in: r}, nil
	}
	if size > limit {
		return nil, fmt.Errorf("%s takes %d MiB: %w", name, size>>20, ErrTooLarge)
	}
	data, err := file.Uncompressed(s, limit)
	return &section{data: data, size: size}, err
}

// memory is what the section takes, in bytes.
func (s *section) memory() int64 { return int64(len(s.data)) + s.held }

// bytes returns the n bytes from offset on, in memory that may be used again
// by the next call that gets the same buffer. Only those that exist come back.
func (s *section) bytes(offset, n uint64, buffer *[]byte) ([]byte, error) {
	if offset >= s.size {
		return nil, nil
	}
	n = min(n, s.size-offset)
	if s.data != nil {
		return s.data[offset : offset+n], nil
	}
	if uint64(cap(*buffer)) < n {
		*buffer = make([]byte, n)
	}
	b := (*buffer)[:n]
	_, err := s.in.ReadAt(b, int64(offset))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, err
}

// at returns bytes from offset on, as many as are at hand, at least one; none
// beyond the end. They are valid until the next call.
func (s *section) at(offset uint64) ([]byte, error) {
	if offset >= s.size {
		return nil, nil
	}
	if s.data != nil {
		return s.data[offset:], nil
	}
	number := offset / pageSize
	p := &s.pages[number%pages]
	if p.number != number+1 {
		if p.data == nil {
			p.data = make([]byte, pageSize)
			s.held += pageSize
		}
		start := number * pageSize
		p.number = 0
		p.data = p.data[:min(pageSize, s.size-start)]
		if _, err := s.in.ReadAt(p.data, int64(start)); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		p.number = number + 1
	}
	return p.data[offset%pageSize:], nil
}

// number reads a little-endian number of size bytes.
func (s *section) number(offset uint64, size int) (n uint64, ok bool) {
	for i := 0; i < size; {
		b, err := s.at(offset + uint64(i))
		if err != nil || len(b) == 0 {
			return 0, false
		}
		for _, c := range b[:min(len(b), size-i)] {
			n |= uint64(c) << (8 * i)
			i++
		}
	}
	return n, true
}

// text returns the string that ends with a zero byte; "" when there is none,
// or none that ends within maxString bytes.
func (s *section) text(offset uint64) string {
	var start []byte // on pages before
	for len(start) < maxString {
		b, err := s.at(offset)
		if err != nil || len(b) == 0 {
			return ""
		}
		b = b[:min(len(b), maxString-len(start))]
		if end := bytes.IndexByte(b, 0); end >= 0 {
			if start == nil {
				return string(b[:end])
			}
			return string(append(start, b[:end]...))
		}
		start = append(start, b...)
		offset += uint64(len(b))
	}
	return ""
}
