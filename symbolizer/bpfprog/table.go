// Package bpfprog finds the lines of C that a loaded BPF program was compiled
// from. Compilers write them into the program's type information (BTF), and the
// kernel, which translates the program to machine code, tells which address of
// it belongs to which line.
package bpfprog

import (
	"errors"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/staccato-profiler/staccato"
)

// Config says how much is kept. The zero value of each field is its default.
type Config struct {
	// Limit is how much memory the lines may take, in bytes; default 16 MiB.
	Limit int64
}

// Table holds the lines of programs that are loaded, and of some that are gone.
// Its methods may be called from several goroutines.
type Table struct {
	config Config
	kernel kernel

	reading sync.Mutex // held while programs are read
	last    uint32     // the newest program that was read; IDs grow
	denied  error      // we may not read programs

	mu     sync.Mutex
	byTag  map[string][]*function
	bytes  int64
	beyond uint64 // programs without lines because of the limit
}

// function is the code of a program, or of one of its subprograms.
type function struct {
	program    uint32 // ID
	tags       []string
	start, end uint64
	lines      []line // by address
	files      []string
	named      map[uint32]*staccato.Function // by file
}

// line says that code from an address on, up to the next line's, is of a line.
type line struct {
	address      uint64
	line, column uint32
	file         uint32 // index in function.files
}

const (
	// Sizes for the accounting of memory, in bytes.
	functionBytes = 256
	lineBytes     = 24

	prefix    = "bpf_prog_"
	tagLength = 16 // in hex digits
)

// New returns an empty table.
func New(config Config) *Table {
	if config.Limit == 0 {
		config.Limit = 16 << 20
	}
	return &Table{config: config, kernel: system{}, byTag: make(map[string][]*function)}
}

// IsProgram says whether a symbol of the kernel is the name of a BPF program:
// bpf_prog_TAG_NAME, where TAG is a hash of the program before translation.
func IsProgram(symbol string) bool { return tagOf(symbol) != "" }

func tagOf(symbol string) string {
	rest, ok := strings.CutPrefix(symbol, prefix)
	if !ok || len(rest) < tagLength || len(rest) > tagLength && rest[tagLength] != '_' || strings.Contains(rest, " ") {
		return ""
	}
	return rest[:tagLength]
}

// Refresh reads the programs that were loaded since the last call; at first all.
// After an error all is as before; it is permanent when a privilege is missing
// (CAP_SYS_ADMIN).
func (t *Table) Refresh() error {
	t.reading.Lock()
	defer t.reading.Unlock()
	if t.denied != nil {
		return t.denied
	}
	strings := make(map[uint32][]byte) // many programs share their type information
	for {
		id, err := t.kernel.next(t.last)
		if errors.Is(err, errNoMore) {
			return nil
		}
		var functions []*function
		if err == nil {
			functions, err = t.kernel.read(id, strings)
		}
		if errors.Is(err, errDenied) {
			t.denied = err
		}
		if err != nil && !errors.Is(err, errGone) {
			return err
		}
		t.last = id
		t.add(functions)
	}
}

func (f *function) size() int64 {
	size := functionBytes + lineBytes*int64(cap(f.lines))
	for _, name := range f.files {
		size += int64(len(name)) + 16
	}
	return size
}

// add takes functions of one program over.
func (t *Table) add(functions []*function) {
	size := int64(0)
	for _, f := range functions {
		size += f.size()
	}
	t.mu.Lock()
	full := t.bytes+size > t.config.Limit
	t.mu.Unlock()
	if full {
		t.forgetGone()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.bytes+size > t.config.Limit {
		t.beyond++
		return
	}
	t.bytes += size
	for _, f := range functions {
		for _, tag := range f.tags {
			t.byTag[tag] = append(t.byTag[tag], f)
		}
	}
}

// forgetGone drops programs that are not loaded any more.
func (t *Table) forgetGone() {
	live := make(map[uint32]bool)
	for id := uint32(0); ; {
		next, err := t.kernel.next(id)
		if err != nil {
			break
		}
		live[next], id = true, next
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for tag, list := range t.byTag {
		list = slices.DeleteFunc(list, func(f *function) bool {
			gone := !live[f.program]
			if gone && tag == f.tags[0] {
				t.bytes -= f.size()
			}
			return gone
		})
		if t.byTag[tag] = list; len(list) == 0 {
			delete(t.byTag, tag)
		}
	}
}

// Line returns the line of C that an address belongs to, in the program with
// this symbol. A line's function is the program or subprogram, whatever was
// inlined, and its file is the line's.
func (t *Table) Line(symbol string, address uint64) (staccato.Line, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := t.byTag[tagOf(symbol)]
	// Of two at the same place the later one is meant: they are the same code.
	for k := len(list) - 1; k >= 0; k-- {
		f := list[k]
		if address < f.start || address >= f.end {
			continue
		}
		i := sort.Search(len(f.lines), func(i int) bool { return f.lines[i].address > address }) - 1
		if i < 0 {
			return staccato.Line{}, false
		}
		l := f.lines[i]
		return staccato.Line{Function: f.function(symbol, l.file), Line: int64(l.line), Column: int64(l.column)}, true
	}
	return staccato.Line{}, false
}

func (f *function) function(symbol string, file uint32) *staccato.Function {
	known := f.named[file]
	if known == nil {
		known = &staccato.Function{Name: symbol, SystemName: symbol, File: f.files[file]}
		if f.lines[0].file == file {
			known.StartLine = int64(f.lines[0].line)
		}
		if f.named == nil {
			f.named = make(map[uint32]*staccato.Function)
		}
		f.named[file] = known
	}
	return known
}
