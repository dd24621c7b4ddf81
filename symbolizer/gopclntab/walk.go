package gopclntab

import (
	"encoding/binary"

	"github.com/staccato-profiler/staccato"
)

const (
	// maxSteps bounds the values read for one address: about 10 ms. The largest functions
	// have some 100,000 in each of their three tables.
	maxSteps = 1 << 22
	// maxDepth bounds inlined calls in each other.
	maxDepth = 256
)

// walk reads the tables of one function for one address.
type walk struct {
	table    *Table
	function function
	steps    int    // that may still be taken
	outer    uint64 // where in the function itself the address lies, set by inlined
}

// inlined returns the inlined calls that the address lies in, innermost first.
// A call's record names an address in its caller whose position is the call
// site, and which may lie in another inlined call.
func (w *walk) inlined(address uint64) []staccato.Line {
	w.outer = address
	if !w.table.inlined {
		return nil
	}
	values, ok := w.callValues()
	if !ok {
		return nil
	}
	tree, ok := w.tree()
	if !ok {
		return nil
	}
	var lines []staccato.Line
	for len(lines) < maxDepth {
		index, ok := w.value(values, w.outer)
		if !ok || index < 0 {
			break
		}
		call, ok := w.table.inlinedCall(tree, uint64(index))
		if !ok {
			break
		}
		name, ok := w.table.name(call.name)
		if !ok {
			break
		}
		file, line := w.position(w.outer)
		lines = append(lines, staccato.Line{Function: newFunction(name, file, call.startLine), Line: line})
		w.outer = w.function.entry + uint64(call.parent)
	}
	return lines
}

// call is the record of an inlined call.
type call struct {
	name, parent uint32
	startLine    int64
}

// inlinedCall returns one of a function's inlined calls, which begin at tree.
func (t *Table) inlinedCall(tree, index uint64) (c call, ok bool) {
	l := t.call
	var room [maxCallSize]byte
	record := room[:l.size]
	if !t.calls.copy(record, tree+index*uint64(l.size)) {
		return call{}, false
	}
	le := binary.LittleEndian
	c.name, c.parent = le.Uint32(record[l.name:]), le.Uint32(record[l.parent:])
	if l.startLine > 0 {
		c.startLine = int64(int32(le.Uint32(record[l.startLine:])))
	}
	return c, true
}

// position returns the file and line of an address, "" and 0 when not known.
func (w *walk) position(address uint64) (string, int64) {
	t := w.table
	line, ok := w.value(w.function.line, address)
	if !ok || line < 0 {
		return "", 0
	}
	file, ok := w.value(w.function.file, address)
	unit := w.function.unit
	if !ok || file < 0 || unit == ^uint32(0) {
		return "", 0
	}
	at := t.units + 4*(uint64(unit)+uint64(file))
	if at+4 > t.files {
		return "", 0
	}
	offset, ok := t.data.uint32(at)
	if !ok {
		return "", 0
	}
	path := t.string(t.files, t.values, offset)
	if len(path) == 0 {
		return "", 0
	}
	return string(path), int64(line)
}

// hasCalls reports whether the function says that calls are inlined into it.
func (w *walk) hasCalls() bool {
	_, ok := w.callValues()
	return ok
}

// callValues returns the offset of the table that says, by address, which
// inlined call an address lies in.
func (w *walk) callValues() (uint32, bool) {
	t := w.table
	if w.function.tables <= inlineValues {
		return 0, false
	}
	offset, ok := t.data.uint32(w.function.at + uint64(t.functionSize) + 4*inlineValues)
	return offset, ok && offset != 0
}

// tree returns where the function's inlined calls begin, relative to callsBase.
func (w *walk) tree() (uint64, bool) {
	t, f := w.table, &w.function
	if f.pieces <= inlineRecords {
		return 0, false
	}
	at := uint64(t.functionSize) + 4*uint64(f.tables)
	if t.pointers {
		at = (at+7)&^7 + 8*inlineRecords
		address, ok := t.data.uint64(f.at + at)
		return address - t.callsBase, ok && address >= t.callsBase && address != 0
	}
	offset, ok := t.data.uint32(f.at + at + 4*inlineRecords)
	return uint64(offset), ok && offset != ^uint32(0)
}

// value looks up the value of an address in the function's table at offset.
func (w *walk) value(offset uint32, address uint64) (int32, bool) {
	v, ok := w.table.valuesOf(offset)
	at := w.function.entry
	for ok && w.steps > 0 {
		w.steps--
		if !v.next() {
			break
		}
		if at += v.size; address < at {
			return v.value, true
		}
	}
	return 0, false
}
