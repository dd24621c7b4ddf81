package otlp

// table is one table of a profiles dictionary: equal entries share an index,
// and entry 0 is the zero message, which stands for "none".
type table[M any] struct {
	entries []*M
	// index finds an entry by its key: bytes that differ whenever entries do.
	index map[string]int32
	// free is memory for the next entries: they are small and many, so they
	// are allocated together.
	free []M
}

// newTable returns a table that holds only the zero message, whose key is
// empty, and has room for about that many more.
func newTable[M any](room int) table[M] {
	t := table[M]{index: make(map[string]int32, room+1), entries: make([]*M, 0, room+1)}
	t.add(nil)
	return t
}

// find returns the index of the entry with this key.
func (t *table[M]) find(key []byte) (int32, bool) {
	i, ok := t.index[string(key)]
	return i, ok
}

// add appends an entry that find did not know; the caller fills it.
func (t *table[M]) add(key []byte) (int32, *M) {
	i := int32(len(t.entries))
	m := &take(&t.free, 1)[0]
	t.entries = append(t.entries, m)
	t.index[string(key)] = i
	return i, m
}

// take cuts n elements off *free, which it refills when it is too short. The
// result has no room to grow, so that appending to it leaves others alone.
func take[T any](free *[]T, n int) []T {
	const block = 256
	if len(*free) < n {
		*free = make([]T, max(block, n))
	}
	cut := (*free)[:n:n]
	*free = (*free)[n:]
	return cut
}
