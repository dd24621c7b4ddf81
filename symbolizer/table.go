package symbolizer

import (
	"sync"
	"sync/atomic"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/demangle"
)

// table names the addresses of one mapping and remembers its answers.
type table struct {
	mapping *staccato.Mapping // nil for the kernel
	limit   int64             // of the resolvers and answers, in bytes
	// load reads the symbols. A reason may come with sources: why they know
	// less than they might.
	load func() (sources []source, reason string)

	users   int   // guarded by Symbolizer.mu: calls that use the table
	counted int64 // guarded by Symbolizer.mu: what Symbolizer.bytes has of it

	expired atomic.Bool // reading the symbols again will find more

	mu        sync.Mutex
	loaded    bool
	sources   []source
	reason    string
	answers   map[uint64]answer
	functions map[staccato.Function]*staccato.Function // by value, Name being the linker's
	cached    int64                                    // size of answers and functions, in bytes
}

// source is a resolver and the kind of frames it names.
type source struct {
	Resolver
	kind staccato.Kind // "" leaves the frame's kind as it is
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

// symbolize names frames of the table's mapping and reports whether it read
// the symbols to do so.
func (t *table) symbolize(frames []*staccato.Frame) (loaded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if expired := t.expired.Swap(false); expired || !t.loaded {
		loaded = true
		t.readSymbols()
	}
	for _, f := range frames {
		a := t.answer(f.Lookup())
		f.Lines = a.lines
		if a.kind != "" {
			f.Kind = a.kind
		}
	}
	return loaded
}

// readSymbols fills the table. It keeps what it has when there is nothing any
// more: files are closed when they have been read. t.mu is held.
func (t *table) readSymbols() {
	sources, reason := t.load()
	if sources != nil || t.sources == nil {
		t.sources, t.reason = sources, reason
	}
	t.loaded = true
	t.forgetAnswers()
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
	if t.cached > t.cacheLimit() {
		t.forgetAnswers()
	}
	var a answer
	for _, s := range t.sources {
		lines, ok := s.Resolve(address)
		if !ok || len(lines) == 0 {
			continue
		}
		a.lines = lines
		if s.kind != "" && lines[len(lines)-1].Function.File != "" {
			// C code in a Go program's table has no file.
			a.kind = s.kind
		}
		break
	}
	for i := range a.lines {
		a.lines[i].Function = t.intern(a.lines[i].Function)
	}
	t.cached += answerBytes + lineBytes*int64(len(a.lines))
	t.answers[address] = a
	return a
}

// cacheLimit is what resolvers leave of the limit, and never nothing.
func (t *table) cacheLimit() int64 {
	left := t.limit
	if t.mapping != nil {
		left -= t.resolvers()
	}
	return max(left, 64<<10)
}

// intern returns the one function that is equal to f, with its name demangled.
// Functions stay the same until the answers are forgotten. t.mu is held.
func (t *table) intern(f *staccato.Function) *staccato.Function {
	known := t.functions[*f]
	if known == nil {
		known = new(*f)
		known.Name = demangle.Name(f.SystemName)
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
	sources, reason := t.load()
	t.mu.Lock()
	defer t.mu.Unlock()
	if sources == nil {
		if t.sources == nil {
			t.loaded, t.reason = true, reason
		}
		return noSymbols(reason)
	}
	t.sources, t.reason, t.loaded = sources, reason, true
	t.forgetAnswers()
	return nil
}

// noSymbols is why a table has no sources.
type noSymbols string

func (e noSymbols) Error() string { return string(e) }

func (t *table) why() string {
	t.mu.Lock()
	defer t.mu.Unlock()
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
	return tableBytes + t.resolvers() + t.cached
}

// resolvers is the size of the sources. t.mu is held.
func (t *table) resolvers() int64 {
	size := int64(0)
	for _, s := range t.sources {
		size += s.Size()
	}
	return size
}
