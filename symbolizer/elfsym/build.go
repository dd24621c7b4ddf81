package elfsym

import (
	"bytes"
	"cmp"
	"debug/elf"
	"math"
	"slices"
)

// rankOf orders the names that one address has: sized before unsized, then
// global, weak, local.
func rankOf(e entry) uint8 {
	rank := uint8(2)
	switch elf.ST_BIND(e.info) {
	case elf.STB_GLOBAL, elf.STB_LOOS: // LOOS is GNU's "unique"
		rank = 0
	case elf.STB_WEAK:
		rank = 1
	}
	if elf.ST_TYPE(e.info) == elf.STT_NOTYPE {
		rank += 3
	}
	if e.size == 0 {
		rank += 6
	}
	return rank
}

func sortByName(symbols []symbol) {
	slices.SortFunc(symbols, func(a, b symbol) int { return cmp.Compare(a.name, b.name) })
}

// table makes the table of the symbols read so far.
func (b *builder) table() *Table {
	slices.SortFunc(b.symbols, b.compare)
	// The first symbol at an address is the best.
	b.symbols = slices.CompactFunc(b.symbols, func(a, b symbol) bool { return a.start == b.start })
	b.stretch()
	return b.pack(flatten(b.symbols))
}

// compare orders by address, then the best name first: by rank; with fewer
// leading underscores (malloc, not __libc_malloc); the larger; the shorter
// name; and last by the name itself, so that the order in the file does not
// matter.
func (b *builder) compare(x, y symbol) int {
	if c := cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.rank, y.rank)); c != 0 {
		return c
	}
	xName, yName := b.name(x), b.name(y)
	return cmp.Or(
		cmp.Compare(underscores(xName), underscores(yName)),
		cmp.Compare(y.size, x.size),
		cmp.Compare(len(xName), len(yName)),
		bytes.Compare(xName, yName))
}

func (b *builder) name(s symbol) []byte {
	return b.names[s.name : int(s.name)+int(s.length)]
}

func underscores(name []byte) int {
	return len(name) - len(bytes.TrimLeft(name, "_"))
}

// flatten cuts overlapping symbols, which are in order of address and have
// distinct ones, into ranges that do not overlap: where several symbols cover
// a byte, the one that starts last gets it. Symbols without a size get their
// first byte when no other symbol covers it. There are at most twice as many
// ranges as symbols.
func flatten(symbols []symbol) []symbol {
	ranges := make([]symbol, 0, len(symbols))
	emit := func(s symbol, start, limit uint64) {
		if start < limit {
			s.start, s.size = start, limit-start
			ranges = append(ranges, s)
		}
	}
	// open holds the symbols that cover position, the outermost first.
	var open []symbol
	position := uint64(0)
	// advance emits what the open symbols cover between position and to.
	advance := func(to uint64) {
		for len(open) > 0 {
			top := open[len(open)-1]
			end := min(limitOf(top), to)
			emit(top, position, end)
			position = max(position, end)
			if limitOf(top) > to {
				break
			}
			open = open[:len(open)-1]
		}
		position = to
	}
	for _, s := range symbols {
		advance(s.start)
		if s.size == 0 {
			if len(open) > 0 && limitOf(open[len(open)-1]) > s.start {
				continue
			}
			s.size = 1
		}
		open = append(open, s)
	}
	advance(math.MaxUint64)
	return ranges
}

// limitOf returns the address after the last byte of s.
func limitOf(s symbol) uint64 {
	if s.start+s.size < s.start {
		return math.MaxUint64
	}
	return s.start + s.size
}

// pack drops the names that no range uses.
func (b *builder) pack(ranges []symbol) *Table {
	moved := make(map[uint32]uint32, len(ranges))
	size := 0
	for _, r := range ranges {
		if _, ok := moved[r.name]; !ok {
			moved[r.name] = 0
			size += int(r.length) + 1
		}
	}
	t := &Table{ranges: make([]symbolRange, len(ranges)), names: make([]byte, 0, size)}
	clear(moved)
	for i, r := range ranges {
		at, ok := moved[r.name]
		if !ok {
			at = uint32(len(t.names))
			moved[r.name] = at
			t.names = append(append(t.names, b.name(r)...), 0)
		}
		t.ranges[i] = symbolRange{r.start, uint32(min(r.size, math.MaxUint32)), at}
	}
	return t
}
