package agent

import (
	"cmp"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent/limit"
	"github.com/staccato-profiler/staccato/agent/process"
	"github.com/staccato-profiler/staccato/agent/unwind"
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// tables loads the unwind tables that the kernel side asks for. Goroutines of its
// own make them; everything else is for the loop's.
type tables struct {
	store   *native.Store
	table   *process.Table
	wanted  *requests
	limits  *limit.Users
	made    chan madeTable
	pending map[uint32]*staccato.Mapping // chunks whose tables are being made, or wait
	waiting []madeTable                  // for room that others give up
	// full are chunks that there was no room for in this window: nothing that is
	// given up can be used again before the next.
	full    map[uint32]struct{}
	sources unwind.Cache
	rules   map[place]native.Rule // looked up for walks in user space
	counts  tableCounts
	faults  tableFaults
}

// tableCounts are what the store holds, and what became of requests since the
// start.
type tableCounts struct {
	native.Stats
	Without uint64 // chunks whose files have nothing to unwind by
	Failed  uint64 // chunks whose files could not be read
	NoRoom  uint64 // chunks that there was no room for
	Faulty  uint64 // of those that were loaded: chunks whose tables lack something
	faults  tableFaults
	// HeldBack is how often each user had to wait, since too much time was spent on
	// tables for that user.
	HeldBack map[uint32]uint64
}

func (t *tables) stats() tableCounts {
	counts := t.counts
	counts.Stats, counts.faults, counts.HeldBack = t.store.Stats(), t.faults, t.limits.Held()
	return counts
}

// wantedTable is a chunk whose table is to be made.
type wantedTable struct {
	chunk   uint32
	mapping *staccato.Mapping
	offset  uint64 // in the file
	size    uint32
	asked   bool   // by a sample
	user    uint32 // whose process maps it
}

type madeTable struct {
	wantedTable
	table *native.Table
	err   error // nothing is known
	fault error // what it lacks
	tries int   // to load it
}

const (
	// maxPending is how many tables wait to be made. The kernel side asks again for
	// those that find no room.
	maxPending = 1024
	// makers is how many tables are made at the same time, for different users: so
	// that one whose files take long keeps nobody else waiting.
	makers = 2
	// maxWaiting is how many bytes of tables wait for room, and maxTries for how many
	// windows: what is given up can be used again two windows later.
	maxWaiting = 4 << 20
	maxTries   = 8
)

var (
	// What making tables for a user other than root may take, and for all these
	// users. All 3,400 programs and libraries of a large system take 12 s.
	tablesOfUser  = limit.Rate{Share: 10, Most: time.Second}
	tablesOfUsers = limit.Rate{Share: 5, Most: 2 * time.Second}
)

func newTables(store *native.Store, table *process.Table) *tables {
	limits := limit.NewUsers(tablesOfUser, tablesOfUsers, limit.Now())
	t := &tables{
		store: store, table: table, pending: make(map[uint32]*staccato.Mapping), full: make(map[uint32]struct{}),
		wanted: newRequests(limits, limit.Now), limits: limits, made: make(chan madeTable, maxPending),
	}
	for range makers {
		go t.make()
	}
	return t
}

func (t *tables) close() { t.wanted.close() }

// ask takes a request, and with it all other chunks of the process: its stacks
// go through most of them.
func (t *tables) ask(n bpf.Notice) {
	user := t.table.User(n.PID, n.Generation)
	t.want(n.Chunk, user, true)
	for _, chunk := range t.table.Chunks(n.PID, n.Generation) {
		t.want(chunk, user, false)
	}
}

// want has a table made for a user, before others if a sample has asked for it; else
// only if there is room to spare.
func (t *tables) want(chunk, user uint32, asked bool) {
	if t.pending[chunk] != nil && asked {
		t.wanted.hurry(chunk, user)
	}
	if !asked && !t.store.TakesSpare() {
		return
	}
	if t.store.Has(chunk) || t.pending[chunk] != nil || chunk >= t.store.Chunks() || len(t.pending) >= maxPending {
		return
	}
	if _, full := t.full[chunk]; full {
		return
	}
	m, offset, ok := t.table.Chunk(chunk)
	if !ok {
		return
	}
	size := uint64(native.ChunkSize)
	if m.File != nil {
		size = min(size, uint64(max(m.File.Size(), 1))-min(offset, uint64(max(m.File.Size(), 1))-1))
	}
	if t.wanted.add(wantedTable{chunk, m, offset, uint32(size), asked, user}) {
		t.pending[chunk] = m
	}
}

// make makes tables until there are no more requests.
func (t *tables) make() {
	for {
		w, ok := t.wanted.next()
		if !ok {
			return
		}
		r := madeTable{wantedTable: w}
		took := limit.Took(func() {
			var source *unwind.Source
			if source, r.err = t.sources.Open(w.mapping); r.err == nil {
				r.table, r.fault = source.Table(w.offset, w.size)
				r.fault = cmp.Or(source.Fault(), r.fault)
			} else {
				r.table = native.Empty(w.size) // so that nobody asks again
			}
		})
		t.wanted.done(w, took)
		t.made <- r
	}
}

// rule returns the rule for an address of an executable, for walks in user space
// of a user's stacks. ok is false when too much time was spent on the user to look
// for it.
func (t *tables) rule(m *staccato.Mapping, address uint64, user uint32) (r native.Rule, ok bool) {
	at := place{m, address}
	r, known := t.rules[at]
	if known {
		return r, true
	}
	if !t.sources.Has(m) && !t.limits.Allow(user, limit.Now()) {
		return r, false
	}
	t.limits.Spend(user, limit.Took(func() {
		if source, err := t.sources.Open(m); err == nil {
			r = source.Rule(address)
		}
	}), limit.Now())
	if t.rules == nil || len(t.rules) >= maxRules {
		t.rules = make(map[place]native.Rule)
	}
	t.rules[at] = r
	return r, true
}

type place struct {
	mapping *staccato.Mapping
	address uint64
}

// maxRules is how many rules are remembered, of some 64 bytes each: programs
// that run again and again for a moment are always sampled in the same places.
const maxRules = 1 << 15

// take takes a table that was made.
func (t *tables) take(r madeTable) {
	if !t.current(r) {
		return
	}
	switch {
	case r.err == unwind.ErrNoRows: // nothing is wrong with it
		t.counts.Without++
	case r.err != nil:
		t.counts.Failed++
		t.faults.add(r.mapping, r.err)
	case r.fault != nil:
		t.counts.Faulty++
		t.faults.add(r.mapping, r.fault)
	}
	if !t.load(r) {
		t.counts.NoRoom++
	}
}

// current says whether a table is wanted still. Else its chunk's number stands for
// something else by now.
func (t *tables) current(r madeTable) bool {
	current := t.pending[r.chunk] == r.mapping
	delete(t.pending, r.chunk)
	m, _, ok := t.table.Chunk(r.chunk)
	return ok && m == r.mapping && current
}

// load loads a table. When there is no room, one that a sample has asked for waits for
// what is given up for it.
func (t *tables) load(r madeTable) bool {
	load := t.store.LoadSpare
	if r.asked {
		load = t.store.Load
	}
	var err error
	t.limits.Spend(r.user, limit.Took(func() { err = load(r.chunk, r.table) }), limit.Now())
	if err == nil {
		return true
	}
	bytes := r.table.Bytes()
	for _, other := range t.waiting {
		bytes += other.table.Bytes()
	}
	if r.tries++; r.asked && r.tries < maxTries && (bytes <= maxWaiting || len(t.waiting) == 0) {
		t.waiting = append(t.waiting, r)
		t.pending[r.chunk] = r.mapping
	} else {
		t.full[r.chunk] = struct{}{}
	}
	return false
}

// windowRead says that a window was read: what was given up may be room now, which is
// for those who have waited for it.
func (t *tables) windowRead() {
	clear(t.full)
	waiting := t.waiting
	t.waiting = nil
	for _, r := range waiting {
		if t.current(r) {
			t.load(r)
		}
	}
}

// takeAll loads the tables that were made meanwhile: each spares copies of stacks.
func (t *tables) takeAll() {
	for {
		select {
		case made := <-t.made:
			t.take(made)
		default:
			return
		}
	}
}

// freed is told that a chunk number will stand for something else.
func (t *tables) freed(chunk uint32) {
	delete(t.pending, chunk)
	delete(t.full, chunk)
	t.store.Unload(chunk)
}
