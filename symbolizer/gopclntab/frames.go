package gopclntab

// maxPadding is how many bytes between two functions are alignment. No code is
// there, so they need no size of their own.
const maxPadding = 31

// Frames tells, for the functions that begin before limit and end behind start,
// how many bytes of a function's frame lie above the stack pointer, without its
// return address on amd64: emit is called with the address from which on that
// holds, and the function's name, which is valid during the call only. Addresses
// grow. A function whose table makes no sense has size -1. With an error, not all of
// it could be read.
func (t *Table) Frames(start, limit uint64, emit func(address uint64, size int32, function []byte)) error {
	failed := t.data.failed
	i, ok := t.search(max(start, t.starts[0]))
	for ok && i < t.functions {
		f, known := t.function(i)
		if f.entry >= limit {
			break
		}
		switch {
		case known:
			t.frames(f, t.string(t.names, t.units, f.name), emit)
		case f.entry < f.limit:
			emit(f.entry, -1, nil)
		}
		if t.data.failed > failed {
			return t.data.err
		}
		i++
	}
	return nil
}

func (t *Table) frames(f function, name []byte, emit func(address uint64, size int32, function []byte)) {
	v, ok := t.valuesOf(f.stack)
	if !ok {
		emit(f.entry, -1, name)
		return
	}
	at := f.entry
	for at < f.limit && v.next() {
		emit(at, max(v.value, -1), name)
		at += v.size
	}
	if at < f.limit && f.limit-at > maxPadding {
		emit(at, -1, name)
	}
}
