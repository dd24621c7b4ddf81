package native

import "errors"

const (
	// ChunkSize is how many bytes of an executable's file a chunk is at most.
	ChunkSize  = 1 << 22
	bucketSize = 1 << 10
	maxRules   = 1 << 16
)

// ErrTooLarge says that a chunk has more rows or rules than a table holds.
var ErrTooLarge = errors.New("unwind table is too large")

// Table is the unwind table of a chunk, in the form of include/table.h.
type Table struct {
	words   []uint32
	buckets uint32
	rules   uint32 // where they begin in words; rows follow lookup
}

// Bytes is how much memory of the kernel's the table takes.
func (t *Table) Bytes() int { return 4 * len(t.words) }

// Rows is how many rows the table has.
func (t *Table) Rows() int { return int(t.rules - t.buckets - 1) }

// Empty returns the table of a chunk of size bytes of which nothing is known.
func Empty(size uint32) *Table {
	b := NewBuilder(size, 1)
	b.Add(0, &Rule{})
	t, _ := b.Table() // one row fits
	return t
}

// Builder makes the table of a chunk of rows: a rule holds from a row's offset on, up
// to the next row, the last up to the end.
type Builder struct {
	size    uint32
	words   []uint32 // lookup and rows
	buckets uint32
	known   uint32 // buckets whose first row is known
	numbers numbering
	// last is the rule of the last of the rows in words, and row what was added after
	// it: another rule may come for the same offset.
	last, row Rule
	offset    uint32
	added     bool // there is such a row
	tooLarge  bool
}

// NewBuilder returns a Builder for a chunk of size bytes, at most [ChunkSize], and
// room for so many rows.
func NewBuilder(size uint32, rows int) *Builder {
	b := &Builder{size: size, numbers: numbering{known: make(map[Rule]uint32)}}
	if b.tooLarge = size > ChunkSize; b.tooLarge {
		return b
	}
	b.buckets = (size + bucketSize - 1) / bucketSize
	b.words = make([]uint32, b.buckets+1, min(int(b.buckets)+1+rows+usualRules*ruleWords, slabWords))
	return b
}

// Add adds a row. Offsets grow; of rows for the same offset the last holds.
func (b *Builder) Add(offset uint32, rule *Rule) {
	if b.added && offset != b.offset {
		b.put()
	}
	b.offset, b.row, b.added = offset, *rule, true
}

// put puts the row that was added last into words, unless nothing changes there.
func (b *Builder) put() {
	rows := uint32(len(b.words)) - b.buckets - 1
	if b.tooLarge || rows > 0 && b.row == b.last {
		return
	}
	number := b.numbers.of(&b.row)
	if b.tooLarge = b.offset >= b.size || len(b.words) == slabWords || number == maxRules; b.tooLarge {
		return
	}
	for ; b.known <= b.offset/bucketSize; b.known++ {
		b.words[b.known] = rows
	}
	b.words = append(b.words, b.offset<<16|number)
	b.last = b.row
}

// Table returns the table, of which there can be none with the error [ErrTooLarge].
// Nothing can be added to it.
func (b *Builder) Table() (*Table, error) {
	if b.added {
		b.put()
	}
	if b.tooLarge || len(b.words)+len(b.numbers.list)*ruleWords > slabWords {
		return nil, ErrTooLarge
	}
	t := &Table{words: b.words, buckets: b.buckets, rules: uint32(len(b.words))}
	for ; b.known <= b.buckets; b.known++ {
		b.words[b.known] = t.rules - t.buckets - 1
	}
	for _, r := range b.numbers.list {
		w := r.words()
		t.words = append(t.words, w[:]...)
	}
	return t, nil
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
