package index

import (
	"encoding/binary"
	"math/bits"
)

// guide says where in the table of blocks an address is about, so that few of them
// are looked at.
type guide struct {
	shift uint
	// first has, by the upper bits of an address, the first block that does not
	// begin before addresses with these bits; and at last how many blocks there are.
	first []uint32
}

// blocksEach is how many blocks there are for a place in a guide, at least.
const blocksEach = 2

func newGuide(table []byte) guide {
	n := len(table) / blockSize
	if n < blocksEach {
		return guide{shift: 32, first: []uint32{0, uint32(n)}}
	}
	start := func(i int) uint32 { return binary.LittleEndian.Uint32(table[i*blockSize:]) }
	last := start(n - 1)
	g := guide{shift: uint(max(0, bits.Len32(last)-bits.Len(uint(n/blocksEach))+1))}
	g.first = make([]uint32, 0, last>>g.shift+2)
	for i := range n {
		// Of a table that is not in order, addresses are not found.
		for uint32(len(g.first)) <= min(start(i), last)>>g.shift {
			g.first = append(g.first, uint32(i))
		}
	}
	g.first = append(g.first, uint32(n))
	return g
}

// find returns between which blocks the first is that begins after an address.
func (g guide) find(address uint32) (low, high int) {
	i := g.place(address)
	return int(g.first[i]), int(g.first[i+1])
}

func (g guide) place(address uint32) int { return min(int(address>>g.shift), len(g.first)-2) }
