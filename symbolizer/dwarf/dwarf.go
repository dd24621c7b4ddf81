// Package dwarf reads what debugging information says about code: functions,
// calls inlined into them, and lines of source (DWARF versions 2 to 5).
//
// Files are read unit by unit, so that memory depends on the largest unit and
// not on the file; only what is compressed is held as a whole. Nothing in the
// file is trusted: offsets and counts are checked, nesting and chains of
// references are bounded, and so is the work that a file can ask for.
//
// Not read are variables, types, and line tables for processors with several
// operations in one instruction.
package dwarf

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

var (
	// ErrNoDebugInfo says that a file has no debugging information.
	ErrNoDebugInfo = errors.New("no debugging information")
	// ErrTooLarge says that reading takes more memory than is allowed.
	ErrTooLarge = errors.New("debugging information exceeds the memory limit")
)

// malformed is the error for a part of a section that makes no sense.
func malformed(what string, offset uint64) error {
	return fmt.Errorf("malformed %s at %#x", what, offset)
}

// Config bounds what reading takes. The zero value is the default.
type Config struct {
	// Limit is the memory that a reader may hold at a time, in bytes; default
	// 64 MiB. It is [ErrTooLarge] when a file needs more.
	Limit int64
	// Split finds what is not in the file itself.
	Split Split
	// SkipGo leaves out the units of Go.
	SkipGo bool
}

// Reader reads the units of one file. It is for one goroutine.
type Reader struct {
	main   *file
	limit  int64
	skipGo bool
	next   int // of main.units
	unit   Unit
	code   []span

	infoBuffer, lineBuffer []byte
	linesRead              map[uint64]bool // line tables, by offset
	scopes                 []int32         // of the entries around the present one
	work, maxWork          uint64          // in bytes

	packaged    *packageFile // or nil
	openObject  func(path string) (*elffile.File, io.Closer, error)
	current     *file           // of the unit that is read, where that is not main
	restRead    map[uint64]bool // units whose rest was asked for, by identity
	objectBytes uint64          // of sections in other files
	misses      int
	missed      string
	missedPath  string
}

// span is a range of addresses.
type span struct{ start, limit uint64 }

// file is an ELF file's sections of debugging information.
type file struct {
	info, abbrev, line, str, lineStr   *section
	ranges, rnglists, addr, strOffsets *section

	reader       *Reader
	alt          *file // what forms for a supplementary file refer to, or nil
	units        []unit
	abbrevTables map[abbrevKey]*abbrevs
	attrsKept    int
	abbrevBuffer []byte
	entryBuffer  []byte
	functions    map[uint64]*Function
	fileTables   map[uint64]*fileTable
	// isSplit: addr and ranges are the main file's. countedElsewhere: all sections
	// are those of a package.
	isSplit, countedElsewhere bool
}

// Open reads where the units of a file are. alt is the supplementary file that
// its .gnu_debugaltlink or .debug_sup names, or nil: then functions whose names
// are there have none. The error is [ErrNoDebugInfo] when there are no units.
func Open(main, alt *elffile.File, config Config) (*Reader, error) {
	if config.Limit == 0 {
		config.Limit = 64 << 20
	}
	r := &Reader{limit: config.Limit, linesRead: make(map[uint64]bool), restRead: make(map[uint64]bool), openObject: config.Split.Open, skipGo: config.SkipGo}
	for _, s := range main.Segments {
		if s.Flags&elf.PF_X != 0 {
			r.code = append(r.code, span{s.Start, s.Limit})
		}
	}
	var err error
	if r.main, err = r.open(main); err != nil {
		return nil, err
	}
	if alt != nil {
		// It may have names alone.
		if r.main.alt, err = r.open(alt); err != nil && !errors.Is(err, ErrNoDebugInfo) {
			return nil, fmt.Errorf("read supplementary file: %w", err)
		}
	}
	if config.Split.Package != nil {
		if r.packaged, err = r.openPackage(config.Split.Package); err != nil {
			return nil, fmt.Errorf("read package file: %w", err)
		}
		r.current = nil
	}
	return r, nil
}

// workPerByte bounds how often parts of a file are read again because others
// refer to them, as multiples of the file's size.
const workPerByte = 32

func (r *Reader) newFile() *file {
	f := &file{reader: r}
	f.forget()
	return f
}

// forget drops what was read of units.
func (f *file) forget() {
	f.units, f.attrsKept, f.abbrevBuffer, f.entryBuffer = nil, 0, nil, nil
	f.abbrevTables = make(map[abbrevKey]*abbrevs)
	f.functions = make(map[uint64]*Function)
	f.fileTables = make(map[uint64]*fileTable)
}

func (r *Reader) open(e *elffile.File) (*file, error) {
	f := r.newFile()
	for _, s := range []struct {
		to   **section
		name string
	}{
		{&f.info, ".debug_info"}, {&f.abbrev, ".debug_abbrev"}, {&f.line, ".debug_line"},
		{&f.str, ".debug_str"}, {&f.lineStr, ".debug_line_str"},
		{&f.ranges, ".debug_ranges"}, {&f.rnglists, ".debug_rnglists"},
		{&f.addr, ".debug_addr"}, {&f.strOffsets, ".debug_str_offsets"},
	} {
		left := uint64(max(r.limit-r.Memory()-f.memory(), 0))
		var err error
		if *s.to, err = openSection(e, s.name, left/8, left); err != nil {
			return nil, err
		}
		r.maxWork += workPerByte * (*s.to).size
	}
	r.maxWork += 1 << 20
	return f, f.readUnits()
}

