package process

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

// Users who map many large files leave numbers for the tables of others; and
// numbers that nothing refers to are used again.
func TestChunkNumbersAreShared(t *testing.T) {
	config, err := Config{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	x := newExecutables(config, nil)
	inode := uint64(0)
	add := func(owner uint32) *executable {
		inode++
		e := &executable{mapping: &staccato.Mapping{}, file: &file{}, owner: owner, key: fileKey{inode: inode, ctime: unix.Timespec{}}, chunks: map[uint32]uint32{}}
		x.byFile[e.key] = e
		return e
	}
	// greedy maps files until there would be more than all numbers, and returns how
	// many may have tables.
	greedy := func(owner uint32) (tabled int) {
		for range 2 * tabledChunks / maxPieces {
			e := add(owner)
			for high := range uint32(maxPieces) {
				number := x.chunk(e, high)
				if number == 0 {
					t.Fatalf("no number for user %d", owner)
				}
				if number < tabledChunks {
					tabled++
				}
				if m, offset, ok := x.piece(number); !ok || m != e.mapping || offset != uint64(high)<<chunkShift {
					t.Fatalf("number %d: %v, %#x, %v", number, m, offset, ok)
				}
			}
			x.markIdle(e)
		}
		return tabled
	}
	for owner, want := range map[uint32]int{1000: ownedChunks, 1001: ownedChunks, 1002: ownedChunks} {
		if got := greedy(owner); got != want {
			t.Errorf("user %d got %d numbers for tables, want %d", owner, got, want)
		}
	}
	if got := greedy(1003); got != 0 {
		t.Errorf("a fourth user got %d numbers for tables", got)
	}
	if number := x.chunk(add(root), 0); number == 0 || number >= tabledChunks {
		t.Errorf("root's file got number %d", number)
	}
	if number := x.chunk(x.refuse(wanted{path: "/x"}, reasonGone), 0); number < tabledChunks {
		t.Errorf("when users have all they may, a file that cannot be read got number %d", number)
	}
	x.sweep(0)
	if len(x.owned) != 0 || x.ownedAll != 0 || x.tabled.used() != 1 || x.tableless.used() != 0 {
		t.Errorf("left are %v, %d, and %d and %d numbers", x.owned, x.ownedAll, x.tabled.used(), x.tableless.used())
	}
	if got := greedy(1003); got != ownedChunks {
		t.Errorf("then the fourth user got %d", got)
	}
}
