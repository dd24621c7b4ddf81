// Package elffile reads the headers of ELF files that nobody vouches for:
// every count, offset and size in the file is checked before it is used, and
// nothing is read that was not asked for.
//
// Supported are 64-bit and 32-bit little-endian executables and shared
// objects, and files that describe them. The format is described in the System V ABI, chapters 4 and 5, and
// in elf(5).
package elffile

import (
	"bytes"
	"debug/elf" // for its constants only: its parser trusts its input
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/staccato-profiler/staccato"
)

var (
	// ErrNotELF says that a file does not start with the ELF magic.
	ErrNotELF = errors.New("not an ELF file")
	// ErrNotExecutable says that an ELF file is neither a program nor a shared
	// object.
	ErrNotExecutable = errors.New("ELF file that cannot be executed")
)

const (
	maxSections   = 1 << 16
	maxSegments   = 1 << 12
	maxNameTable  = 1 << 20 // bytes of section names
	maxNameLength = 256     // of one section
)

// File is an ELF file's headers. It keeps no copy of the sections.
type File struct {
	Type     elf.Type
	Machine  elf.Machine
	Wide     bool   // 64-bit
	Entry    uint64 // address where the program begins; 0 for most libraries
	Sections []Section
	Segments []Segment // of type PT_LOAD, by address
	// FrameHeader is the segment PT_GNU_EH_FRAME: where .eh_frame_hdr is, also in a
	// file without section headers. It is empty when there is none.
	FrameHeader Segment

	content staccato.File
}

// Section is a section header. Index 0 of [File.Sections] is the null section,
// so that the indices in the file are valid.
type Section struct {
	Name               string
	Type               elf.SectionType
	Flags              elf.SectionFlag
	Addr, Offset, Size uint64
	Link               uint32
}

// Executable reports whether the section is code, and in the file.
func (s *Section) Executable() bool {
	return s.Flags&elf.SHF_EXECINSTR != 0 && s.Type != elf.SHT_NOBITS
}

// Segment is a part of the file that is loaded at address Start, memory up to
// Limit (exclusive); the first FileSize bytes of it come from Offset on.
type Segment struct {
	Flags                          elf.ProgFlag
	Start, Limit, Offset, FileSize uint64
}

// Open reads the headers of an executable or a shared object.
func Open(f staccato.File) (*File, error) {
	file, err := OpenDebug(f)
	if err == nil && file.Type == elf.ET_REL {
		return nil, ErrNotExecutable
	}
	return file, err
}

