// Package symbolizer names the frames of stacks: it fills [staccato.Frame].Lines
// from the symbols of the kernel and of executables.
//
// A [Symbolizer] has a table per mapping. A table asks its sources in order,
// and the first that knows an address names it:
//
//	kernel        /proc/kallsyms (package kallsyms)
//	executables   Go's line table, with inlined calls (package gopclntab);
//	              debugging information, with inlined calls (packages dwarf
//	              and index); ELF symbols (package elfsym); of the executable
//	              and of the files that describe it (package debugfile)
//	generated     the list that the program writes (package perfmap)
//
// Debugging information is read in the background, once per executable: what
// it says is kept in an index file on disk. Until that is there, frames get
// names from symbols. [Symbolizer.Wait] waits, and when [Symbolizer.Improved]
// has changed, frames that are named again may get better names.
//
// Lines of BPF programs (package bpfprog) come on top of the kernel's names.
//
// A new kind of symbols is a folder below this one with a type that is a
// [Resolver], and a line in sources.go.
package symbolizer

import (
	"container/list"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
	"github.com/staccato-profiler/staccato/symbolizer/demangle"
	"github.com/staccato-profiler/staccato/symbolizer/index"
	"github.com/staccato-profiler/staccato/symbolizer/kallsyms"
)

// Resolver looks addresses up in the symbols of one file.
type Resolver interface {
	// Resolve returns the functions that an address of the file lies in, the
	// innermost inlined call first. Names are the linker's.
	Resolve(address uint64) ([]staccato.Line, bool)
	// Size is the memory that the resolver holds, in bytes.
	Size() int64
}

// Config says what a symbolizer may use. The zero value of each field is its
// default.
type Config struct {
	// MemoryLimit bounds the tables of executables, in bytes; default 64 MiB.
	// The tables used least recently are dropped when they exceed it. A table
	// that alone exceeds it is refused. Not included are the kernel's table
	// (some 5 MB) and what reading a table takes meanwhile: up to three times
	// its size, and some 100 MiB for an executable with .gnu_debugdata that was
	// made to take that.
	MemoryLimit int64
	// Kallsyms is where kernel symbols are read from; default /proc/kallsyms.
	Kallsyms string
	// Fetcher gets debug files that no root of an executable has, as a client of
	// package debuginfod does; nil is nobody. Frames are not kept waiting: they
	// get better names when the file is there.
	Fetcher debugfile.Fetcher
	// Demangle is how names of C++ and Rust are shown; default demangle.Simple.
	Demangle demangle.Style
	// Done is called when the content of a mapping's file has been read, its
	// debugging information included, or cannot be: from then on it is not
	// needed, so File may be closed. It is read again only if its table was
	// dropped because of MemoryLimit; [Symbolizer.Reason] tells when that was
	// not possible, and Done is called once more. It is called from Symbolize,
	// which waits for it, or from a goroutine of its own. It is never called for
	// Go programs: their line tables are read whenever an address is looked up.
	Done func(*staccato.Mapping)
	// Index says where index files are. When there is no usable directory,
	// indexes are made again by each process, and kept in memory.
	Index index.Config
	// BuildMemory bounds the memory that making an index takes, in bytes;
	// default 256 MiB. One is made at a time. An executable that would take
	// more is named by its symbols, and the reason says so.
	BuildMemory int64
}

// Symbolizer names frames. It is safe for concurrent use.
type Symbolizer struct {
	config  Config
	kernel  *table
	indexes *indexes

	improved atomic.Uint64

	mu     sync.Mutex
	tables map[*staccato.Mapping]*list.Element // of recent
	recent list.List                           // of *table, the one used last in front
	bytes  int64                               // of all tables
	stats  Stats

	lookEvery time.Duration
	looked    time.Time // when it was last looked for better files
	looking   bool
}

// Stats counts what a symbolizer holds and did.
type Stats struct {
	// Bytes and Tables are what is held for executables.
	Bytes  int64
	Tables int
	// Dropped counts tables dropped because of the memory limit.
	Dropped uint64
	// Reading is the path of the executable whose debugging information is
	// read just now, "" when there is none; Waiting is how many come after it.
	Reading string
	Waiting int
	// Unkept is why index files cannot be kept on disk, nil when they can, or
	// when none was needed.
	Unkept  error
	Indexes IndexStats
}

// New returns a symbolizer that has read nothing yet.
func New(config Config) *Symbolizer {
	if config.MemoryLimit == 0 {
		config.MemoryLimit = 64 << 20
	}
	if config.Kallsyms == "" {
		config.Kallsyms = kallsyms.Path
	}
	if config.BuildMemory == 0 {
		config.BuildMemory = defaultBuildMemory
	}
	return &Symbolizer{
		config:  config,
		kernel:  &table{style: config.Demangle, limit: kernelCache, load: kernelSources(config.Kallsyms)},
		indexes: newIndexes(config),
		tables:  make(map[*staccato.Mapping]*list.Element),

		lookEvery: lookEvery,
		looked:    time.Now(),
	}
}

// kernelCache bounds the answers kept for the kernel, in bytes. Its symbols
// are not counted, as nothing else could name the kernel's frames.
const kernelCache = 16 << 20

