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
	l := w.table.call
	var lines []staccato.Line
	for len(lines) < maxDepth {
		index, ok := w.value(values, w.outer)
		if !ok || index < 0 || (int(index)+1)*l.size > len(tree) {
			break
		}
		call := tree[int(index)*l.size:]
		name, ok := w.table.name(binary.LittleEndian.Uint32(call[l.name:]))
		if !ok {
			break
		}
		start := int64(0)
		if l.startLine > 0 {
			start = int64(int32(binary.LittleEndian.Uint32(call[l.startLine:])))
		}
		file, line := w.position(w.outer)
		lines = append(lines, staccato.Line{Function: newFunction(name, file, start), Line: line})
		w.outer = w.function.entry + uint64(binary.LittleEndian.Uint32(call[l.parent:]))
	}
	return lines
}

// position returns the file and line of an address, "" and 0 when not known.
func (w *walk) position(address uint64) (string, int64) {
	t := w.table
	line, ok := w.value(t.field(w.function, fieldLine), address)
	if !ok || line < 0 {
		return "", 0
	}
	file, ok := w.value(t.field(w.function, fieldFile), address)
	unit := t.field(w.function, fieldUnit)
	if !ok || file < 0 || unit == ^uint32(0) {
		return "", 0
	}
	units := t.data[t.units:t.files]
	at := 4 * (uint64(unit) + uint64(file))
	if at+4 > uint64(len(units)) {
		return "", 0
	}
	path, ok := text(t.data[t.files:t.values], uint64(binary.LittleEndian.Uint32(units[at:])))
	if !ok {
		return "", 0
	}
	return path, int64(line)
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
	if t.field(w.function, fieldPCData) <= inlineValues {
		return 0, false
	}
	at := t.functionSize + 4*inlineValues
	if at+4 > len(w.function.record) {
		return 0, false
	}
	offset := binary.LittleEndian.Uint32(w.function.record[at:])
	return offset, offset != 0
}

// tree returns the bytes from the function's inlined calls on.
func (w *walk) tree() ([]byte, bool) {
	at, ok := w.table.treeAddress(w.function)
	if !ok || at < w.table.callsAt || at-w.table.callsAt >= uint64(len(w.table.calls)) {
		return nil, false
	}
	return w.table.calls[at-w.table.callsAt:], true
}

// treeAddress returns the address of the function's inlined calls.
func (t *Table) treeAddress(f function) (uint64, bool) {
	if int(f.record[t.functionSize-1]) <= inlineRecords {
		return 0, false
	}
	at := uint64(t.functionSize) + 4*uint64(t.field(f, fieldPCData))
	if t.pointers {
		at = (at+7)&^7 + 8*inlineRecords
		if at+8 > uint64(len(f.record)) {
			return 0, false
		}
		address := binary.LittleEndian.Uint64(f.record[at:])
		return address, address != 0
	}
	at += 4 * inlineRecords
	if at+4 > uint64(len(f.record)) {
		return 0, false
	}
	offset := binary.LittleEndian.Uint32(f.record[at:])
	return t.callsBase + uint64(offset), offset != ^uint32(0)
}

// value looks up the value of an address in the function's table at offset: a
// list of pairs (change of the value, number of bytes it holds for), each a
// variable-length number, ended by a change of zero. The value starts at -1.
func (w *walk) value(offset uint32, address uint64) (int32, bool) {
	t := w.table
	values := t.data[t.values:t.table]
	if offset == 0 || uint64(offset) >= uint64(len(values)) {
		return 0, false
	}
	values = values[offset:]
	value, at := int32(-1), w.function.entry
	for first := true; w.steps > 0; first = false {
		w.steps--
		change, n := number(values)
		if n == 0 || change == 0 && !first {
			return 0, false
		}
		size, m := number(values[n:])
		if m == 0 {
			return 0, false
		}
		values = values[n+m:]
		value += int32(change>>1) ^ -int32(change&1)
		at += uint64(size) * t.quantum
		if address < at {
			return value, true
		}
	}
	return 0, false
}

// number decodes a little-endian base-128 number of at most 32 bits and
// returns how many bytes it takes, 0 when it is not valid.
func number(b []byte) (uint32, int) {
	v := uint32(0)
	for i := 0; i < len(b) && i < 5; i++ {
		v |= uint32(b[i]&0x7f) << (7 * i)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

// greatest returns the greatest value of the function's table at offset, at
// least -1.
func (w *walk) greatest(offset uint32) int32 {
	t := w.table
	values := t.data[t.values:t.table]
	if uint64(offset) >= uint64(len(values)) {
		return -1
	}
	values = values[offset:]
	value, most := int32(-1), int32(-1)
	for first := true; w.steps > 0; first = false {
		w.steps--
		change, n := number(values)
		if n == 0 || change == 0 && !first {
			break
		}
		_, m := number(values[n:])
		if m == 0 {
			break
		}
		values = values[n+m:]
		value += int32(change>>1) ^ -int32(change&1)
		most = max(most, value)
	}
	return most
}
