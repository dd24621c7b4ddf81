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

// Table is the line table of one Go program. It holds the table's bytes as
// they are in the file, and nothing of the file itself. It is safe for
// concurrent use.
type Table struct {
	header
	data []byte // from the header on
	text uint64 // address that function entries are relative to
	// calls are the file's bytes from address callsAt on: the inlined calls of
	// all functions lie in them. inlined is false when they were not found.
	calls   []byte
	callsAt uint64
	// callsBase is the address that the references to inlined calls are
	// relative to.
	callsBase uint64
	inlined   bool
}

// Size returns the bytes of memory that the table occupies.
func (t *Table) Size() int64 {
	return int64(cap(t.data) + cap(t.calls))
}

// Inlined reports whether inlined calls are known. When they are not, lines
// have no files and numbers, since these would be the inlined calls'.
func (t *Table) Inlined() bool { return t.inlined }

// Range returns the addresses that the table covers, from start to limit
// (exclusive).
func (t *Table) Range() (start, limit uint64) {
	return t.entry(0), t.entry(t.functions)
}

// entry returns the address of the i-th function; i may be t.functions, for
// the end of the last.
func (t *Table) entry(i uint64) uint64 {
	at := t.data[t.table+2*i*t.entrySize():]
	if t.pointers {
		return binary.LittleEndian.Uint64(at)
	}
	return t.text + uint64(binary.LittleEndian.Uint32(at))
}

// function is a function's record.
type function struct {
	entry, limit uint64
	record       []byte // fixed part and the arrays that follow it
}

// find returns the function that the address lies in.
func (t *Table) find(address uint64) (function, bool) {
	i := uint64(sort.Search(int(t.functions)+1, func(i int) bool { return t.entry(uint64(i)) > address }))
	if i == 0 || i > t.functions {
		return function{}, false
	}
	return t.function(i - 1)
}

// function returns the i-th function.
func (t *Table) function(i uint64) (function, bool) {
	at := t.data[t.table+(2*i+1)*t.entrySize():]
	offset := uint64(binary.LittleEndian.Uint32(at))
	if t.pointers {
		offset = binary.LittleEndian.Uint64(at)
	}
	if offset >= uint64(len(t.data))-t.table {
		return function{}, false
	}
	f := function{entry: t.entry(i), limit: t.entry(i + 1), record: t.data[t.table+offset:]}
	return f, len(f.record) >= t.functionSize && f.entry < f.limit
}

// Numbers of the fields of a function's record that follow its entry.
const (
	fieldName     = 0
	fieldFile     = 4
	fieldLine     = 5
	fieldPCData   = 6 // number of tables of values by address
	fieldUnit     = 7
	inlineValues  = 2 // the table of values that says which inlined call
	inlineRecords = 3 // the function data that holds the inlined calls
)

func (t *Table) field(f function, n int) uint32 {
	return binary.LittleEndian.Uint32(f.record[int(t.entrySize())+4*n:])
}

func (t *Table) startLine(f function) int64 {
	if t.header.startLine == 0 {
		return 0
	}
	return int64(int32(binary.LittleEndian.Uint32(f.record[t.header.startLine:])))
}

// Resolve returns the functions that the ELF address lies in, the innermost
// inlined call first.
func (t *Table) Resolve(address uint64) ([]staccato.Line, bool) {
	f, ok := t.find(address)
	if !ok {
		return nil, false
	}
	name, ok := t.name(t.field(f, fieldName))
	if !ok {
		return nil, false
	}
	w := walk{table: t, function: f, steps: maxSteps}
	lines := w.inlined(address)
	if lines == nil && !t.inlined && w.hasCalls() {
		return []staccato.Line{{Function: newFunction(name, "", t.startLine(f))}}, true
	}
	file, line := w.position(w.outer)
	return append(lines, staccato.Line{Function: newFunction(name, file, t.startLine(f)), Line: line}), true
}

func newFunction(name, file string, startLine int64) *staccato.Function {
	return &staccato.Function{Name: name, SystemName: name, File: file, StartLine: max(startLine, 0)}
}

// maxString is the longest name and path taken, in bytes.
const maxString = 16 << 10

func (t *Table) name(offset uint32) (string, bool) {
	return text(t.data[t.names:t.units], uint64(offset))
}

// text returns the string that starts at offset and ends with a zero byte.
func text(b []byte, offset uint64) (string, bool) {
	if offset >= uint64(len(b)) {
		return "", false
	}
	b = b[offset:]
	end := bytes.IndexByte(b[:min(len(b), maxString)], 0)
	if end <= 0 {
		return "", false
	}
	return string(b[:end]), true
}