// Symbolize names the frames that have no lines, by the mapping and address
// they have, in place. Frames that no source knows stay without lines. It sets
// Kind of frames in Go code to [staccato.KindGo].
//
// Lines may be shared between frames and must not be changed. No frame may be
// in two calls at the same time.
func (s *Symbolizer) Symbolize(frames []*staccato.Frame) {
	var kernel []*staccato.Frame
	user := make(map[*staccato.Mapping][]*staccato.Frame)
	for _, f := range frames {
		switch {
		case len(f.Lines) > 0:
		case f.Kind == staccato.KindKernel:
			kernel = append(kernel, f)
		case f.Mapping != nil && (f.Mapping.File != nil || f.Mapping.Generated != nil):
			user[f.Mapping] = append(user[f.Mapping], f)
		}
	}
	if len(kernel) > 0 {
		s.kernel.symbolize(kernel)
	}
	for m, frames := range user {
		t := s.acquire(m)
		s.afterwards(t, t.symbolize(frames))
	}
	s.look()
}

// Lookup calls each with the lines of each address in the file of a mapping, in
// order; none where nothing is known. Lines are valid until each returns, which
// must not call the symbolizer. It is for addresses that are asked about once.
func (s *Symbolizer) Lookup(m *staccato.Mapping, addresses []uint64, each func(int, []staccato.Line)) {
	t := s.acquire(m)
	s.afterwards(t, t.lookup(addresses, each))
}

// afterwards releases a table that was used. The table is done with its file,
// unless that is needed for a better source.
func (s *Symbolizer) afterwards(t *table, r reading) {
	if r.more {
		s.improved.Add(1)
	}
	waiting := r.better != nil && s.improve(t, r.better, r.done)
	if r.done && !waiting && s.config.Done != nil {
		s.config.Done(t.mapping)
	}
	s.release(t)
}

// improve has an index made for a table, which is done with its file then or goes on
// reading it, and reports whether there is room for that in the queue.
func (s *Symbolizer) improve(t *table, b *build, done bool) bool {
	s.acquire(t.mapping) // until it is made
	t.improve(1)
	b.done = func(x *index.Index, err error) {
		t.improve(-1)
		if err != nil {
			t.explain(err.Error())
		} else {
			t.renew(x, b.part)
			s.improved.Add(1)
		}
		if done && s.config.Done != nil {
			s.config.Done(t.mapping)
		}
		s.release(t)
	}
	if s.indexes.add(b) {
		return true
	}
	t.improve(-1)
	b.close()
	s.release(t)
	return false
}

// Improved counts how often better names came to be known, of frames that were
// named before.
func (s *Symbolizer) Improved() uint64 { return s.improved.Load() }

// Wait waits until all debugging information of executables that frames were
// named for is read, or cannot be. The error is the context's.
func (s *Symbolizer) Wait(ctx context.Context) error { return s.indexes.wait(ctx) }

// Unread returns the paths of executables that frames were named for and whose
// debugging information is not read yet, or is asked for.
func (s *Symbolizer) Unread() (paths []string) {
	for _, t := range s.all() {
		if t.unread() {
			paths = append(paths, t.mapping.Path)
		}
	}
	return paths
}

// all returns the tables that there are, the one used last first.
func (s *Symbolizer) all() (tables []*table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := s.recent.Front(); e != nil; e = e.Next() {
		tables = append(tables, e.Value.(*table))
	}
	return tables
}

// Refresh reads the kernel's symbols again. It is due when modules or BPF
// programs have come or gone; what was named before stays valid.
func (s *Symbolizer) Refresh() error {
	return s.kernel.reload()
}

// Reason says in a few words why frames of a mapping have no names, "" when
// there is nothing to say: all is well, or no frame of it was seen yet.
func (s *Symbolizer) Reason(m *staccato.Mapping) string {
	if m == nil {
		return ""
	}
	if m.Path == staccato.KernelPath {
		return s.kernel.why()
	}
	s.mu.Lock()
	element := s.tables[m]
	s.mu.Unlock()
	if element != nil {
		return element.Value.(*table).why()
	}
	return m.Reason
}

// Built reports whether the content of the mapping's file was read, or turned
// out not to be readable: see [Config].Done.
func (s *Symbolizer) Built(m *staccato.Mapping) bool {
	s.mu.Lock()
	element := s.tables[m]
	s.mu.Unlock()
	return element != nil && element.Value.(*table).built()
}

// Stats returns the present counts.
func (s *Symbolizer) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Bytes, stats.Tables = s.bytes, s.recent.Len()
	stats.Reading, stats.Waiting, stats.Unkept = s.indexes.progress()
	stats.Indexes = s.indexes.counts()
	return stats
}

// acquire returns the table of a mapping and keeps it from being dropped until
// release.
func (s *Symbolizer) acquire(m *staccato.Mapping) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	element := s.tables[m]
	if element == nil {
		t := &table{mapping: m, style: s.config.Demangle, limit: s.config.MemoryLimit}
		if m.Generated != nil {
			t.load, t.grows = generatedSources(m.Generated, s.config.MemoryLimit), true
		} else {
			t.load = fileSources(m, s.config.MemoryLimit, s.indexes, debugfile.Config{Fetcher: s.config.Fetcher, Later: t.expire})
		}
		element = s.recent.PushFront(t)
		s.tables[m] = element
	}
	s.recent.MoveToFront(element)
	t := element.Value.(*table)
	t.users++
	return t
}

// release counts what the table takes now, and drops tables that are over the
// limit.
func (s *Symbolizer) release(t *table) {
	size := t.size()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += size - t.counted
	t.counted = size
	t.users--
	for e := s.recent.Back(); e != nil && s.bytes > s.config.MemoryLimit; {
		previous := e.Prev()
		if old := e.Value.(*table); old.users == 0 {
			s.recent.Remove(e)
			delete(s.tables, old.mapping)
			s.bytes -= old.counted
			s.stats.Dropped++
			old.close()
		}
		e = previous
	}
}
