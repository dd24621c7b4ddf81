package gopclntab

// values is a table of values by address: a list of pairs (change of the value,
// number of bytes it holds for), each a variable-length number, ended by a change of
// zero. The value starts at -1. Nothing else may be read of the table meanwhile.
type values struct {
	data    *pages
	at, end uint64
	page    []byte // what is left of a page
	quantum uint64
	started bool
	value   int32
	size    uint64 // how many bytes of code the value holds for
}

// valuesOf returns the table of values at an offset; false when there is none.
func (t *Table) valuesOf(offset uint32) (values, bool) {
	v := values{data: &t.data, at: t.values + uint64(offset), end: t.table, quantum: t.quantum, value: -1}
	return v, offset != 0 && v.at < v.end
}

// next goes to the next value, and reports whether there is one.
func (v *values) next() bool {
	change, ok := v.number()
	if !ok || change == 0 && v.started {
		return false
	}
	size, ok := v.number()
	if !ok {
		return false
	}
	v.started = true
	v.value += int32(change>>1) ^ -int32(change&1)
	v.size = uint64(size) * v.quantum
	return true
}

// number reads a little-endian base-128 number of at most 32 bits.
func (v *values) number() (n uint32, ok bool) {
	for shift := 0; shift < 5*7; shift += 7 {
		if len(v.page) == 0 && !v.more() {
			return 0, false
		}
		b := v.page[0]
		v.page = v.page[1:]
		n |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return n, true
		}
	}
	return 0, false
}

func (v *values) more() bool {
	if v.at >= v.end {
		return false
	}
	v.page = v.data.from(v.at)
	v.page = v.page[:min(uint64(len(v.page)), v.end-v.at)]
	v.at += uint64(len(v.page))
	return len(v.page) > 0
}
