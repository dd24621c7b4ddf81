package native

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/tabletest"
)

// loadRows loads the table that rows make.
func (s *Store) loadRows(chunk, size uint32, rows []Row) error {
	table, err := compile(rows, size)
	if err != nil {
		return err
	}
	return s.Load(chunk, table)
}

// taking is a table that takes n words of a slab.
func taking(t *testing.T, n uint32, rule Rule) *Table {
	t.Helper()
	const buckets = ChunkSize / bucketSize
	b := NewBuilder(ChunkSize, int(n))
	for i := range n - buckets - 1 - 2*ruleWords {
		each := rule
		if i&1 == 1 {
			each = numbered(1_000_000)
		}
		b.Add(i, &each)
	}
	table, err := b.Table()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func mustLoad(t *testing.T, s *Store, chunk, words uint32) {
	t.Helper()
	if err := s.Load(chunk, taking(t, words, numbered(int(chunk)))); err != nil {
		t.Fatalf("chunk %d: %v", chunk, err)
	}
}

func mustBeFull(t *testing.T, s *Store, chunk, words uint32) {
	t.Helper()
	if err := s.Load(chunk, taking(t, words, numbered(int(chunk)))); !errors.Is(err, ErrFull) {
		t.Fatalf("chunk %d: %v, want ErrFull", chunk, err)
	}
}

// loaded are the chunks that have tables.
func loaded(s *Store) (chunks []uint32) {
	for chunk := range s.held {
		chunks = append(chunks, chunk)
	}
	slices.Sort(chunks)
	return chunks
}

func TestStore(t *testing.T) {
	s, k := openStore(t, 8<<20)
	if q := k.lookUp(t, 5, 0); q.found != tabletest.FoundNoTable {
		t.Errorf("without a table: found %d", q.found)
	}
	for _, chunk := range []uint32{s.Chunks(), 1 << 20, ^uint32(0)} {
		if q := k.lookUp(t, chunk, 0); q.found != tabletest.FoundNoTable {
			t.Errorf("no such chunk as %d: found %d", chunk, q.found)
		}
		if err := s.loadRows(chunk, 1, nil); err == nil || s.Has(chunk) {
			t.Errorf("chunk %d: %v", chunk, err)
		}
	}
	if err := s.loadRows(0, 1, nil); err == nil || s.Has(0) {
		t.Errorf("chunk 0 stands for no chunk: %v", err)
	}
	if err := s.loadRows(5, 3000, []Row{{10, numbered(1)}, {2000, Rule{}}, {2900, numbered(2)}}); err != nil {
		t.Fatal(err)
	}
	check := func(chunk, offset, found uint32, rule Rule) {
		t.Helper()
		want := query{chunk: chunk, offset: offset, found: found}
		if found == tabletest.Found {
			want.rule = rule.words()
		}
		q := k.lookUp(t, chunk, offset)
		if found == tabletest.FoundNothing {
			q.rule = want.rule // the rule that says so, perhaps
		}
		if q != want {
			t.Errorf("at %d of chunk %d: %+v, want %+v", offset, chunk, q, want)
		}
	}
	checkFirst := func() {
		t.Helper()
		check(5, 9, tabletest.FoundNothing, Rule{})
		check(5, 10, tabletest.Found, numbered(1))
		check(5, 1999, tabletest.Found, numbered(1))
		check(5, 2000, tabletest.FoundNothing, Rule{})
		check(5, 2999, tabletest.Found, numbered(2))
		check(5, 3072, tabletest.FoundNothing, Rule{})
		check(5, ^uint32(0), tabletest.FoundNothing, Rule{})
	}
	checkFirst()
	check(6, 10, tabletest.FoundNoTable, Rule{})

	// An error leaves the table there was.
	if err := s.loadRows(5, ChunkSize+1, nil); !errors.Is(err, ErrTooLarge) || !s.Has(5) {
		t.Errorf("%v", err)
	}
	checkFirst()

	last := s.Chunks() - 1
	if err := s.loadRows(last, 100, []Row{{0, numbered(3)}}); err != nil {
		t.Fatal(err)
	}
	check(last, 99, tabletest.Found, numbered(3))
	checkFirst()
	if err := s.loadRows(5, 100, []Row{{0, numbered(4)}}); err != nil {
		t.Fatal(err)
	}
	check(5, 10, tabletest.Found, numbered(4))
	if got := s.Stats(); got.Tables != 2 || got.MapBytes != slabBytes || got.Loaded != 3 || got.Bytes != 2*4*(2+1+ruleWords) {
		t.Errorf("%+v", got)
	}
	for range 2 {
		s.Unload(5)
		s.Unload(last)
	}
	check(5, 10, tabletest.FoundNoTable, Rule{})
	if got := s.Stats(); s.Has(5) || got.Tables != 0 || got.Bytes != 0 {
		t.Errorf("%+v", got)
	}
}

// What a program has seen the place of stays as it is until it has ended.
func TestStoreGrace(t *testing.T) {
	s, _ := openStore(t, 4<<20)
	const most = slabWords * 2 / 3
	mustLoad(t, s, 1, most)
	at := s.held[1]
	words := func() (copied []uint32) {
		if err := s.slabs[at.slab].mapped(at.start, at.size, func(w []uint32) { copied = slices.Clone(w) }); err != nil {
			t.Fatal(err)
		}
		return copied
	}
	before := words()
	s.GraceOver(1)
	s.Unload(1)
	mustBeFull(t, s, 2, most)
	s.GraceOver(2) // programs that ran before it was called last time have ended; the table was there later
	mustBeFull(t, s, 2, most)
	if !slices.Equal(before, words()) {
		t.Error("the words of a table have changed that programs may look at")
	}
	s.GraceOver(3)
	mustLoad(t, s, 2, most)
	if s.Stats().MapBytes != slabBytes {
		t.Errorf("%+v", s.Stats())
	}
}

// The tables go that were used the longest time ago, and none that is in use.
func TestStoreEvicts(t *testing.T) {
	s, k := openStore(t, 4<<20)
	const quarter = slabWords / 4
	for chunk := uint32(1); chunk <= 4; chunk++ {
		mustLoad(t, s, chunk, quarter)
	}
	mustBeFull(t, s, 5, quarter)
	if got := loaded(s); !slices.Equal(got, []uint32{1, 2, 3, 4}) {
		t.Fatalf("tables that were in use went; left are %d", got)
	}
	for window, chunks := range [][]uint32{{4, 2}, {1}, {3}, {3, 1}} {
		s.GraceOver(uint32(window + 1))
		k.use(t, uint32(window+1), chunks...)
	}
	// Two thirds of what is needed would not do: neighbours are not freed at once.
	mustBeFull(t, s, 5, quarter)
	if got := loaded(s); !slices.Equal(got, []uint32{1, 3}) {
		t.Fatalf("left are %d", got)
	}
	for range 3 {
		mustBeFull(t, s, 5, quarter)
	}
	if got := loaded(s); !slices.Equal(got, []uint32{1, 3}) {
		t.Fatalf("more went than were needed: left are %d", got)
	}
	if got := s.Stats(); got.Evicted != 2 || got.Tables != 2 {
		t.Errorf("%+v", got)
	}
	s.GraceOver(5)
	s.GraceOver(6)
	mustLoad(t, s, 5, quarter)
	mustLoad(t, s, 6, quarter)
}

// A table that does not fit is asked for again and again, while what was given
// up for it is not free yet: then no more goes.
func TestStoreEvictsNoMoreThanNeeded(t *testing.T) {
	s, k := openStore(t, 4<<20)
	const small = slabWords / 16
	for chunk := uint32(1); chunk <= 16; chunk++ {
		mustLoad(t, s, chunk, small)
	}
	s.GraceOver(1)
	k.use(t, 1, 15, 16)
	s.GraceOver(2)
	for range 10 {
		mustBeFull(t, s, 20, 2*small)
	}
	if got := s.Stats(); got.Evicted != 4 {
		t.Errorf("%d tables went for one that is as large as two", got.Evicted)
	}
	if !s.Has(15) || !s.Has(16) {
		t.Errorf("those used last went; left are %d", loaded(s))
	}
}

func TestStoreLimit(t *testing.T) {
	for _, test := range []struct {
		limit int64
		slabs int
	}{{1, 1}, {4 << 20, 1}, {12 << 20, 3}, {1 << 40, maxSlabs}} {
		s, _ := openStore(t, test.limit)
		if s.maxSlabs != test.slabs {
			t.Errorf("%d bytes: %d slabs", test.limit, s.maxSlabs)
		}
	}
	s, k := openStore(t, 12<<20)
	for chunk := uint32(1); chunk <= 3; chunk++ {
		mustLoad(t, s, chunk, slabWords) // all of a slab
	}
	mustBeFull(t, s, 4, 5000)
	for chunk := uint32(1); chunk <= 3; chunk++ {
		if q := k.lookUp(t, chunk, 2); q.rule != numbered(int(chunk)).words() {
			t.Errorf("chunk %d: %+v", chunk, q)
		}
	}
}

// Whoever looks while a table takes another's place sees one of them whole.
func TestStoreReplaces(t *testing.T) {
	s, k := openStore(t, 4<<20)
	// Two tables of one chunk, as different as they get: each rule of one
	// has an odd number.
	tables := [2][]Row{}
	sizes := [2]uint32{4000, 40_000}
	for i := range tables {
		for at := range sizes[i] / uint32(3+i) {
			tables[i] = append(tables[i], Row{at * uint32(3+i), Rule{kind: kindCFA, cfa: int32(2*(at%(50+1000*uint32(i)))) + int32(i), ra: int16(i)}})
		}
	}
	done := make(chan struct{})
	var ended atomic.Int64 // lookups
	go func() {
		defer close(done)
		before := ended.Load()
		for i := range 3000 {
			if err := s.loadRows(7, sizes[i&1], tables[i&1]); err != nil && !errors.Is(err, ErrFull) {
				t.Error(err)
			}
			if n := ended.Load(); n > before {
				s.GraceOver(uint32(i))
				before = n
			}
		}
	}()
	seen := [2]int{}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		const n = 64
		for i := range n {
			k.queries[i] = query{chunk: 7, offset: rand.Uint32N(4000)}
		}
		answers := k.run(t, n)
		ended.Add(1)
		for _, q := range answers {
			if q.found == tabletest.FoundNoTable {
				continue
			}
			which := int(q.rule[1] & 1)
			if want := ruleFor(tables[which], q.offset); q.found != tabletest.Found || q.rule != want.words() {
				t.Fatalf("%+v; want %+v", q, want)
			}
			seen[which]++
		}
	}
	if seen[0] == 0 || seen[1] == 0 {
		t.Errorf("seen the tables %d times", seen)
	}
}

