package native

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

const (
	slabWords = 1 << 20 // TABLE_SLAB_WORDS
	slabBytes = 4 * slabWords
	maxSlabs  = 64 // TABLE_SLABS
)

// ErrFull says that tables in use take all the memory that they may.
var ErrFull = errors.New("no room for more unwind tables")

// Store holds the unwind tables of the kernel side, in memory shared with the
// programs. It is for one goroutine; the programs may read at any time and must
// never see half a table.
type Store struct {
	tables   []nativeTable // by chunk
	slabMap  *ebpf.Map
	slabs    []*slab
	maxSlabs int
	held     map[uint32]span // by chunk
	// waiting spans were given up; programs that saw them may still run.
	waiting [2][]span
	window  uint32
	version uint32 // of the table that was loaded last
	memory  []byte // of tables
	stats   Stats
}

// Stats counts what a Store holds and did.
type Stats struct {
	Tables   int
	Bytes    uint64 // of the tables
	MapBytes uint64 // of the maps that hold them, which grow by 4 MiB
	Loaded   uint64 // tables, since the start
	Evicted  uint64 // of these: to make room
}

// slab is one map value; free are its unused parts, by place, with none next to
// another.
type slab struct {
	inner *ebpf.Map
	free  []span
}

// span is a range of words of a slab.
type span struct {
	slab        int
	start, size uint32
}

