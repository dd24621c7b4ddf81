package native

import "errors"

// Row says that a rule holds from an offset in a chunk on, up to the next row.
type Row struct {
	Offset uint32
	Rule   Rule
}

const (
	// ChunkSize is how many bytes of an executable's file a chunk is at most.
	ChunkSize  = 1 << 22
	bucketSize = 1 << 10
	maxRules   = 1 << 16
)

// ErrTooLarge says that a chunk has more rows or rules than a table holds.
var ErrTooLarge = errors.New("unwind table is too large")

// compiled is a table in the form of include/table.h.
type compiled struct {
	words   []uint32
	buckets uint32
	rules   uint32 // where they begin in words; rows follow lookup
}

// compile makes the table of a chunk of size bytes of its rows, which are in
// order. The last holds up to the end.
func compile(rows []Row, size uint32) (compiled, error) {
	if size > ChunkSize || len(rows) > 0 && rows[len(rows)-1].Offset >= size {
		return compiled{}, ErrTooLarge
	}
	c := compiled{buckets: (size + bucketSize - 1) / bucketSize}
	numbers := make(map[Rule]uint32)
	var list []Rule
	packed := make([]uint32, len(rows))
	lookup := make([]uint32, c.buckets+1)
	next := uint32(0) // bucket whose first row is not known yet
	for i, row := range rows {
		for ; next <= row.Offset/bucketSize; next++ {
			lookup[next] = uint32(i)
		}
		number, known := numbers[row.Rule]
		if !known {
			number = uint32(len(list))
			numbers[row.Rule] = number
			list = append(list, row.Rule)
		}
		packed[i] = row.Offset<<16 | number
	}
	for ; next <= c.buckets; next++ {
		lookup[next] = uint32(len(rows))
	}
	if len(list) > maxRules {
		return compiled{}, ErrTooLarge
	}
	c.rules = uint32(len(lookup) + len(packed))
	c.words = append(lookup, packed...)
	for _, r := range list {
		w := r.words()
		c.words = append(c.words, w[:]...)
	}
	if len(c.words) > slabWords {
		return compiled{}, ErrTooLarge
	}
	return c, nil
}
