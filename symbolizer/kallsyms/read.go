package kallsyms

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
)

// Path is the file that a running kernel lists its symbols in.
const Path = "/proc/kallsyms"

// ErrHidden says that the kernel listed its symbols without their addresses.
var ErrHidden = errors.New("kernel addresses are hidden: set sysctl kernel.kptr_restrict to 0 or 1 and run with CAP_SYSLOG (as root)")

const (
	maxSymbols = 4 << 20
	maxLine    = 4 << 10
	maxNames   = 256 << 20
	// maxReach is how far a function may extend when the symbol after it
	// belongs to someone else, or is none: the list has no sizes.
	maxReach = 1 << 20
)

// Load reads the table from a file, usually [Path].
func Load(path string) (*Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read kernel symbols: %w", err)
	}
	defer f.Close()
	t, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("read kernel symbols from %s: %w", path, err)
	}
	return t, nil
}

// symbol is a line of the list.
type symbol struct {
	start  uint64
	name   uint32 // offset in builder.names
	length uint16
	module uint16
	kind   byte // as in nm(1): T and t are code, upper case is global
}

// Read reads the table from r. The error is [ErrHidden] when it has no
// addresses.
func Read(r io.Reader) (*Table, error) {
	b := builder{
		symbols: make([]symbol, 0, 1<<17), // about what kernels have: growing costs more than parsing
		names:   make([]byte, 0, 3<<20),
		modules: []string{""}, moduleOf: map[string]uint16{"": 0},
	}
	in := bufio.NewReaderSize(r, max(maxLine, 64<<10))
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) || len(line) > maxLine {
			return nil, fmt.Errorf("line of more than %d bytes", maxLine)
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if err := b.add(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
			return nil, err
		}
		if err != nil {
			return b.table()
		}
	}
}

type builder struct {
	symbols  []symbol
	names    []byte
	modules  []string
	moduleOf map[string]uint16
	hidden   int // symbols at address 0
}

// add parses a line: address, type, name, and perhaps [module].
func (b *builder) add(line []byte) error {
	if len(line) == 0 {
		return nil
	}
	start, rest, ok := parseAddress(line)
	if !ok || len(rest) < 4 || rest[0] != ' ' || rest[2] != ' ' || bytes.IndexByte(rest, 0) >= 0 {
		return fmt.Errorf("not a kernel symbol: %.80q", line)
	}
	if start == 0 {
		b.hidden++
		return nil
	}
	if len(b.symbols) >= maxSymbols || len(b.names) >= maxNames {
		return errors.New("more symbols than a kernel has")
	}
	s := symbol{start: start, kind: rest[1]}
	name, module, _ := bytes.Cut(rest[3:], []byte("\t"))
	var err error
	if s.module, err = b.module(bytes.Trim(module, "[]")); err != nil {
		return err
	}
	if s.isCode() && len(name) > 0 {
		s.name, s.length = uint32(len(b.names)), uint16(len(name))
		b.names = append(append(b.names, name...), 0)
	}
	b.symbols = append(b.symbols, s)
	return nil
}

func (b *builder) module(name []byte) (uint16, error) {
	if n, ok := b.moduleOf[string(name)]; ok {
		return n, nil
	}
	if len(b.modules) > math.MaxUint16 {
		return 0, errors.New("more modules than a kernel has")
	}
	n := uint16(len(b.modules))
	b.modules = append(b.modules, string(name))
	b.moduleOf[string(name)] = n
	return n, nil
}

// parseAddress parses the hexadecimal number that line starts with.
func parseAddress(line []byte) (uint64, []byte, bool) {
	v := uint64(0)
	for i, c := range line {
		digit := uint64(c - '0')
		switch {
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'f':
			digit = uint64(c-'a') + 10
		default:
			return v, line[i:], i > 0 && i <= 16
		}
		v = v<<4 | digit
	}
	return 0, nil, false
}

func (s *symbol) isCode() bool {
	return s.kind == 'T' || s.kind == 't' || s.kind == 'W' || s.kind == 'w'
}

// table makes the table. Symbols of data are in it only as the ends of the
// functions before them.
func (b *builder) table() (*Table, error) {
	if len(b.symbols) == 0 && b.hidden > 0 {
		return nil, ErrHidden
	}
	if len(b.names) == 0 {
		return nil, errors.New("no symbols")
	}
	slices.SortFunc(b.symbols, b.compare)
	b.symbols = slices.CompactFunc(b.symbols, func(x, y symbol) bool { return x.start == y.start })
	t := &Table{modules: b.modules, data: make([]byte, 0, len(b.names))}
	p := packer{table: t}
	for i, s := range b.symbols {
		if s.length == 0 {
			continue
		}
		size := uint64(maxReach)
		if i+1 < len(b.symbols) {
			next := b.symbols[i+1]
			if size = next.start - s.start; next.module != s.module || next.length == 0 {
				size = min(size, maxReach)
			}
		}
		p.add(s.start, min(size, math.MaxUint32), b.name(s), s.module)
	}
	p.finish()
	return t, nil
}

// compare orders by address, then the best name first: code before data,
// global before weak before local, fewer leading underscores, shorter, and
// last by the name itself.
func (b *builder) compare(x, y symbol) int {
	if x.start != y.start {
		if x.start < y.start {
			return -1
		}
		return 1
	}
	if c := rankOf(x) - rankOf(y); c != 0 {
		return c
	}
	xName, yName := b.name(x), b.name(y)
	if c := underscores(xName) - underscores(yName); c != 0 {
		return c
	}
	if c := len(xName) - len(yName); c != 0 {
		return c
	}
	if c := bytes.Compare(xName, yName); c != 0 {
		return c
	}
	return int(x.module) - int(y.module)
}

func (b *builder) name(s symbol) []byte { return b.names[s.name : int(s.name)+int(s.length)] }

func rankOf(s symbol) int {
	switch {
	case s.length == 0:
		return 3
	case s.kind == 'T':
		return 0
	case s.kind == 'W' || s.kind == 'w':
		return 1
	}
	return 2
}

func underscores(name []byte) int { return len(name) - len(bytes.TrimLeft(name, "_")) }
