// Package gopclntab names addresses in Go programs by the table that Go's own
// runtime uses for stack traces, .gopclntab. It is there in stripped programs
// too, and knows inlined calls, files, lines and where functions begin.
//
// The format is not documented; it is what cmd/link writes and package runtime
// reads (cmd/link/internal/ld/pcln.go, runtime/symtab.go,
// runtime/symtabinl.go). Supported are the tables of Go 1.16 and later in
// 64-bit little-endian files.
package gopclntab

import (
	"bytes"
	"encoding/binary"
	"sort"

	"github.com/staccato-profiler/staccato"
)

// Table is the line table of one Go program. It reads the file whenever it is
// asked and keeps little of it: the tables of large programs have hundreds of
// megabytes. It is not safe for concurrent use.
type Table struct {
	header
	data pages  // from the header on
	text uint64 // address that function entries are relative to
	// starts are the entries of every startsStep-th function.
	starts []uint64
	limit  uint64 // where the last function ends
	whole  int64  // bytes of the table, when it is in memory
	// calls are the inlined calls, from address callsBase on: references to them are
	// relative to it. inlined is false when they were not found.
	calls     pages
	callsBase uint64
	inlined   bool

	scratch []byte // for strings
}

// startsStep is how many functions a page has, where entries take 4 bytes.
const startsStep = pageSize / 8

// Size returns the bytes of memory that the table occupies.
func (t *Table) Size() int64 {
	return t.whole + t.data.held + t.calls.held + 8*int64(cap(t.starts)) + int64(cap(t.scratch))
}

// Err returns why the file could not be read, the last time that it could not:
// then it is not known whether the table knew more.
func (t *Table) Err() error {
	if t.data.err != nil {
		return t.data.err
	}
	return t.calls.err
}

// Inlined reports whether inlined calls are known. When they are not, lines
// have no files and numbers, since these would be the inlined calls'.
func (t *Table) Inlined() bool { return t.inlined }

// Range returns the addresses that the table covers, from start to limit
// (exclusive).
func (t *Table) Range() (start, limit uint64) { return t.starts[0], t.limit }

// entry returns the address of the i-th function; i may be t.functions, for
// the end of the last.
func (t *Table) entry(i uint64) (uint64, bool) {
	at := t.table + 2*i*t.entrySize()
	if t.pointers {
		return t.data.uint64(at)
	}
	entry, ok := t.data.uint32(at)
	return t.text + uint64(entry), ok
}

// number reads one of the two numbers that the function table has for each function.
func (t *Table) number(b []byte) uint64 {
	if t.pointers {
		return binary.LittleEndian.Uint64(b)
	}
	return uint64(binary.LittleEndian.Uint32(b))
}

// address is the first of these, as an address.
func (t *Table) address(b []byte) uint64 { return t.text + t.number(b) }

// search returns the number of the function that the address lies in.
func (t *Table) search(address uint64) (uint64, bool) {
	if address < t.starts[0] || address >= t.limit {
		return 0, false
	}
	after := sort.Search(len(t.starts), func(i int) bool { return t.starts[i] > address })
	i, limit := uint64(after-1)*startsStep, min(uint64(after)*startsStep, t.functions)
	for limit-i > 1 {
		middle := i + (limit-i)/2
		entry, ok := t.entry(middle)
		switch {
		case !ok:
			return 0, false
		case entry > address:
			limit = middle
		default:
			i = middle
		}
	}
	return i, true
}

// function is a function's record, runtime._func.
type function struct {
	entry, limit uint64
	at           uint64 // of the record, in the table
	name, unit   uint32
	// stack, file and line are tables of values by address: how much of the frame
	// lies above the stack pointer, and the position. They are followed by tables
	// more, behind the record, and these by pieces of data.
	stack, file, line uint32
	tables            uint32
	pieces            byte
	startLine         int64
}

