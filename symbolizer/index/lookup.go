package index

import (
	"math"

	"github.com/staccato-profiler/staccato"
)

// lookupAtOnce is how many addresses are looked up together.
const lookupAtOnce = 1 << 14

// Lookup calls each with what Resolve returns of each address, in order, none where
// that is nothing. Lines are valid until each returns.
func (x *Index) Lookup(addresses []uint64, each func(int, []staccato.Line)) {
	size := min(len(addresses), lookupAtOnce)
	found, order := make([]entry, size), make([]uint32, size)
	counts := make([]uint32, len(x.guide.first))
	var room []staccato.Line
	for first := 0; first < len(addresses); first += lookupAtOnce {
		some := addresses[first:min(first+lookupAtOnce, len(addresses))]
		x.sort(some, order, counts)
		for _, i := range order[:len(some)] {
			e, ok := x.entry(some[i])
			if !ok {
				e = entry{} // which has no lines
			}
			found[i] = e
		}
		for i, e := range found[:len(some)] {
			lines, ok := x.lines(room[:0], e)
			if room = lines; !ok {
				lines = nil
			}
			each(first+i, lines)
		}
	}
}

// sort puts into order the numbers of addresses, so that those that lie near to each
// other follow each other: the processor has then read ahead what says of the next.
func (x *Index) sort(addresses []uint64, order, counts []uint32) {
	clear(counts)
	for _, a := range addresses {
		counts[x.place(a)]++
	}
	sum := uint32(0)
	for i, n := range counts {
		counts[i] = sum
		sum += n
	}
	for i, a := range addresses {
		next := &counts[x.place(a)]
		order[*next] = uint32(i)
		*next++
	}
}

// place is the place of an address in the guide.
func (x *Index) place(address uint64) int {
	return x.guide.place(uint32(min(address-x.base, math.MaxUint32)))
}
