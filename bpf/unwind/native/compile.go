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
	c.rules = c.buckets + 1 + uint32(len(rows))
	c.words = make([]uint32, c.rules, c.rules+usualRules*ruleWords)
	lookup, packed := c.words[:c.buckets+1], c.words[c.buckets+1:]
	numbers := numbering{known: make(map[Rule]uint32)}
	next := uint32(0) // bucket whose first row is not known yet
	for i := range rows {
		row := &rows[i]
		for ; next <= row.Offset/bucketSize; next++ {
			lookup[next] = uint32(i)
		}
		packed[i] = row.Offset<<16 | numbers.of(&row.Rule)
	}
	for ; next <= c.buckets; next++ {
		lookup[next] = uint32(len(rows))
	}
	if len(numbers.list) > maxRules {
		return compiled{}, ErrTooLarge
	}
	for _, r := range numbers.list {
		w := r.words()
		c.words = append(c.words, w[:]...)
	}
	if len(c.words) > slabWords {
		return compiled{}, ErrTooLarge
	}
	return c, nil
}

// usualRules is how many different rules a chunk of much code has.
const usualRules = 512

// numbering numbers rules in the order in which they come.
type numbering struct {
	list  []Rule
	known map[Rule]uint32
	// recent are those that came last, by a hash: looking them up in the map
	// would take most of the time.
	recent [256]struct {
		rule   Rule
		number uint32 // + 1; 0: none
	}
}

func (n *numbering) of(r *Rule) uint32 {
	mostly := uint32(r.cfa) ^ uint32(r.reg)<<12 ^ uint32(uint16(r.fpAt))<<8 ^ uint32(uint16(r.rbxAt))<<16
	recent := &n.recent[mostly*0x9e3779b1>>24]
	if recent.number != 0 && recent.rule == *r {
		return recent.number - 1
	}
	number, known := n.known[*r]
	if !known {
		number = uint32(len(n.list))
		n.known[*r] = number
		n.list = append(n.list, *r)
	}
	recent.rule, recent.number = *r, number+1
	return number
}