// Offsets of the fields of a function's record, behind its entry.
const (
	fieldName   = 0
	fieldStack  = 12
	fieldFile   = 16
	fieldLine   = 20
	fieldTables = 24
	fieldUnit   = 28

	inlineValues  = 2 // the table of values that says which inlined call
	inlineRecords = 3 // the piece of data that holds the inlined calls
)

// find returns the function that the address lies in.
func (t *Table) find(address uint64) (function, bool) {
	i, ok := t.search(address)
	if !ok {
		return function{}, false
	}
	return t.function(i)
}

// function returns the i-th function. When its record makes no sense, what is
// returned has at most entry and limit.
func (t *Table) function(i uint64) (f function, ok bool) {
	var known bool
	if f.entry, ok = t.entry(i); !ok {
		return function{}, false
	}
	if f.limit, ok = t.entry(i + 1); !ok {
		return function{}, false
	}
	at := t.table + (2*i+1)*t.entrySize()
	if t.pointers {
		f.at, known = t.data.uint64(at)
	} else {
		var offset uint32
		offset, known = t.data.uint32(at)
		f.at = uint64(offset)
	}
	if !known || f.at >= t.data.size-t.table || f.entry >= f.limit {
		return f, false
	}
	f.at += t.table
	var room [maxFunctionSize]byte
	record := room[:t.functionSize]
	if !t.data.copy(record, f.at) {
		return f, false
	}
	t.parse(record, &f)
	return f, true
}

// parse reads a function's record.
func (t *Table) parse(record []byte, f *function) {
	le, fields := binary.LittleEndian, record[t.entrySize():]
	f.name, f.unit = le.Uint32(fields[fieldName:]), le.Uint32(fields[fieldUnit:])
	f.stack, f.file, f.line = le.Uint32(fields[fieldStack:]), le.Uint32(fields[fieldFile:]), le.Uint32(fields[fieldLine:])
	f.tables, f.pieces = le.Uint32(fields[fieldTables:]), record[t.functionSize-1]
	if t.header.startLine > 0 {
		f.startLine = int64(int32(le.Uint32(record[t.header.startLine:])))
	}
}

// Resolve returns the functions that the ELF address lies in, the innermost
// inlined call first.
func (t *Table) Resolve(address uint64) ([]staccato.Line, bool) {
	f, ok := t.find(address)
	if !ok {
		return nil, false
	}
	name, ok := t.name(f.name)
	if !ok {
		return nil, false
	}
	w := walk{table: t, function: f, steps: maxSteps}
	lines := w.inlined(address)
	if lines == nil && !t.inlined && w.hasCalls() {
		return []staccato.Line{{Function: newFunction(name, "", f.startLine)}}, true
	}
	file, line := w.position(w.outer)
	return append(lines, staccato.Line{Function: newFunction(name, file, f.startLine), Line: line}), true
}

func newFunction(name, file string, startLine int64) *staccato.Function {
	return &staccato.Function{Name: name, SystemName: name, File: file, StartLine: max(startLine, 0)}
}

// maxString is the longest name and path taken, in bytes.
const maxString = 16 << 10

func (t *Table) name(offset uint32) (string, bool) {
	b := t.string(t.names, t.units, offset)
	return string(b), len(b) > 0
}

// string returns the bytes of the table from an offset on, in the part from start to
// limit, up to a zero byte; none when there is none. They are valid until the next
// call.
func (t *Table) string(start, limit uint64, offset uint32) []byte {
	at := start + uint64(offset)
	t.scratch = t.scratch[:0]
	for at < limit && len(t.scratch) < maxString {
		b := t.data.from(at)
		b = b[:min(uint64(len(b)), limit-at, uint64(maxString-len(t.scratch)))]
		if end := bytes.IndexByte(b, 0); end >= 0 {
			t.scratch = append(t.scratch, b[:end]...)
			return t.scratch
		}
		if len(b) == 0 {
			break
		}
		t.scratch = append(t.scratch, b...)
		at += uint64(len(b))
	}
	return nil
}
