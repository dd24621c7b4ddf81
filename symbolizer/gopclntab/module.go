package gopclntab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// module is what the program's runtime.moduledata says about the table.
type module struct {
	firstEntry, lastLimit uint64 // addresses of Go code
	limit                 uint64 // end of the table
	// callBases are addresses that may be the one that references to inlined
	// calls are relative to, the likeliest first.
	callBases []uint64
}

// Words of runtime.moduledata, the same since Go 1.16. A slice is three words:
// address, length, capacity.
const (
	wordHeader      = 0
	wordNames       = 1
	wordUnits       = 4
	wordFiles       = 7
	wordValues      = 10
	wordTable       = 13
	wordFunctions   = 16
	wordFirstEntry  = 20
	wordLastLimit   = 21
	wordCalls118    = 38 // gofunc in Go 1.18 and 1.19
	wordCalls       = 40 // gofunc in Go 1.20 to 1.26
	moduleWords     = 48
	maxCandidates   = 64
	moduleNotFound  = "module data not found"
	moduleSection   = ".go.module" // Go 1.26
	buildInfo       = ".go.buildinfo"
	maxScannedBytes = 256 << 20
)

// locate returns address and greatest possible size of the table. Sections are
// told by their content: some strip programs destroy the names of Go's.
func locate(file *elffile.File) (at, size uint64, err error) {
	start := make([]byte, headerSize)
	for i := range file.Sections {
		s := &file.Sections[i]
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_ALLOC == 0 || s.Flags&elf.SHF_EXECINSTR != 0 || s.Size < headerSize {
			continue
		}
		if r, err := file.Reader(s); err != nil {
			continue
		} else if _, err := r.ReadAt(start, 0); err != nil {
			return 0, 0, fmt.Errorf("search Go line table: %w", err)
		}
		if _, err := parseHeader(start, s.Size); err == nil {
			return s.Addr, s.Size, nil
		}
	}
	// A C linker merges the tables that need relocation into .data.rel.ro.
	s := file.Section(".data.rel.ro")
	if file.Section(buildInfo) == nil || s == nil {
		return 0, 0, ErrNoTable
	}
	found := uint64(0)
	err = scan(file, s, func(b []byte, address uint64) bool {
		if _, err := parseHeader(b, s.Addr+s.Size-address); err == nil {
			found = address
		}
		return found == 0
	})
	if err != nil {
		return 0, 0, fmt.Errorf("search Go line table: %w", err)
	}
	if found == 0 {
		return 0, 0, ErrNoTable
	}
	return found, s.Addr + s.Size - found, nil
}

// scan calls visit with the bytes from each 8-byte word of the section on, and
// its address, until visit returns false. At least headerSize bytes are there
// unless the section ends.
func scan(file *elffile.File, s *elffile.Section, visit func(b []byte, address uint64) bool) error {
	r, err := file.Reader(s)
	if err != nil {
		return err
	}
	buffer := make([]byte, 64<<10+headerSize)
	for at := int64(0); at < min(r.Size(), maxScannedBytes); at += 64 << 10 {
		n, err := r.ReadAt(buffer, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := 0; i+8 <= n && i < 64<<10; i += 8 {
			if !visit(buffer[i:n], s.Addr+uint64(at)+uint64(i)) {
				return nil
			}
		}
	}
	return nil
}

// findModule finds the module data that points to the table at address at.
func findModule(file *elffile.File, at uint64, h *header) (module, error) {
	candidates, err := moduleCandidates(file, at)
	if err != nil {
		return module{}, fmt.Errorf("search module data: %w", err)
	}
	for _, address := range candidates {
		b := make([]byte, 8*moduleWords)
		if err := file.ReadAddress(b, address); err != nil {
			continue
		}
		if err := relocate(file, b, address); err != nil {
			return module{}, err
		}
		if m, ok := parseModule(b, at, h); ok {
			return m, nil
		}
	}
	return module{}, errors.New(moduleNotFound)
}

// parseModule checks that b is the module data of the table, all parts of
// which it points to.
func parseModule(b []byte, at uint64, h *header) (module, bool) {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[8*i:]) }
	for i, part := range map[int]uint64{
		wordHeader: 0, wordNames: h.names, wordUnits: h.units, wordFiles: h.files,
		wordValues: h.values, wordTable: h.table, wordFunctions: h.table,
	} {
		if word(i) != at+part {
			return module{}, false
		}
	}
	m := module{firstEntry: word(wordFirstEntry), lastLimit: word(wordLastLimit)}
	m.limit = word(wordTable) + word(wordTable+1)
	if word(wordFunctions+1) != h.functions+1 || m.firstEntry >= m.lastLimit || m.limit <= word(wordTable) {
		return module{}, false
	}
	first, second := wordCalls, wordCalls118
	if h.call.startLine == 0 {
		first, second = second, first
	}
	m.callBases = []uint64{word(first), word(second)}
	for i := wordCalls118; i < moduleWords; i++ { // other releases
		m.callBases = append(m.callBases, word(i))
	}
	return m, true
}

// moduleCandidates returns the addresses of words that point to the table.
func moduleCandidates(file *elffile.File, at uint64) ([]uint64, error) {
	if s := file.Section(moduleSection); s != nil {
		return []uint64{s.Addr}, nil
	}
	var found []uint64
	want := binary.LittleEndian.AppendUint64(nil, at)
	for i := range file.Sections {
		s := &file.Sections[i]
		if s.Type != elf.SHT_PROGBITS || s.Flags&elf.SHF_WRITE == 0 || s.Flags&elf.SHF_ALLOC == 0 {
			continue
		}
		err := scan(file, s, func(b []byte, address uint64) bool {
			if bytes.HasPrefix(b, want) {
				found = append(found, address)
			}
			return len(found) < maxCandidates
		})
		if err != nil && !errors.Is(err, elffile.ErrNoData) {
			return nil, err
		}
	}
	err := relocations(file, func(address, value uint64) bool {
		if value == at {
			found = append(found, address)
		}
		return len(found) < 2*maxCandidates
	})
	return found, err
}
