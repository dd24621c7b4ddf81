package otlp

import (
	"math/rand/v2"
	"slices"

	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
)

// stackTable is the table of stacks. They are found by a hash of their locations
// and compared with themselves: they are as many as all samples, and long.
type stackTable struct {
	entries []*profilespb.Stack
	// last is the index + 1 of the last stack by hash; previous is that of
	// another one with the same hash, or 0, by index.
	last     map[uint64]int32
	previous []int32
	free     []profilespb.Stack
}

// newStackTable returns a table that holds only the stack without locations, and
// has room for about that many more.
func newStackTable(room int) stackTable {
	t := stackTable{
		entries:  make([]*profilespb.Stack, 0, room+1),
		last:     make(map[uint64]int32, room+1),
		previous: make([]int32, 0, room+1),
	}
	t.add(nil)
	return t
}

// find returns the index of the stack with these locations, or the index that it
// will get.
func (t *stackTable) find(locations []int32) (int32, bool) {
	for i := t.last[hashOf(locations)]; i != 0; i = t.previous[i-1] {
		if slices.Equal(t.entries[i-1].LocationIndices, locations) {
			return i - 1, true
		}
	}
	return int32(len(t.entries)), false
}

// add appends a stack that find did not know. It keeps the locations.
func (t *stackTable) add(locations []int32) {
	s := &take(&t.free, 1)[0]
	s.LocationIndices = locations
	h := hashOf(locations)
	t.previous = append(t.previous, t.last[h])
	t.entries = append(t.entries, s)
	t.last[h] = int32(len(t.entries))
}

// seed keeps whoever writes a profile from choosing stacks with equal hashes.
var seed = rand.Uint64()

// hashOf mixes indices.
func hashOf(indices []int32) uint64 {
	h := seed ^ uint64(len(indices))
	for _, i := range indices {
		h = (h ^ uint64(i)) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}
