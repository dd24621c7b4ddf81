package native

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

// Row says that a rule holds from an offset in a chunk on, up to the next row.
type Row struct {
	Offset uint32
	Rule   Rule
}

// compile makes the table of a chunk of size bytes of its rows.
func compile(rows []Row, size uint32) (*Table, error) {
	b := NewBuilder(size, len(rows))
	for i := range rows {
		b.Add(rows[i].Offset, &rows[i].Rule)
	}
	return b.Table()
}

// lookUp is find_rule of include/table.h over a compiled table. steps is how
// often it halves.
func lookUp(c *Table, offset uint32) (words [ruleWords]uint32, found bool, steps int) {
	bucket := offset >> 10
	if bucket >= c.buckets {
		return words, false, 0
	}
	low, high := c.words[bucket], c.words[bucket+1]
	rows := c.words[c.buckets+1:]
	key := offset<<16 | 0xffff
	for ; low < high; steps++ {
		middle := low + (high-low)/2
		if rows[middle] <= key {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return words, false, steps
	}
	at := c.rules + rows[low-1]&0xffff*ruleWords
	copy(words[:], c.words[at:at+ruleWords])
	return words, words[0]&0xff != uint32(nativeRuleKindRULE_NONE), steps
}

// ruleFor is what rows say of an offset.
func ruleFor(rows []Row, offset uint32) Rule {
	i, found := slices.BinarySearchFunc(rows, offset, func(r Row, offset uint32) int { return int(r.Offset) - int(offset) })
	if found {
		return rows[i].Rule
	}
	if i == 0 {
		return Rule{}
	}
	return rows[i-1].Rule
}

// numbered makes rules that are all different.
func numbered(n int) Rule {
	return Rule{kind: uint8(nativeRuleKindRULE_CFA), cfa: int32(n), ra: -8}
}

const rowSteps = 11 // ROW_STEPS

func checkCompiled(t *testing.T, rows []Row, size uint32) {
	t.Helper()
	c, err := compile(rows, size)
	if err != nil {
		t.Fatal(err)
	}
	check := func(offset uint32) {
		t.Helper()
		want := ruleFor(rows, offset)
		if offset >= size {
			// The rest of the last KiB is no part of the chunk; there may be an answer.
			return
		}
		words, found, steps := lookUp(c, offset)
		if found != (want != Rule{}) || found && words != want.words() {
			t.Fatalf("at %#x: %x, %t; want %+v", offset, words, found, want)
		}
		if steps > rowSteps {
			t.Fatalf("at %#x: %d halvings", offset, steps)
		}
	}
	for _, row := range rows {
		for _, offset := range []uint32{row.Offset - 1, row.Offset, row.Offset + 1} {
			check(offset)
		}
	}
	for edge := uint32(0); edge <= size; edge += bucketSize {
		check(edge)
		check(edge - 1)
	}
	for range 2000 {
		check(rand.Uint32N(size))
	}
	for _, offset := range []uint32{c.buckets * bucketSize, ChunkSize, ^uint32(0)} {
		if _, found, _ := lookUp(c, offset); found {
			t.Fatalf("there is a rule at %#x, behind the chunk", offset)
		}
	}
}

func TestCompile(t *testing.T) {
	everywhere := func(n, step int) (rows []Row) {
		for i := range n {
			rows = append(rows, Row{uint32(i * step), numbered(i % 5000)})
		}
		return rows
	}
	for _, test := range []struct {
		name string
		rows []Row
		size uint32
	}{
		{"nothing", nil, 1},
		{"no rule", []Row{{}}, ChunkSize},
		{"one rule", []Row{{0, numbered(1)}}, ChunkSize},
		{"a byte", []Row{{0, numbered(1)}}, 1},
		{"begins late", []Row{{5000, numbered(1)}}, 6000},
		{"last byte of all", []Row{{0, numbered(1)}, {ChunkSize - 1, numbered(2)}}, ChunkSize},
		{"last byte of a KiB", []Row{{0, numbered(1)}, {1023, numbered(2)}, {1024, numbered(3)}}, 1025},
		{"a hole", []Row{{0, numbered(1)}, {100, Rule{}}, {9000, numbered(2)}}, 20000},
		{"each byte", everywhere(70_000, 1), 70_000},
		{"each KiB", everywhere(4096, 1024), ChunkSize},
		{"across 64 KiB", everywhere(40_000, 7), 280_000},
		{"as many rules as there may be", func() (rows []Row) {
			for i := range maxRules {
				rows = append(rows, Row{uint32(i * 3), numbered(i)})
			}
			return rows
		}(), 3 * maxRules},
	} {
		t.Run(test.name, func(t *testing.T) { checkCompiled(t, test.rows, test.size) })
	}
}

func TestCompileRandom(t *testing.T) {
	for range 50 {
		size := 1 + rand.Uint32N(ChunkSize)
		density := 1 + rand.Uint32N(5000)
		var rows []Row
		for at := rand.Uint32N(3000); at < size && len(rows) < 100_000; at += 1 + rand.Uint32N(density) {
			rule := numbered(rand.IntN(300))
			if rand.IntN(10) == 0 {
				rule = Rule{}
			}
			rows = append(rows, Row{at, rule})
		}
		checkCompiled(t, rows, size)
	}
}

func TestCompileRefuses(t *testing.T) {
	many := make([]Row, maxRules+1)
	for i := range many {
		many[i] = Row{uint32(i), numbered(i)}
	}
	dense := make([]Row, slabWords)
	for i := range dense {
		dense[i] = Row{uint32(i), numbered(i & 1)}
	}
	for name, test := range map[string]struct {
		rows []Row
		size uint32
	}{
		"a chunk that is too large":  {[]Row{{}}, ChunkSize + 1},
		"a row behind the chunk":     {[]Row{{}, {100, numbered(1)}}, 100},
		"more rules than numbers":    {many, ChunkSize},
		"more words than a slab has": {dense, ChunkSize},
	} {
		if _, err := compile(test.rows, test.size); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
