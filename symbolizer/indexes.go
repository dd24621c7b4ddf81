package symbolizer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
	"github.com/staccato-profiler/staccato/symbolizer/demangle"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/index"
)

// indexes opens index files, and makes those that there are not yet: one after
// the other, while frames get names from symbols.
type indexes struct {
	config index.Config
	memory int64 // that making one may take, in bytes
	style  func(linker string) string

	mu       sync.Mutex
	opened   bool
	store    *index.Store // nil when there is no usable directory
	storeErr error
	failed   map[string]error // by key and files: why an index is not made
	queue    []*build
	spent    map[uint32]time.Duration // on files of each user, since the queue was empty
	stats    IndexStats
	current  *build        // what is being made, or nil
	idle     chan struct{} // closed when nothing is left to make; nil when idle
}

// hashDigits is how much of a Mapping's hash is in the name of an index.
const hashDigits = 16

const (
	defaultBuildMemory = 256 << 20
	// maxQueue bounds the executables that wait for their index. What comes
	// then has to do with symbols, until its table is read again.
	maxQueue = 1 << 10
	// maxOfUser bounds those of files of one user other than root.
	maxOfUser = maxQueue / 4
	maxFailed = 1 << 10
)

// build is an index to be made.
type build struct {
	key    string
	lesser []string // keys of what it takes the place of
	part   bool     // there may come to be more than it is made of
	source index.Source
	files  *debugfile.Set
	path   string
	owner  uint32 // user whose file it is
	close  func() // closes the files of source
	// done takes the index, or the reason why there is none.
	done func(*index.Index, error)
}

func newIndexes(c Config) *indexes {
	x := &indexes{config: c.Index, memory: c.BuildMemory, failed: make(map[string]error)}
	x.stats.NotKept = make(map[NotKept]uint64)
	if c.Demangle != demangle.None {
		x.style = c.Demangle.Name
	}
	return x
}

// open returns the index of an executable, of a kind of source, or what makes
// it, still without the source. The error is why there will be none.
func (x *indexes) open(m *staccato.Mapping, file *elffile.File, k kind, set *debugfile.Set) (*index.Index, *build, error) {
	id, err := identify(m, file)
	if err != nil {
		return nil, nil, err
	}
	key := id + "-" + k.String()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.openStore()
	if found := x.stored(key, set); found != nil {
		x.stats.Found++
		return found, nil, nil
	}
	if err := x.failed[key+set.Stamp]; err != nil {
		return nil, nil, err
	}
	b := &build{key: key, part: k.part, files: set, path: m.Path, owner: ownerOf(m)}
	for _, other := range k.lesser() {
		b.lesser = append(b.lesser, id+"-"+other.String())
	}
	return nil, b, nil
}

// stored returns an index file, nil when there is none that can be used: then it
// is made, and takes the place of what is there. That is also when there is more
// to be read by now.
func (x *indexes) stored(key string, set *debugfile.Set) *index.Index {
	if x.store == nil {
		return nil
	}
	found, err := x.openFile(key)
	if err != nil {
		return nil
	}
	if _, path := found.Missed(); path != "" {
		if _, closer, err := set.OpenObject(path); err == nil {
			closer.Close() // it was only looked for
			closeResolver(found)
			return nil
		}
	}
	return found
}

// openStore opens the directory, once. x.mu is held.
func (x *indexes) openStore() {
	if !x.opened {
		x.opened = true
		x.store, x.storeErr = index.Open(x.config)
	}
}

// identify returns what stands for the content of an executable: its build ID
// and a hash of a part of it; or a hash of all its code where it has no build ID.
// Anyone can give a file the build ID of another, and with some work the hash. So
// files of each user but root are told apart from all others', and those of other
// roots from ours.
func identify(m *staccato.Mapping, file *elffile.File) (string, error) {
	id, err := identifyContent(m, file)
	if owner := ownerOf(m); owner != 0 {
		id = fmt.Sprintf("%s-user-%d", id, owner)
	}
	if len(m.Roots) > 1 {
		id += "-elsewhere" // in a container, whose root decides about debug files
	}
	return id, err
}

// ownerOf is the user whose file an executable is; root where that is not known.
func ownerOf(m *staccato.Mapping) uint32 {
	if o, ok := m.File.(interface{ Owner() uint32 }); ok {
		return o.Owner()
	}
	return 0
}

