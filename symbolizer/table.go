package symbolizer

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
	"github.com/staccato-profiler/staccato/symbolizer/demangle"
	"github.com/staccato-profiler/staccato/symbolizer/index"
)

// table names the addresses of one mapping and remembers its answers.
type table struct {
	mapping *staccato.Mapping // nil for the kernel
	style   demangle.Style
	limit   int64          // of the resolvers and answers, in bytes
	load    func() symbols // reads the symbols
	// grows says that there may be more symbols each time: load reads them.
	grows bool

	users   int   // guarded by Symbolizer.mu: calls that use the table
	counted int64 // guarded by Symbolizer.mu: what Symbolizer.bytes has of it

	expired atomic.Bool // reading the symbols again will find more

	mu        sync.Mutex
	loaded    bool
	closed    bool // what comes later is not wanted
	sources   []source
	reason    string
	pending   bool // a debug file may be on its way
	improving int  // how many indexes are being made
	places    *debugfile.Places
	news      int       // how often these had any
	quiet     time.Time // until then they are not looked at
	answers   map[uint64]answer
	functions map[staccato.Function]*staccato.Function // by value, Name being the linker's
	cached    int64                                    // size of answers and functions, in bytes
}

// source is a resolver and the kind of frames it names.
type source struct {
	Resolver
	kind staccato.Kind // "" leaves the frame's kind as it is
	// stays says that nothing better takes its place.
	stays bool
	// index is the resolver when it is one, whose equal functions mostly are the
	// same pointer, with names in the table's style.
	index *index.Index
}

// answer is what is known of an address; without lines, that nothing is.
type answer struct {
	lines []staccato.Line
	kind  staccato.Kind
}

// Sizes for the accounting of memory, in bytes: of a struct with its place in
// a map.
const (
	tableBytes    = 512
	answerBytes   = 96
	lineBytes     = 24
	functionBytes = 240
)

// reading is what came of reading the symbols.
type reading struct {
	done   bool   // with the file
	better *build // makes better symbols, or nil
	more   bool   // there are other symbols than before
}

// symbolize names frames of the table's mapping.
func (t *table) symbolize(frames []*staccato.Frame) (r reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if expired := t.expired.Swap(false); expired || !t.loaded || t.grows {
		r = t.readSymbols()
	}
	for _, f := range frames {
		a := t.answer(f.Lookup())
		f.Lines = a.lines
		if a.kind != "" {
			f.Kind = a.kind
		}
	}
	return r
}

// readSymbols fills the table. It keeps the sources that it has when there is nothing
// any more, since files are closed when they have been read; and an index that it has,
// until there is another: symbols alone know less. t.mu is held.
func (t *table) readSymbols() reading {
	s := t.load()
	r := reading{done: !s.reads && !t.grows, better: s.better}
	switch {
	case indexed(t.sources) && !indexed(s.sources):
		closeSources(s.sources)
	case s.sources != nil || t.sources == nil:
		r.more = t.loaded && !t.grows
		closeSources(t.sources)
		t.sources, t.reason = s.sources, s.reason
	default:
		t.reason = s.reason
	}
	t.loaded, t.pending, t.places = true, s.pending, s.places
	t.forgetAnswers()
	return r
}

// indexed says that there is an index among sources.
func indexed(sources []source) bool {
	return slices.ContainsFunc(sources, func(s source) bool { return s.index != nil })
}

// renew puts a better source in the place of all that do not stay; part says that it
// was not made of all that there may come to be.
func (t *table) renew(x *index.Index, part bool) {
	missed, path := x.Missed()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		closeResolver(x)
		return
	}
	var kept []source
	for _, s := range t.sources {
		if s.stays {
			kept = append(kept, s)
		} else {
			closeResolver(s.Resolver)
		}
	}
	t.sources, t.reason = append(kept, source{Resolver: x, index: x}), missed
	t.forgetAnswers()
	switch {
	case missed == "" && !part:
		t.places = nil
	case path != "" && t.places != nil:
		t.places = t.places.WithObject(path)
	}
}

// improve counts the indexes that are being made for the table.
func (t *table) improve(more int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.improving += more
}

// unread says that debugging information is there, or may be on its way, and is not
// read yet.
func (t *table) unread() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.pending || t.improving > 0
}

