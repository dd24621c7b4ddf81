package merge

import (
	"hash/maphash"
	"slices"

	"github.com/google/pprof/profile"
)

// sampleIndex finds samples by their labels and stack. There are thousands, with
// dozens of locations each: they are compared with themselves rather than with
// keys made of them.
type sampleIndex map[uint64]*entry

// entry is a sample, and the next one with the same hash.
type entry struct {
	profile.Sample
	labels *labels
	values [2]int64
	next   *entry
}

var seed = maphash.MakeSeed()

// find returns the sample with these labels and this stack, or a new one that
// has no values and labels yet.
func (x sampleIndex) find(labels *labels, stack []*location) (s *profile.Sample, known bool) {
	h := hash(labels, stack)
	for e := x[h]; e != nil; e = e.next {
		if e.labels == labels && slices.EqualFunc(e.Location, stack, func(a *profile.Location, b *location) bool { return a == &b.Location }) {
			return &e.Sample, true
		}
	}
	e := &entry{labels: labels, next: x[h]}
	e.Value = e.values[:]
	e.Location = make([]*profile.Location, len(stack))
	for i, l := range stack {
		e.Location[i] = &l.Location
	}
	x[h] = e
	return &e.Sample, false
}

// hash mixes the numbers of the locations. Equal hashes of different stacks only
// cost time, and nobody chooses the order in which locations are numbered.
func hash(labels *labels, stack []*location) uint64 {
	h := maphash.Comparable(seed, labels)
	for _, l := range stack {
		h = (h ^ l.ID) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}
