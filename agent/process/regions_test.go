package process

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func testExecutables() *executables {
	return newExecutables(Config{MaxExecutables: 100, MaxOpenFiles: 10, IdleWindows: 2}, nil)
}

// Inserting is compared with painting bytes one by one.
func TestRegionsInsert(t *testing.T) {
	x := testExecutables()
	known := []*executable{nil, {chunks: map[uint32]uint32{}}, {chunks: map[uint32]uint32{}}}
	type paint struct {
		is         bool
		executable *executable
		offset     uint64
	}
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 300 {
		r := &regions{users: 1}
		var memory [64]paint
		var forked *regions
		var atFork []region
		for step := range 40 {
			if step == 20 {
				r.users++
				forked, atFork = r, slices.Clone(r.list)
			}
			start := random.Uint64N(63)
			added := region{start: start, end: start + 1 + random.Uint64N(min(16, 64-start)), executable: known[random.IntN(3)]}
			if added.executable != nil {
				added.offset = start + 1000*random.Uint64N(2) // often continuous
			}
			for at := added.start; at < added.end; at++ {
				memory[at] = paint{is: true, executable: added.executable}
				if added.executable != nil {
					memory[at].offset = added.offset + at - added.start
				}
			}
			r = r.own(x)
			if !r.insert(x, added, 1000) {
				t.Fatal("no room")
			}
			for at, want := range memory {
				got := r.at(uint64(at))
				if (got != nil) != want.is {
					t.Fatalf("round %d: byte %d: region %v, want %v", round, at, got, want)
				}
				if got == nil {
					continue
				}
				if got.executable != want.executable || got.executable != nil && got.offset+uint64(at)-got.start != want.offset {
					t.Fatalf("round %d: byte %d: %+v, want %+v", round, at, got, want)
				}
			}
			for i := 1; i < len(r.list); i++ {
				if r.list[i].start < r.list[i-1].end || r.list[i-1].continues(r.list[i]) {
					t.Fatalf("round %d: regions %+v", round, r.list)
				}
			}
		}
		if !slices.Equal(forked.list, atFork) {
			t.Fatal("a change in one process changed the other")
		}
		r.drop(x)
		forked.drop(x)
		for i, e := range known[1:] {
			if e.users != 0 {
				t.Fatalf("round %d: executable %d still has %d users", round, i, e.users)
			}
		}
	}
}

func TestRegionsLimit(t *testing.T) {
	x := testExecutables()
	r := &regions{users: 1}
	for i := range uint64(20) {
		if fits := r.insert(x, region{start: 10 * i, end: 10*i + 5}, 16); fits != (i < 16) {
			t.Errorf("region %d: fits %v", i, fits)
		}
	}
	if len(r.list) != 16 {
		t.Errorf("%d regions", len(r.list))
	}
}

func TestEntriesOfLargeFiles(t *testing.T) {
	x := testExecutables()
	e := &executable{chunks: map[uint32]uint32{}}
	r := &regions{users: 1}
	const piece = 1 << chunkShift
	r.insert(x, region{start: 0x1000, end: 0x1000 + 2*piece + 0x3000, offset: piece - 0x1000, executable: e}, 10)
	entries := r.entries(x)
	if len(entries) != 4 {
		t.Fatalf("%d entries, %+v and so on", len(entries), entries[:min(8, len(entries))])
	}
	covered := uint64(0x1000)
	for i, entry := range entries {
		if entry.Start != covered || entry.Chunk == 0 {
			t.Errorf("entry %d: %+v", i, entry)
		}
		covered = entry.End
		p := x.numbered(entry.Chunk)
		if offset := uint64(p.high)<<chunkShift + uint64(entry.Base); offset != entry.Start-0x1000+piece-0x1000 {
			t.Errorf("entry %d: %+v is offset %#x", i, entry, offset)
		}
	}
	// The pieces of a file made up to look endless have an end.
	r.insert(x, region{start: 1 << 40, end: 1 << 50, executable: e}, 10)
	entries = r.entries(x)
	if last := entries[len(entries)-1]; len(entries) > 4+maxPieces+1 || last.Chunk != 0 || last.End != 1<<50 {
		t.Errorf("%d entries, the last %+v", len(entries), last)
	}
}
