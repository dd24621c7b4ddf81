package process

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Limits of what is read of a file. Linkers stay far below them.
const (
	maxSegments  = 1024
	maxSections  = 1 << 16
	maxNotes     = 64
	maxNoteBytes = 64 << 10
)

var (
	errNotELF    = errors.New("not an ELF file")
	errMalformed = errors.New("malformed ELF file")
)

// segment is a PT_LOAD entry: memory from address on holds the file's bytes
// from offset to offset+size.
type segment struct {
	offset, address, size uint64
	executable            bool
}

// elfHeader is what we need of an ELF header: where its two tables are.
type elfHeader struct {
	order      binary.ByteOrder
	is64       bool
	phoff      uint64
	phnum      int
	shoff      uint64
	shnum      int
	phsize     int
	shsize     int
	noSections bool
}

func readHeader(r io.ReaderAt) (h elfHeader, err error) {
	var b [64]byte
	n, err := r.ReadAt(b[:], 0)
	if n < len(elf.ELFMAG) || string(b[:4]) != elf.ELFMAG {
		if n < len(elf.ELFMAG) && err != nil && !errors.Is(err, io.EOF) {
			return h, err
		}
		return h, errNotELF
	}
	switch elf.Data(b[elf.EI_DATA]) {
	case elf.ELFDATA2LSB:
		h.order = binary.LittleEndian
	case elf.ELFDATA2MSB:
		h.order = binary.BigEndian
	default:
		return h, fmt.Errorf("%w: byte order %d", errMalformed, b[elf.EI_DATA])
	}
	var phsize, shsize int
	switch elf.Class(b[elf.EI_CLASS]) {
	case elf.ELFCLASS64:
		if n < 64 {
			return h, fmt.Errorf("%w: %d bytes", errMalformed, n)
		}
		h.is64 = true
		h.phoff, h.shoff = h.order.Uint64(b[32:]), h.order.Uint64(b[40:])
		h.phsize, h.phnum = int(h.order.Uint16(b[54:])), int(h.order.Uint16(b[56:]))
		h.shsize, h.shnum = int(h.order.Uint16(b[58:])), int(h.order.Uint16(b[60:]))
		phsize, shsize = 56, 64
	case elf.ELFCLASS32:
		if n < 52 {
			return h, fmt.Errorf("%w: %d bytes", errMalformed, n)
		}
		h.phoff, h.shoff = uint64(h.order.Uint32(b[28:])), uint64(h.order.Uint32(b[32:]))
		h.phsize, h.phnum = int(h.order.Uint16(b[42:])), int(h.order.Uint16(b[44:]))
		h.shsize, h.shnum = int(h.order.Uint16(b[46:])), int(h.order.Uint16(b[48:]))
		phsize, shsize = 32, 40
	default:
		return h, fmt.Errorf("%w: class %d", errMalformed, b[elf.EI_CLASS])
	}
	if h.phnum > 0 && h.phsize != phsize {
		return h, fmt.Errorf("%w: program header of %d bytes", errMalformed, h.phsize)
	}
	// Sections are no part of the running program: without them, or with
	// broken ones, there is just less to find.
	h.noSections = h.shnum == 0 || h.shsize != shsize
	if h.phnum > maxSegments {
		return h, fmt.Errorf("%w: %d segments", errMalformed, h.phnum)
	}
	return h, nil
}

// span is a range of the file's bytes.
type span struct{ offset, size uint64 }

// readSegments returns the PT_LOAD segments and where the PT_NOTE segments are.
func readSegments(r io.ReaderAt, h elfHeader) (loads []segment, notes []span, err error) {
	table := make([]byte, h.phnum*h.phsize)
	if err := readFull(r, table, h.phoff); err != nil {
		return nil, nil, fmt.Errorf("read program headers: %w", err)
	}
	for ; len(table) > 0; table = table[h.phsize:] {
		var s segment
		kind, flags := elf.ProgType(h.order.Uint32(table)), uint32(0)
		if h.is64 {
			flags = h.order.Uint32(table[4:])
			s.offset, s.address, s.size = h.order.Uint64(table[8:]), h.order.Uint64(table[16:]), h.order.Uint64(table[32:])
		} else {
			s.offset, s.address, s.size = uint64(h.order.Uint32(table[4:])), uint64(h.order.Uint32(table[8:])), uint64(h.order.Uint32(table[16:]))
			flags = h.order.Uint32(table[24:])
		}
		s.executable = elf.ProgFlag(flags)&elf.PF_X != 0
		switch kind {
		case elf.PT_LOAD:
			if s.offset+s.size < s.offset || s.address+s.size < s.address {
				return nil, nil, fmt.Errorf("%w: segment of %d bytes at %#x", errMalformed, s.size, s.offset)
			}
			loads = append(loads, s)
		case elf.PT_NOTE:
			if len(notes) < maxNotes {
				notes = append(notes, span{s.offset, s.size})
			}
		}
	}
	return loads, notes, nil
}

// noteSections returns where the sections of notes are. Go's linker,
// for one, gives the GNU build ID no segment.
func noteSections(r io.ReaderAt, h elfHeader) (notes []span) {
	if h.noSections {
		return nil
	}
	const block = 64
	table := make([]byte, block*h.shsize)
	for i := 0; i < min(h.shnum, maxSections) && len(notes) < maxNotes; i += block {
		n := min(block, h.shnum-i)
		if readFull(r, table[:n*h.shsize], h.shoff+uint64(i*h.shsize)) != nil {
			return notes
		}
		for at := 0; at < n*h.shsize; at += h.shsize {
			header := table[at:]
			if elf.SectionType(h.order.Uint32(header[4:])) != elf.SHT_NOTE {
				continue
			}
			if h.is64 {
				notes = append(notes, span{h.order.Uint64(header[24:]), h.order.Uint64(header[32:])})
			} else {
				notes = append(notes, span{uint64(h.order.Uint32(header[16:])), uint64(h.order.Uint32(header[20:]))})
			}
		}
	}
	return notes
}

// eachNote reads the notes in a range of the file: u32 size of name, u32 size
// of content, u32 type, name and content each padded to 4 bytes. It ends where
// the format does not hold.
func eachNote(r io.ReaderAt, order binary.ByteOrder, where span, handle func(name string, kind uint32, content []byte)) {
	b := make([]byte, min(where.size, maxNoteBytes))
	if readFull(r, b, where.offset) != nil {
		return
	}
	for len(b) >= 12 {
		nameSize, size, kind := uint64(order.Uint32(b)), uint64(order.Uint32(b[4:])), order.Uint32(b[8:])
		b = b[12:]
		paddedName, padded := (nameSize+3)&^3, (size+3)&^3
		if paddedName > uint64(len(b)) || size > uint64(len(b))-paddedName {
			return
		}
		name := string(bytes.TrimRight(b[:nameSize], "\x00"))
		handle(name, kind, b[paddedName:paddedName+size])
		b = b[min(paddedName+padded, uint64(len(b))):]
	}
}

// readFull reads exactly len(b) bytes.
func readFull(r io.ReaderAt, b []byte, offset uint64) error {
	if offset > 1<<62 {
		return fmt.Errorf("%w: offset %#x", errMalformed, offset)
	}
	n, err := r.ReadAt(b, int64(offset))
	if n == len(b) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: ends after %d bytes", errMalformed, offset+uint64(n))
	}
	return err
}
