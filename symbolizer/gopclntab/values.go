package gopclntab

// values is a table of values by address: a list of pairs (change of the value,
// number of bytes it holds for), each a variable-length number, ended by a change of
// zero. The value starts at -1. Nothing else may be read of the table meanwhile.
type values struct {
	data    *pages
	at, end uint64 // what is to be read after page
	page    []byte
	done    int // in page
	quantum uint64
	started bool
	value   int32
	size    uint64 // how many bytes of code the value holds for
}

// valuesOf returns the table of values at an offset; false when there is none.
func (t *Table) valuesOf(offset uint32) (values, bool) { return t.valuesIn(&t.data, offset) }

func (t *Table) valuesIn(data *pages, offset uint32) (values, bool) {
	v := values{data: data, at: t.values + uint64(offset), end: t.table, quantum: t.quantum, value: -1}
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
	if i := v.done; i+1 < len(v.page) { // most are of one byte or two
		low, high := uint32(v.page[i]), uint32(v.page[i+1])
		switch {
		case low < 0x80:
			v.done = i + 1
			return low, true
		case high < 0x80:
			v.done = i + 2
			return low&0x7f | high<<7, true
		}
	}
	return v.long()
}

func (v *values) long() (n uint32, ok bool) {
	for shift := 0; shift < 5*7; shift += 7 {
		if v.done == len(v.page) && !v.more() {
			return 0, false
		}
		b := v.page[v.done]
		v.done++
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
	v.page, v.done = v.data.from(v.at), 0
	v.page = v.page[:min(uint64(len(v.page)), v.end-v.at)]
	v.at += uint64(len(v.page))
	return len(v.page) > 0
}
