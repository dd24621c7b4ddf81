package elfsym

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// Config bounds what a table takes in. The zero value of each field is its
// default.
type Config struct {
	// Limit is the greatest size of the table in bytes; default 64 MiB. While
	// a table is read it takes up to three times that.
	Limit int64
	// SkipStart and SkipLimit leave out the symbols from SkipStart on, below
	// SkipLimit, because a better source knows them.
	SkipStart, SkipLimit uint64
	// More are files that describe the same program, such as its debug file.
	// Their symbols are merged with its own, and count where it has code.
	More []*elffile.File
}

// symbol is a function symbol while the table is built.
type symbol struct {
	start, size uint64
	name        uint32 // first the offset in the string table, then in names
	rank        uint8  // smaller is better, see rankOf
	length      uint16 // of the name
}

// symbolBytes is what a symbol takes while the table is built.
const symbolBytes = 24

// New reads the symbol tables of file. No file is needed afterwards. The error
// is [ErrNoSymbols] when there are none.
func New(file *elffile.File, config Config) (*Table, error) {
	if config.Limit == 0 {
		config.Limit = 64 << 20
	}
	config.Limit = min(config.Limit, math.MaxUint32) // what an offset in names can reach
	b := &builder{program: file, config: config}
	for _, file := range append([]*elffile.File{file}, config.More...) {
		if err := b.readFile(file); err != nil {
			return nil, fmt.Errorf("read symbols: %w", err)
		}
	}
	if err := b.readStubs(); err != nil {
		return nil, fmt.Errorf("read linkage table: %w", err)
	}
	t := b.table()
	if len(t.ranges) == 0 {
		return nil, ErrNoSymbols
	}
	if t.Size() > config.Limit {
		return nil, b.tooLarge()
	}
	return t, nil
}

type builder struct {
	program *elffile.File
	file    *elffile.File // that is being read: program, or one of config.More
	config  Config
	symbols []symbol
	names   []byte
	// whole says that there was a table with local functions.
	whole bool
}

func (b *builder) tooLarge() error {
	return fmt.Errorf("symbol table exceeds the memory limit of %d MiB", b.config.Limit>>20)
}

// readFile appends the function symbols of one file.
func (b *builder) readFile(file *elffile.File) error {
	b.file = file
	for i := range file.Sections {
		s := &file.Sections[i]
		if s.Type != elf.SHT_SYMTAB && s.Type != elf.SHT_DYNSYM {
			continue
		}
		if err := b.readSection(s); errors.Is(err, elffile.ErrNoData) {
			continue // the other table may have what this one left out
		} else if err != nil {
			return err
		}
		b.whole = b.whole || s.Type == elf.SHT_SYMTAB
	}
	return nil
}

// maxSection is how many bytes of a symbol table are read: some 20 million
// symbols, where browsers have 2. A sparse file may claim as many as it likes.
const maxSection = 512 << 20

// readSection appends the function symbols of one section.
func (b *builder) readSection(s *elffile.Section) error {
	table, err := b.file.Reader(s)
	if err != nil {
		return err
	}
	if table.Size() > maxSection {
		return fmt.Errorf("section %s has %d MiB, more than %d", s.Name, table.Size()>>20, maxSection>>20)
	}
	if s.Link == 0 || uint64(s.Link) >= uint64(len(b.file.Sections)) {
		return fmt.Errorf("section %s has no string table", s.Name)
	}
	text, err := b.file.Reader(&b.file.Sections[s.Link])
	if err != nil {
		return err
	}
	first := len(b.symbols)
	if err := b.readSymbols(table); err != nil {
		return err
	}
	return b.readNames(text, first)
}

func (b *builder) readSymbols(table io.Reader) error {
	size := 16
	if b.file.Wide {
		size = 24
	}
	in, entry := bufio.NewReaderSize(table, 64<<10), make([]byte, size)
	for {
		if _, err := io.ReadFull(in, entry); errors.Is(err, io.EOF) {
			return nil
		} else if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil // padding, or the file shrank: keep what was read
		} else if err != nil {
			return err
		}
		e := b.parse(entry)
		if !b.wanted(e) {
			continue
		}
		if int64(len(b.symbols))*symbolBytes >= 2*b.config.Limit {
			return b.tooLarge()
		}
		b.symbols = append(b.symbols, symbol{start: e.value, size: e.size, name: e.name, rank: rankOf(e)})
	}
}

// entry is one line of a symbol table.
type entry struct {
	name        uint32
	info        uint8
	section     elf.SectionIndex
	value, size uint64
}

func (b *builder) parse(p []byte) entry {
	le := binary.LittleEndian
	if b.file.Wide {
		return entry{le.Uint32(p), p[4], elf.SectionIndex(le.Uint16(p[6:])), le.Uint64(p[8:]), le.Uint64(p[16:])}
	}
	return entry{le.Uint32(p), p[12], elf.SectionIndex(le.Uint16(p[14:])), uint64(le.Uint32(p[4:])), uint64(le.Uint32(p[8:]))}
}

// wanted reports whether a symbol names code. Imported functions have no
// section; their value may be the address of a stub that only jumps there.
func (b *builder) wanted(e entry) bool {
	if e.name == 0 || e.section == elf.SHN_UNDEF || !b.program.Executable(e.value) {
		return false
	}
	if e.value >= b.config.SkipStart && e.value < b.config.SkipLimit {
		return false
	}
	switch elf.ST_TYPE(e.info) {
	case elf.STT_FUNC, elf.STT_GNU_IFUNC:
		return true
	case elf.STT_NOTYPE: // assembly that does not state the type
		i := int(e.section)
		return i < len(b.file.Sections) && b.file.Sections[i].Flags&elf.SHF_EXECINSTR != 0
	}
	return false
}

// maxName is the longest name taken, in bytes: long enough for the C++
// templates of browsers.
const maxName = 32 << 10

// readNames replaces the offsets in the string table of the symbols from first
// on by offsets in b.names, and drops symbols whose name is missing, too long,
// or not a function's.
func (b *builder) readNames(text *io.SectionReader, first int) error {
	added := b.symbols[first:]
	sortByName(added)
	window := window{in: text}
	kept := added[:0]
	previous, known := uint32(0), symbol{}
	for i, s := range added {
		if i == 0 || s.name != previous {
			previous = s.name
			name, ok, err := window.name(s.name)
			if err != nil {
				return err
			}
			known = symbol{}
			if name = withoutVersion(name); ok && name != "" && !isMappingSymbol(name) {
				if int64(len(b.names)+len(name)) >= b.config.Limit {
					return b.tooLarge()
				}
				known.name, known.length = uint32(len(b.names)), uint16(len(name))
				b.names = append(append(b.names, name...), 0)
			}
		}
		if known.length > 0 {
			s.name, s.length = known.name, known.length
			kept = append(kept, s)
		}
	}
	b.symbols = b.symbols[:first+len(kept)]
	return nil
}

// withoutVersion removes the version that linkers append in .symtab, as in
// "memcpy@@GLIBC_2.14".
func withoutVersion(name string) string {
	if at := strings.IndexByte(name, '@'); at > 0 {
		return name[:at]
	}
	return name
}

// isMappingSymbol reports whether name is one of the marks that tell code from
// data on arm and RISC-V ("$x", "$d.3"), which are no functions.
func isMappingSymbol(name string) bool {
	return len(name) >= 2 && name[0] == '$' && strings.IndexByte("adtx", name[1]) >= 0 &&
		(len(name) == 2 || name[2] == '.' || strings.HasPrefix(name, "$xrv"))
}