// newStore takes the maps of the loaded object. limit is in bytes.
func newStore(maps map[string]*ebpf.Map, limit int64) (*Store, error) {
	s := &Store{held: make(map[uint32]span), maxSlabs: int(max(1, min(limit/slabBytes, maxSlabs)))}
	tables, slabs := maps["tables"], maps["table_slabs"]
	if tables == nil || slabs == nil {
		return nil, errors.New("open unwind tables: the object has no maps for them")
	}
	s.slabMap = slabs
	size := int(unsafe.Sizeof(nativeTable{}))
	n := int(tables.MaxEntries())
	page := unix.Getpagesize()
	var err error
	s.memory, err = unix.Mmap(tables.FD(), 0, (n*size+page-1)&^(page-1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("open unwind tables: %w", err)
	}
	s.tables = unsafe.Slice((*nativeTable)(unsafe.Pointer(&s.memory[0])), n)
	return s, nil
}

func (s *Store) close() {
	_ = unix.Munmap(s.memory)
	for _, each := range s.slabs {
		each.inner.Close()
	}
}

// Chunks is one more than the greatest chunk number that can have a table.
func (s *Store) Chunks() uint32 { return uint32(len(s.tables)) }

// Has says whether a chunk has its table.
func (s *Store) Has(chunk uint32) bool {
	_, ok := s.held[chunk]
	return ok
}

// Load gives a chunk its table, in place of one that it had. To make room, tables are
// dropped that no sample has used for the longest time. The error is ErrFull when
// there is none.
func (s *Store) Load(chunk uint32, table *Table) error { return s.load(chunk, table, true) }

// LoadSpare is [Store.Load] for a table that nobody has asked for yet: no other is
// dropped for it, some room is left to those that are asked for, and until a sample uses
// it, it goes before any that was asked for.
func (s *Store) LoadSpare(chunk uint32, table *Table) error { return s.load(chunk, table, false) }

func (s *Store) load(chunk uint32, table *Table, asked bool) error {
	if chunk == 0 || chunk >= s.Chunks() {
		return fmt.Errorf("load unwind table of chunk %d: no such chunk", chunk)
	}
	s.Unload(chunk)
	n := uint32(len(table.words))
	if !asked && s.spareRoom() < n {
		return fmt.Errorf("load unwind table of chunk %d: %w", chunk, ErrFull)
	}
	at, err := s.allocate(n, asked)
	if err != nil {
		return fmt.Errorf("load unwind table of chunk %d: %w", chunk, err)
	}
	if err := s.slabs[at.slab].mapped(at.start, at.size, func(words []uint32) { copy(words, table.words) }); err != nil {
		s.slabs[at.slab].give(at)
		return fmt.Errorf("load unwind table of chunk %d: %w", chunk, err)
	}
	t := &s.tables[chunk]
	s.version++
	used := s.window
	if !asked {
		used -= neverUsed
	}
	atomic.StoreUint32(&t.Used, used)
	atomic.StoreUint32(&t.Version, s.version)
	atomic.StoreUint64(&t.Place, place(at, table)) // last: now programs may look
	s.held[chunk] = at
	s.stats.Loaded++
	s.stats.Bytes += 4 * uint64(at.size)
	return nil
}

// neverUsed is for how many windows a spare table counts as not used.
const neverUsed = 1 << 30

// TakesSpare says whether [Store.LoadSpare] could find room for any table.
func (s *Store) TakesSpare() bool { return s.spareRoom() > 0 }

// spareRoom is how many words spare tables may take: a quarter of all is not for them.
func (s *Store) spareRoom() uint32 {
	free := slabWords * uint32(s.maxSlabs-len(s.slabs))
	for _, each := range s.slabs {
		for _, part := range each.free {
			free += part.size
		}
	}
	return free - min(free, slabWords/4*uint32(s.maxSlabs))
}

// place packs where a table is, as struct table of include/table.h has it.
func place(at span, t *Table) uint64 {
	return uint64(at.slab+1) | uint64(at.start)<<7 | uint64(t.buckets)<<27 | uint64(t.rules)<<40
}

// mapped maps a part of the slab for as long as use takes: it is written rarely,
// and never read here.
func (s *slab) mapped(start, n uint32, use func(words []uint32)) error {
	page := unix.Getpagesize()
	from := 4 * int(start) &^ (page - 1)
	end := (4*int(start+n) + page - 1) &^ (page - 1)
	b, err := unix.Mmap(s.inner.FD(), int64(from), end-from, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map its memory: %w", err)
	}
	use(unsafe.Slice((*uint32)(unsafe.Pointer(&b[4*int(start)-from])), n))
	return unix.Munmap(b)
}

// Unload takes a chunk's table away, if it has one.
func (s *Store) Unload(chunk uint32) {
	at, ok := s.held[chunk]
	if !ok {
		return
	}
	atomic.StoreUint64(&s.tables[chunk].Place, 0)
	delete(s.held, chunk)
	s.waiting[0] = append(s.waiting[0], at)
	s.stats.Bytes -= 4 * uint64(at.size)
}

// GraceOver says that every program that ran when it was last called has ended,
// and which window programs write now: the memory of tables given up before that
// call can be used again.
func (s *Store) GraceOver(window uint32) {
	s.window = window
	for _, at := range s.waiting[1] {
		s.slabs[at.slab].give(at)
	}
	s.waiting[1] = append(s.waiting[1][:0], s.waiting[0]...)
	s.waiting[0] = s.waiting[0][:0]
}

// Stats returns the present counts.
func (s *Store) Stats() Stats {
	stats := s.stats
	stats.Tables, stats.MapBytes = len(s.held), slabBytes*uint64(len(s.slabs))
	return stats
}

// allocate finds room for n words, and when there is none, may see to it that there
// will be.
func (s *Store) allocate(n uint32, evict bool) (span, error) {
	for i, each := range s.slabs {
		if at, ok := each.take(n); ok {
			at.slab = i
			return at, nil
		}
	}
	if len(s.slabs) < s.maxSlabs {
		if err := s.addSlab(); err != nil {
			return span{}, err
		}
		at, _ := s.slabs[len(s.slabs)-1].take(n)
		at.slab = len(s.slabs) - 1
		return at, nil
	}
	if evict {
		s.evict(n)
	}
	return span{}, ErrFull
}

// evict gives up the tables used the longest time ago, but not in this window or the
// last, until there will be n words to be used again. They are free at the next but one
// GraceOver; until then whoever asks again has no more given up.
func (s *Store) evict(n uint32) {
	var freed uint32
	for _, list := range s.waiting {
		for _, at := range list {
			freed += at.size
		}
	}
	chunks := make([]uint32, 0, len(s.held))
	for chunk := range s.held {
		chunks = append(chunks, chunk)
	}
	age := func(chunk uint32) uint32 { return s.window - atomic.LoadUint32(&s.tables[chunk].Used) }
	slices.SortFunc(chunks, func(a, b uint32) int { return int(age(b)) - int(age(a)) })
	// Neighbours are not freed together, so take twice of what is needed.
	for ; freed < 2*n && len(chunks) > 0; chunks = chunks[1:] {
		if age(chunks[0]) <= 1 {
			return // in use: a window may have begun just now
		}
		freed += s.held[chunks[0]].size
		s.Unload(chunks[0])
		s.stats.Evicted++
	}
}

func (s *Store) addSlab() error {
	inner, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "table_slab", Type: ebpf.Array, KeySize: 4, ValueSize: slabBytes, MaxEntries: 1, Flags: unix.BPF_F_MMAPABLE,
	})
	if err != nil {
		return fmt.Errorf("make room for unwind tables: %w", err)
	}
	if err := s.slabMap.Put(uint32(len(s.slabs)), inner); err != nil {
		inner.Close()
		return fmt.Errorf("make room for unwind tables: %w", err)
	}
	s.slabs = append(s.slabs, &slab{
		inner: inner,
		free:  []span{{len(s.slabs), 0, slabWords}},
	})
	return nil
}

// take cuts n words from the first part that has as many.
func (s *slab) take(n uint32) (span, bool) {
	for i, f := range s.free {
		if f.size < n {
			continue
		}
		if f.size == n {
			s.free = slices.Delete(s.free, i, i+1)
		} else {
			s.free[i].start += n
			s.free[i].size -= n
		}
		f.size = n
		return f, true
	}
	return span{}, false
}

// give puts words back, joining them with free neighbours.
func (s *slab) give(at span) {
	i, _ := slices.BinarySearchFunc(s.free, at, func(a, b span) int { return int(a.start) - int(b.start) })
	if i < len(s.free) && at.start+at.size == s.free[i].start {
		at.size += s.free[i].size
		s.free = slices.Delete(s.free, i, i+1)
	}
	if i > 0 && s.free[i-1].start+s.free[i-1].size == at.start {
		s.free[i-1].size += at.size
		return
	}
	s.free = slices.Insert(s.free, i, at)
}