func identifyContent(m *staccato.Mapping, file *elffile.File) (string, error) {
	if m.BuildID != "" && len(m.Hash) >= hashDigits {
		return m.BuildID + "-" + m.Hash[:hashDigits], nil
	}
	sum := sha256.New()
	for i := range file.Sections {
		s := &file.Sections[i]
		fmt.Fprintln(sum, s.Name, s.Type, s.Flags, s.Addr, s.Offset, s.Size)
		if !s.Executable() {
			continue
		}
		r, err := file.Reader(s)
		if err != nil {
			return "", err
		}
		if _, err := io.Copy(sum, r); err != nil {
			return "", fmt.Errorf("read code: %w", err)
		}
	}
	return "code-" + hex.EncodeToString(sum.Sum(nil)[:20]), nil
}

// add queues an index to be made and reports whether there is room for it.
func (x *indexes) add(b *build) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	same := 0
	for _, other := range x.queue {
		if other.owner == b.owner {
			same++
		}
	}
	if len(x.queue) >= maxQueue || b.owner != 0 && same >= maxOfUser {
		x.stats.QueueFull++
		return false
	}
	x.queue = append(x.queue, b)
	if x.idle == nil {
		x.idle = make(chan struct{})
		go x.work()
	}
	return true
}

// work makes what is queued, until nothing is left.
func (x *indexes) work() {
	for {
		x.mu.Lock()
		if len(x.queue) == 0 {
			close(x.idle)
			x.idle, x.current, x.spent = nil, nil, nil
			x.mu.Unlock()
			// What making indexes took is not needed soon.
			debug.FreeOSMemory()
			return
		}
		b := x.next()
		x.current = b
		x.mu.Unlock()

		began := time.Now()
		var found *index.Index
		var err error
		took := cpuTime(func() { found, err = x.make(b) })
		x.mu.Lock()
		if x.spent == nil {
			x.spent = make(map[uint32]time.Duration)
		}
		// Not CPU time: a file system of the user's that is slow on purpose keeps
		// the others waiting, too.
		x.spent[b.owner] += time.Since(began)
		x.stats.CPU += took
		x.mu.Unlock()
		b.close()
		if err != nil {
			x.fail(b, err)
		}
		b.done(found, err)
	}
}

// next takes what is to be made next off the queue: of the files of the user on whom
// the least time was spent, so that one who has very many keeps others waiting for no
// more than one of them. x.mu is held.
func (x *indexes) next() *build {
	first := 0
	for i, b := range x.queue {
		if x.spent[b.owner] < x.spent[x.queue[first].owner] {
			first = i
		}
	}
	b := x.queue[first]
	x.queue = slices.Delete(x.queue, first, first+1)
	return b
}

// make makes an index, unless it has been made meanwhile.
func (x *indexes) make(b *build) (*index.Index, error) {
	if found := x.stored(b.key, b.files); found != nil {
		x.count(func(s *IndexStats) { s.Found++ })
		return found, nil
	}
	data, err := index.Build(b.source, b.key, x.memory)
	if errors.Is(err, index.ErrTooLarge) {
		x.count(func(s *IndexStats) { s.TooLarge++ })
		return nil, fmt.Errorf("%w of %d MiB", err, x.memory>>20)
	}
	if err != nil {
		x.count(func(s *IndexStats) { s.Unreadable++ })
		return nil, fmt.Errorf("read debugging information: %w", err)
	}
	x.count(func(s *IndexStats) { s.Built++ })
	unkept := x.storeErr
	if x.store != nil {
		if unkept = x.store.Write(b.key, data); unkept == nil {
			for _, key := range b.lesser {
				x.store.Remove(key)
			}
			var found *index.Index
			if found, unkept = x.openFile(b.key); unkept == nil {
				return found, nil
			}
		}
	}
	// It is kept in memory, but not made once more when it is dropped there.
	x.count(func(s *IndexStats) { s.NotKept[x.whyNotKept(unkept)]++ })
	x.fail(b, fmt.Errorf("keep index file: %w", unkept))
	found, err := index.Parse(data, b.key)
	if err == nil {
		found.Style(x.style)
	}
	return found, err
}

func (x *indexes) openFile(key string) (*index.Index, error) {
	found, err := x.store.Open(key)
	if err == nil {
		found.Style(x.style)
	}
	return found, err
}

// fail keeps why an index is not made of the files that there are.
func (x *indexes) fail(b *build, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.failed) < maxFailed {
		x.failed[b.key+b.files.Stamp] = err
	}
}

// progress returns the path of the executable that is being read, how many come
// after it, and why there is no directory for index files.
func (x *indexes) progress() (path string, waiting int, unkept error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.current != nil {
		path = x.current.path
	}
	return path, len(x.queue), x.storeErr
}

// wait waits until nothing is left to make.
func (x *indexes) wait(ctx context.Context) error {
	x.mu.Lock()
	idle := x.idle
	x.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