// explain adds to the reason.
func (t *table) explain(reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason != "" {
		reason = t.reason + "; " + reason
	}
	t.reason = reason
}

// close frees what the sources hold outside of the heap. Nobody uses the table.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	closeSources(t.sources)
	t.sources = nil
}

func closeSources(sources []source) {
	for _, s := range sources {
		closeResolver(s.Resolver)
	}
}

func closeResolver(r Resolver) {
	if c, ok := r.(io.Closer); ok {
		// Unmapping a file that was mapped does not fail.
		_ = c.Close()
	}
}

// expire says that there is more to be read than the table has.
func (t *table) expire() { t.expired.Store(true) }

// forgetAnswers empties the cache. t.mu is held.
func (t *table) forgetAnswers() {
	t.answers = make(map[uint64]answer)
	t.functions = make(map[staccato.Function]*staccato.Function)
	t.cached = 0
}

// answer looks an address up. t.mu is held.
func (t *table) answer(address uint64) answer {
	if a, ok := t.answers[address]; ok {
		return a
	}
	a := t.find(address)
	t.cached += answerBytes + lineBytes*int64(len(a.lines))
	t.answers[address] = a
	if t.cached > t.cacheLimit() {
		t.forgetAnswers()
	}
	return a
}

// find asks the sources about an address. t.mu is held.
func (t *table) find(address uint64) (a answer) {
	for _, s := range t.sources {
		lines, ok := s.Resolve(address)
		if !ok || len(lines) == 0 {
			continue
		}
		a.lines = lines
		if s.index != nil {
			return a
		}
		if s.kind != "" && lines[len(lines)-1].Function.File != "" {
			// C code in a Go program's table has no file.
			a.kind = s.kind
		}
		break
	}
	for i := range a.lines {
		a.lines[i].Function = t.intern(a.lines[i].Function)
	}
	return a
}

// lookup is symbolize for addresses that are asked about once: the answers are
// not kept. Lines are valid until each returns.
func (t *table) lookup(addresses []uint64, each func(int, []staccato.Line)) (r reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if expired := t.expired.Swap(false); expired || !t.loaded {
		r = t.readSymbols()
	}
	if len(t.sources) == 1 && t.sources[0].index != nil {
		t.sources[0].index.Lookup(addresses, each)
		return r
	}
	for i, address := range addresses {
		each(i, t.find(address).lines)
	}
	return r
}

// cacheLimit is what resolvers leave of the limit, and never nothing.
func (t *table) cacheLimit() int64 {
	left := t.limit - tableBytes
	if t.mapping != nil {
		left -= t.resolvers()
	}
	return max(left, 64<<10)
}

// intern returns the one function that is equal to f, with its name in the
// table's style. Functions stay the same until the answers are forgotten. t.mu is held.
func (t *table) intern(f *staccato.Function) *staccato.Function {
	known := t.functions[*f]
	if known == nil {
		known = new(*f)
		known.Name = t.style.Name(f.SystemName)
		t.functions[*f] = known
		t.cached += functionBytes + int64(len(f.SystemName)+len(f.File))
		if known.Name != f.SystemName {
			t.cached += int64(len(known.Name))
		}
	}
	return known
}

// reload reads the symbols again and returns the reason when there are none.
func (t *table) reload() error {
	s := t.load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.sources == nil {
		if t.sources == nil {
			t.loaded, t.reason = true, s.reason
		}
		return noSymbols(s.reason)
	}
	t.sources, t.reason, t.loaded = s.sources, s.reason, true
	t.forgetAnswers()
	return nil
}

// noSymbols is why a table has no sources.
type noSymbols string

func (e noSymbols) Error() string { return string(e) }

func (t *table) why() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sources {
		if r, ok := s.Resolver.(interface{ Err() error }); ok && r.Err() != nil && t.reason == "" {
			return r.Err().Error()
		}
	}
	return t.reason
}

func (t *table) built() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loaded
}

func (t *table) size() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return tableBytes + t.resolvers() + t.cached + t.places.Size()
}

// resolvers is the size of the sources. t.mu is held.
func (t *table) resolvers() int64 {
	size := int64(0)
	for _, s := range t.sources {
		size += s.Size()
	}
	return size
}