// The parts of a slab that are in use and those that are free make it up, and
// no two free ones touch.
func TestSlab(t *testing.T) {
	s := &slab{free: []span{{0, 0, slabWords}}}
	var used []span
	check := func() {
		t.Helper()
		all := slices.Concat(used, s.free)
		slices.SortFunc(all, func(a, b span) int { return int(a.start) - int(b.start) })
		next := uint32(0)
		for _, part := range all {
			if part.start != next || part.size == 0 {
				t.Fatalf("part %+v does not begin at %d", part, next)
			}
			next += part.size
		}
		if next != slabWords {
			t.Fatalf("parts end at %d", next)
		}
		for i := 1; i < len(s.free); i++ {
			if s.free[i-1].start+s.free[i-1].size >= s.free[i].start {
				t.Fatalf("free %+v is not in order or not joined", s.free[i-1:i+1])
			}
		}
	}
	refused := 0
	for range 20_000 {
		if len(used) > 0 && rand.IntN(100) < 49 {
			i := rand.IntN(len(used))
			s.give(used[i])
			used = slices.Delete(used, i, i+1)
		} else if at, ok := s.take(1 + rand.Uint32N(30_000)); ok {
			used = append(used, at)
		} else {
			refused++
		}
		check()
	}
	if refused == 0 {
		t.Error("the slab was never full")
	}
	for _, at := range used {
		s.give(at)
	}
	if len(s.free) != 1 || s.free[0] != (span{0, 0, slabWords}) {
		t.Errorf("free at the end: %+v", s.free)
	}
	if _, ok := s.take(slabWords + 1); ok {
		t.Error("more than all was taken")
	}
	if at, ok := s.take(slabWords); !ok || len(s.free) != 0 || at.size != slabWords {
		t.Errorf("all of it: %+v, %t", at, ok)
	}
}