// spend counts n bytes of work and reports whether that much is allowed.
func (r *Reader) spend(n uint64) bool {
	r.work += n
	return r.work <= r.maxWork
}

// Memory is what the reader holds, in bytes.
func (r *Reader) Memory() int64 {
	u := &r.unit
	n := int64(cap(r.infoBuffer)+cap(r.lineBuffer)) +
		int64(cap(u.Rows))*rowBytes + int64(cap(u.Scopes))*scopeBytes + int64(cap(u.Ranges))*rangeBytes
	if r.main != nil {
		n += r.main.memory()
		if r.main.alt != nil {
			n += r.main.alt.memory()
		}
	}
	if r.packaged != nil {
		n += r.packaged.memory() + r.packaged.index.memory()
	}
	if r.current != nil {
		n += r.current.memory()
	}
	return n
}

// Sizes for the accounting of memory, in bytes, with those of the places in
// maps.
const (
	rowBytes      = 24
	scopeBytes    = 40
	rangeBytes    = 16
	unitBytes     = 200
	attrBytes     = 16
	functionBytes = 200
)

func (f *file) memory() int64 {
	n := int64(len(f.units))*unitBytes + int64(f.attrsKept)*attrBytes + int64(cap(f.abbrevBuffer)+cap(f.entryBuffer)) +
		int64(len(f.functions))*functionBytes
	for i, s := range []*section{f.info, f.abbrev, f.line, f.str, f.lineStr, f.rnglists, f.strOffsets, f.ranges, f.addr} {
		if s != nil && !f.countedElsewhere && !(f.isSplit && i >= 7) {
			n += s.memory()
		}
	}
	for _, t := range f.fileTables {
		n += t.memory()
	}
	return n
}

// Unit is what one compile unit says about code.
type Unit struct {
	// Scopes are functions that have code, and the calls inlined into them: a
	// function first, then its calls, each after the one that it is in.
	Scopes []Scope
	// Ranges of addresses, of all scopes.
	Ranges []Range
	// Rows tell the lines. They are in sequences, in order of addresses in
	// each, and each ends with a row whose File is [NoFile].
	Rows []Row

	files *fileTable
}

// Scope is a function with code, or a call inlined into one.
type Scope struct {
	Function *Function
	// Parent is the index of the scope that a call is in, -1 for a function.
	Parent int32
	// FirstRange and LimitRange bound the scope's own part of [Unit.Ranges].
	FirstRange, LimitRange int32
	// CallFile (for [Unit.File]), CallLine and CallColumn are where an inlined
	// call is; a line or column is 0 when it is not known.
	CallFile, CallLine, CallColumn uint32
}

// Function is what is told of a function. Equal functions may be different
// pointers.
type Function struct {
	// Name is the linker's, or the plain name where that is not told, "" when
	// there is none.
	Name string
	// File and Line are where it is declared; "" and 0 when that is not known.
	File string
	Line uint32
}

// Range is addresses from Start on, below Limit.
type Range struct{ Start, Limit uint64 }

// Row says that code from Address on, up to the next row, comes from a line.
type Row struct {
	Address uint64
	File    uint32 // for Unit.File
	Line    uint32
	Column  uint32
}

// NoFile is the File of the row after a sequence: from there on nothing is
// known.
const NoFile = ^uint32(0)

// File returns the path of a file of the unit, "" when it is not known.
// Relative paths are taken to begin in the folder of compilation.
func (u *Unit) File(i uint32) string {
	if u.files == nil {
		return ""
	}
	return u.files.path(i)
}

// Next returns the next unit that says something about code, which is valid
// until the next call. At the end it is [io.EOF]. After an error in one unit
// the next may be fine, unless it is [ErrTooLarge].
func (r *Reader) Next() (*Unit, error) {
	for r.next < len(r.main.units) {
		u := &r.main.units[r.next]
		r.next++
		if r.skipGo && u.root() == nil && u.language == languageGo {
			continue
		}
		if u.partial {
			continue
		}
		r.unit = Unit{Scopes: r.unit.Scopes[:0], Ranges: r.unit.Ranges[:0], Rows: r.unit.Rows[:0]}
		if err := r.read(u); err != nil {
			return nil, err
		}
		if r.Memory() > r.limit {
			return nil, ErrTooLarge
		}
		if len(r.unit.Scopes) > 0 || len(r.unit.Rows) > 0 {
			return &r.unit, nil
		}
	}
	return nil, io.EOF
}

// inCode cuts a range to the segment of code that it begins in. What linkers
// leave of functions that they dropped begins at address 0, or outside of
// everything.
func (r *Reader) inCode(start, limit uint64) (Range, bool) {
	if start == 0 {
		return Range{}, false
	}
	i := slices.IndexFunc(r.code, func(s span) bool { return start >= s.start && start < s.limit })
	if i < 0 {
		return Range{}, false
	}
	limit = min(limit, r.code[i].limit)
	return Range{start, limit}, start < limit
}