// OpenDebug reads the headers of a file that may also be none to be executed,
// as what dwz(1) makes for several debug files to share.
func OpenDebug(f staccato.File) (*File, error) {
	var ident [64]byte
	n, err := f.ReadAt(ident[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read ELF header: %w", err)
	}
	if n < elf.EI_NIDENT || string(ident[:4]) != elf.ELFMAG {
		return nil, ErrNotELF
	}
	if elf.Data(ident[elf.EI_DATA]) != elf.ELFDATA2LSB {
		return nil, errors.New("big-endian ELF file")
	}
	file := &File{content: f}
	switch elf.Class(ident[elf.EI_CLASS]) {
	case elf.ELFCLASS64:
		file.Wide = true
	case elf.ELFCLASS32:
	default:
		return nil, errors.New("ELF file of unknown class")
	}
	h, err := file.readHeader(ident[:n])
	if err != nil {
		return nil, err
	}
	if file.Type != elf.ET_EXEC && file.Type != elf.ET_DYN && file.Type != elf.ET_REL {
		return nil, ErrNotExecutable
	}
	if err := file.readSegments(h); err != nil {
		return nil, fmt.Errorf("read program headers: %w", err)
	}
	if err := file.readSections(h); err != nil {
		return nil, fmt.Errorf("read section headers: %w", err)
	}
	return file, nil
}

// header is what the ELF header says about the other headers.
type header struct {
	phoff, shoff                              uint64
	phentsize, phnum, shentsize, shnum, shstr int
}

func (f *File) readHeader(b []byte) (header, error) {
	le := binary.LittleEndian
	var h header
	var counts []byte
	size := 52
	if f.Wide {
		size = 64
	}
	if len(b) < size {
		return h, fmt.Errorf("read ELF header: %w", io.ErrUnexpectedEOF)
	}
	f.Type, f.Machine = elf.Type(le.Uint16(b[16:])), elf.Machine(le.Uint16(b[18:]))
	if f.Wide {
		f.Entry = le.Uint64(b[24:])
		h.phoff, h.shoff, counts = le.Uint64(b[32:]), le.Uint64(b[40:]), b[54:64]
	} else {
		f.Entry = uint64(le.Uint32(b[24:]))
		h.phoff, h.shoff, counts = uint64(le.Uint32(b[28:])), uint64(le.Uint32(b[32:])), b[42:52]
	}
	h.phentsize, h.phnum = int(le.Uint16(counts)), int(le.Uint16(counts[2:]))
	h.shentsize, h.shnum = int(le.Uint16(counts[4:])), int(le.Uint16(counts[6:]))
	h.shstr = int(le.Uint16(counts[8:]))
	return h, nil
}

func (f *File) readSegments(h header) error {
	size := 32
	if f.Wide {
		size = 56
	}
	if h.phnum == 0 {
		return nil
	}
	if h.phentsize != size || h.phnum > maxSegments {
		return fmt.Errorf("%d entries of %d bytes", h.phnum, h.phentsize)
	}
	table, err := f.read(h.phoff, uint64(size*h.phnum))
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	for ; len(table) > 0; table = table[size:] {
		kind := elf.ProgType(le.Uint32(table))
		if kind != elf.PT_LOAD && kind != elf.PT_GNU_EH_FRAME {
			continue
		}
		var s Segment
		var memory uint64
		if f.Wide {
			s.Flags = elf.ProgFlag(le.Uint32(table[4:]))
			s.Offset, s.Start = le.Uint64(table[8:]), le.Uint64(table[16:])
			s.FileSize, memory = le.Uint64(table[32:]), le.Uint64(table[40:])
		} else {
			s.Offset, s.Start = uint64(le.Uint32(table[4:])), uint64(le.Uint32(table[8:]))
			s.FileSize, memory = uint64(le.Uint32(table[16:])), uint64(le.Uint32(table[20:]))
			s.Flags = elf.ProgFlag(le.Uint32(table[24:]))
		}
		s.Limit = s.Start + memory
		if s.Limit < s.Start || s.FileSize > memory {
			return fmt.Errorf("segment of %#x bytes at %#x", memory, s.Start)
		}
		if kind == elf.PT_GNU_EH_FRAME {
			f.FrameHeader = s
			continue
		}
		f.Segments = append(f.Segments, s)
	}
	sort.Slice(f.Segments, func(i, j int) bool { return f.Segments[i].Start < f.Segments[j].Start })
	return nil
}

func (f *File) readSections(h header) error {
	size := 40
	if f.Wide {
		size = 64
	}
	if h.shoff == 0 {
		return nil // a file without sections is valid
	}
	if h.shentsize != size {
		return fmt.Errorf("entries of %d bytes", h.shentsize)
	}
	if h.shnum == 0 || h.shstr == int(elf.SHN_XINDEX) {
		// Counts too large for the header are in the first section.
		first, err := f.read(h.shoff, uint64(size))
		if err != nil {
			return err
		}
		s := f.parseSection(first)
		if h.shnum == 0 {
			if s.Size > maxSections {
				return fmt.Errorf("%d sections", s.Size)
			}
			h.shnum = int(s.Size)
		}
		if h.shstr == int(elf.SHN_XINDEX) {
			h.shstr = int(s.Link)
		}
	}
	table, err := f.read(h.shoff, uint64(size*h.shnum))
	if err != nil {
		return err
	}
	f.Sections = make([]Section, h.shnum)
	for i := range f.Sections {
		f.Sections[i] = f.parseSection(table[i*size:])
	}
	if h.shstr <= 0 || h.shstr >= h.shnum {
		return nil // sections without names
	}
	names, err := f.Data(&f.Sections[h.shstr], maxNameTable)
	if err != nil {
		return fmt.Errorf("read names: %w", err)
	}
	for i := range f.Sections {
		offset := binary.LittleEndian.Uint32(table[i*size:])
		if uint64(offset) >= uint64(len(names)) {
			continue
		}
		name := names[offset:]
		name = name[:min(len(name), maxNameLength)]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			f.Sections[i].Name = string(name[:end])
		}
	}
	return nil
}

func (f *File) parseSection(b []byte) Section {
	le := binary.LittleEndian
	s := Section{Type: elf.SectionType(le.Uint32(b[4:]))}
	if f.Wide {
		s.Flags = elf.SectionFlag(le.Uint64(b[8:]))
		s.Addr, s.Offset, s.Size = le.Uint64(b[16:]), le.Uint64(b[24:]), le.Uint64(b[32:])
		s.Link = le.Uint32(b[40:])
		return s
	}
	s.Flags = elf.SectionFlag(le.Uint32(b[8:]))
	s.Addr, s.Offset = uint64(le.Uint32(b[12:])), uint64(le.Uint32(b[16:]))
	s.Size, s.Link = uint64(le.Uint32(b[20:])), le.Uint32(b[24:])
	return s
}
