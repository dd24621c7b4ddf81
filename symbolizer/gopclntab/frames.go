package gopclntab

import "sort"

// fieldStack is the field of a function's record with the table that says how
// much of its frame lies above the stack pointer.
const fieldStack = 3

// Frames tells, for the functions that begin before limit and end behind start,
// how many bytes of a function's frame lie above the stack pointer, without its
// return address on amd64: emit is called with the address from which on that
// holds. Addresses grow. A function whose table cannot be read has size -1.
func (t *Table) Frames(start, limit uint64, emit func(address uint64, size int32, function string)) {
	first := sort.Search(int(t.functions), func(i int) bool { return t.entry(uint64(i)+1) > start })
	for i := uint64(first); i < t.functions && t.entry(i) < limit; i++ {
		f, ok := t.function(i)
		if !ok {
			if t.entry(i) < t.entry(i+1) {
				emit(t.entry(i), -1, "")
			}
			continue
		}
		name, _ := t.name(t.field(f, fieldName))
		t.frames(f, name, emit)
	}
}

func (t *Table) frames(f function, name string, emit func(address uint64, size int32, function string)) {
	values := t.data[t.values:t.table]
	offset := t.field(f, fieldStack)
	if offset == 0 || uint64(offset) >= uint64(len(values)) {
		emit(f.entry, -1, name)
		return
	}
	values = values[offset:]
	value, at := int32(-1), f.entry
	for first := true; at < f.limit; first = false {
		change, n := number(values)
		if n == 0 || change == 0 && !first {
			break
		}
		size, m := number(values[n:])
		if m == 0 {
			break
		}
		values = values[n+m:]
		value += int32(change>>1) ^ -int32(change&1)
		emit(at, max(value, -1), name)
		at += uint64(size) * t.quantum
	}
	if at < f.limit {
		emit(at, -1, name)
	}
}