// No code has as many rows as bytes, but a file may say so.
func TestStoreDense(t *testing.T) {
	s, k := openStore(t, 4<<20)
	rows := make([]Row, 60_000)
	for i := range rows {
		rows[i] = Row{uint32(i), numbered(i)}
	}
	if err := s.loadRows(1, ChunkSize, rows); err != nil {
		t.Fatal(err)
	}
	for i := range rows {
		k.queries[i] = query{chunk: 1, offset: uint32(i)}
	}
	for i, q := range k.run(t, len(rows)) {
		if q.found != tabletest.Found || q.rule != rows[i].Rule.words() {
			t.Fatalf("%+v", q)
		}
	}
}

// A table that nobody has asked for takes neither another's room nor the last, and is
// the first to go: also before those that were used longer ago than it was loaded.
func TestSpareTables(t *testing.T) {
	s, k := openStore(t, 4<<20)
	const eighth = slabWords / 8
	spare := func(chunk uint32) error { return s.LoadSpare(chunk, taking(t, eighth, numbered(int(chunk)))) }
	s.GraceOver(10)
	mustLoad(t, s, 1, eighth)
	mustLoad(t, s, 2, eighth)
	s.GraceOver(20)
	for chunk := uint32(3); chunk <= 6; chunk++ {
		if err := spare(chunk); err != nil || !s.Has(chunk) {
			t.Fatal(err)
		}
	}
	if err := spare(7); !errors.Is(err, ErrFull) || s.TakesSpare() {
		t.Errorf("%v, loaded are %v", err, loaded(s))
	}
	mustLoad(t, s, 7, eighth)
	mustLoad(t, s, 8, eighth)
	k.use(t, 20, 3)
	s.GraceOver(21)
	mustBeFull(t, s, 9, eighth)
	if got := loaded(s); len(got) != 6 || !slices.Equal(got[:3], []uint32{1, 2, 3}) || !slices.Equal(got[4:], []uint32{7, 8}) {
		t.Errorf("left are %v", got)
	}
	// What they leave is for those that were asked for.
	s.GraceOver(22)
	s.GraceOver(23)
	if err := spare(10); !errors.Is(err, ErrFull) {
		t.Errorf("%v, loaded are %v", err, loaded(s))
	}
	mustLoad(t, s, 9, eighth)
}
