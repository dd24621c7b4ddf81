package index

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestBlock finds each entry of blocks with small and large numbers, at its first
// and last address.
func TestBlock(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	// number is one of 0 to 3, of a byte, around what a byte cannot hold, or any.
	number := func() uint32 {
		switch random.IntN(4) {
		case 0:
			return random.Uint32N(4)
		case 1:
			return random.Uint32N(large)
		case 2:
			return large - 2 + random.Uint32N(4)
		}
		return random.Uint32() >> random.IntN(32)
	}
	for range 20_000 {
		entries := make([]entry, 1+random.IntN(blockEntries))
		for i := range entries {
			e := &entries[i]
			if i > 0 {
				*e = entries[i-1]
				e.start += 1 + number()>>5
			}
			for _, v := range []*uint32{&e.node, &e.file, &e.line, &e.column} {
				if random.IntN(2) == 0 {
					*v = number()
				}
			}
		}
		block := appendBlock(nil, entries)
		for i, want := range entries {
			last := uint32(math.MaxUint32)
			if i+1 < len(entries) {
				last = entries[i+1].start - 1
			}
			for _, at := range []uint32{want.start, last} {
				got, ok := findEntry(block, at-entries[0].start)
				got.start = want.start // is not told
				if !ok || got != want {
					t.Fatalf("entry %d of %v is %v, %t", i, entries, got, ok)
				}
			}
		}
		// Of one that is cut short, there is no answer or a wrong one.
		findEntry(block[:random.IntN(len(block))], random.Uint32())
	}
}

// TestGuide finds blocks as a look at all of them does.
func TestGuide(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 2_000 {
		var x Index
		var starts []uint32
		start, bits := uint32(0), random.IntN(28)
		for range random.IntN(40) {
			starts = append(starts, start)
			x.part[blocks] = append(x.part[blocks], byte(start), byte(start>>8), byte(start>>16), byte(start>>24), byte(len(starts)-1), 0, 0, 0)
			start += 1 + random.Uint32()>>(32-bits)
		}
		x.part[entries] = make([]byte, len(starts))
		x.guide = newGuide(x.part[blocks])
		for range 50 {
			address := random.Uint32() >> random.IntN(32)
			if len(starts) > 0 && random.IntN(2) == 0 {
				address = starts[random.IntN(len(starts))] + random.Uint32N(3) - 1
			}
			want, found := uint32(0), false
			for _, s := range starts {
				if s <= address {
					want, found = s, true
				}
			}
			_, got, ok := x.block(address)
			if ok != found || got != want {
				t.Fatalf("of %d the block of %d is %d, %t", starts, address, got, ok)
			}
		}
	}
}
