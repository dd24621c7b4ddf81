package process

import (
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent/limit"
)

// executables is the registry of distinct executables. Each has one
// staccato.Mapping, which never changes, and a number for each piece of 4 MiB
// of its file that someone mapped. An executable that no process maps any more
// is kept for some windows: samples still refer to it, and programs that run
// for a moment tend to run again.
type executables struct {
	max         int // executables
	maxOpen     int64
	idleWindows uint64
	pageSize    uint64

	byFile map[fileKey]*executable
	// byBuildID finds executables of processes that are gone before we looked.
	byBuildID map[nameKey][]*executable
	refused   map[refusal]*executable
	vdso      *executable
	roots     *roots
	idle      map[*executable]struct{}

	// Chunk numbers that may have unwind tables, and others.
	tabled, tableless numbers
	owned             map[uint32]int // of tabled: numbers by owner of the file, without root
	ownedAll          int            // the sum
	freed             func(chunk uint32)

	window uint64
	clock  uint64 // counts uses
	open   atomic.Int64

	counts    map[string]uint64 // refused files by reason
	tooMany   uint64
	forcedOut uint64 // files closed to keep to maxOpen
}

const (
	// maxChunks bounds chunk numbers, maxPieces those of one executable: files
	// can be made to look as large as one likes.
	maxChunks = 1 << 20
	maxPieces = 1024
	// tabledChunks is where the numbers end that may have unwind tables
	// (TABLE_CHUNKS of bpf/include/table.h). Anyone can map large files: the files
	// of one user other than root get at most ownedChunks of them, 64 GiB of file,
	// and those of all these users at most three times that.
	tabledChunks = 1 << 16
	ownedChunks  = tabledChunks / 4
	// chunkShift gives pieces of 4 MiB (CHUNK_SHIFT of bpf/include/types.h):
	// so large are unwind tables at most.
	chunkShift = 22
)

// executable is a file that is mapped executable, or, with mapping.File nil,
// one that could not be had.
type executable struct {
	mapping  *staccato.Mapping
	identity identity
	file     *file
	// code says that the file is just where a program keeps the code it
	// generates, and not an executable.
	code  bool
	owner uint32 // user whose file it is

	key     fileKey           // in byFile, and
	name    nameKey           // in byBuildID; or
	why     refusal           // in refused
	chunks  map[uint32]uint32 // which 4 MiB of the file → chunk number
	users   int               // mappings that refer to it
	idleAt  uint64            // window in which the last user went
	lastUse uint64
}

// piece is what a chunk number stands for: 4 MiB of a file.
type piece struct {
	executable *executable
	high       uint32 // file offset >> chunkShift
}

// fileKey tells files apart, and contents of a file: whoever changes it
// changes its ctime, which nobody can set.
type fileKey struct {
	dev, inode uint64
	ctime      unix.Timespec
	size       int64
}

type nameKey struct{ path, buildID string }

type refusal struct {
	nameKey
	reason string
}

func keyOf(stat unix.Stat_t) fileKey {
	return fileKey{dev: uint64(stat.Dev), inode: stat.Ino, ctime: stat.Ctim, size: stat.Size}
}

func newExecutables(config Config, roots *roots) *executables {
	return &executables{
		max:         config.MaxExecutables,
		maxOpen:     int64(config.MaxOpenFiles),
		idleWindows: uint64(config.IdleWindows),
		pageSize:    uint64(unix.Getpagesize()),
		byFile:      map[fileKey]*executable{},
		byBuildID:   map[nameKey][]*executable{},
		refused:     map[refusal]*executable{},
		idle:        map[*executable]struct{}{},
		tabled:      numbers{first: 1, limit: tabledChunks},
		tableless:   numbers{first: tabledChunks, limit: maxChunks},
		owned:       map[uint32]int{},
		counts:      map[string]uint64{},
		freed:       config.ChunkFreed,
		roots:       roots,
	}
}

func (x *executables) len() int { return len(x.byFile) + len(x.refused) }

// find returns the executable behind a mapping, opening its file if it is new,
// or nil when there is no room for one more. The process directory is nil when
// the process is gone.
func (x *executables) find(d *procDir, w wanted) *executable {
	reason := reasonGone
	for _, find := range []func(*procDir, wanted) (*handle, string){(*procDir).find, (*procDir).findByPath} {
		if d == nil {
			break
		}
		var h *handle
		if h, reason = find(d, w); h != nil {
			var e *executable
			e, reason = x.identified(h, w, d)
			h.close()
			if reason == "" {
				return e
			}
		}
		// By its path, it is found also when the process has mapped another file in
		// its place since.
		if reason != reasonBuildID {
			break
		}
	}
	if (reason == reasonGone || reason == reasonBuildID) && (w.buildID != "" || w.inode != 0) {
		if e := x.ofGone(w); e != nil {
			return e
		}
	}
	return x.refuse(w, reason)
}

// ofFile returns the executable for a file that was found: in the process, or
// in our own root, where the process directory is nil.
func (x *executables) ofFile(h *handle, w wanted, d *procDir) *executable {
	e, reason := x.identified(h, w, d)
	if reason != "" {
		return x.refuse(w, reason)
	}
	return e
}

// identified returns the executable for a file that was found, nil when there is no
// room for one more, or says why it is not what was mapped.
func (x *executables) identified(h *handle, w wanted, d *procDir) (e *executable, reason string) {
	key := keyOf(h.stat)
	e = x.byFile[key]
	if e == nil {
		if !x.makeRoom() {
			return nil, ""
		}
		if e, reason = x.read(h, w.path, d); e == nil {
			return nil, reason
		}
		if w.buildID != "" && e.identity.buildID != w.buildID {
			e.file.close()
			return nil, reasonBuildID
		}
		e.key = key
		x.byFile[key] = e
		x.markIdle(e) // until a mapping refers to it
		e.name = nameKey{w.path, e.identity.buildID}
		x.byBuildID[e.name] = append(x.byBuildID[e.name], e)
	}
	if w.buildID != "" && e.identity.buildID != w.buildID {
		return nil, reasonBuildID
	}
	return e, ""
}

// read opens a file and reads its identity.
func (x *executables) read(h *handle, path string, d *procDir) (*executable, string) {
	if x.open.Load()+x.roots.open.Load() >= x.maxOpen {
		x.closeOne()
	}
	opened, reason := h.open()
	if opened == nil {
		return nil, reason
	}
	f := newFile(opened, h.stat.Size, h.stat.Uid, &x.open)
	e := &executable{file: f, owner: h.stat.Uid, chunks: map[uint32]uint32{}}
	var err error
	if e.identity, err = identify(f); err != nil {
		reason = reasonUnreadable
		switch {
		case errors.Is(err, errNotELF):
			reason = reasonNotELF
		case errors.Is(err, errMalformed):
			reason = reasonMalformed
		}
		f.close()
		e.code = reason == reasonNotELF && isMemory(path)
	}
	e.mapping = &staccato.Mapping{
		Path:      asText(path),
		BuildID:   e.identity.buildID,
		GoBuildID: e.identity.goBuildID,
		Hash:      e.identity.hash,
	}
	e.mapping.Start, e.mapping.Limit, e.mapping.Offset = e.identity.bounds()
	if err == nil {
		e.mapping.File = f
		if f.root = x.roots.of(d, h, path); f.root != nil {
			e.mapping.Roots = append(e.mapping.Roots, f.root)
		}
		e.mapping.Roots = append(e.mapping.Roots, x.roots.own)
	} else {
		// The file is what was mapped; there is just nothing to be had from it.
		e.mapping.Reason = reason
		if !e.code {
			x.counts[reason]++
		}
	}
	return e, ""
}

// isMemory says that a path is a name for memory rather than for a file on a
// disk: programs that generate code map it from such files.
func isMemory(path string) bool {
	for _, prefix := range []string{"/memfd:", "/dev/shm/", "/dev/zero", "/SYSV", "/anon_hugepage"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// ofGone looks for the executable of a process that is gone: the file at the
// same path of our own root, or one seen before under this path and build ID.
// Anyone can give a file the build ID of another in mounts of their own: so our
// own root comes first, and when two files elsewhere claim the name, neither
// gets it.
func (x *executables) ofGone(w wanted) *executable {
	if e := x.inOurRoot(w); e != nil {
		return e
	}
	return x.known(w)
}

// known returns the executable that was seen under a path and build ID, nil when
// there is none, or more than one.
func (x *executables) known(w wanted) *executable {
	if known := x.byBuildID[nameKey{w.path, w.buildID}]; w.buildID != "" && len(known) == 1 {
		return known[0]
	}
	return nil
}

// is says whether a mapping is of this executable, as far as the kernel tells.
func (e *executable) is(w wanted) bool {
	if w.buildID != "" {
		return e.name == nameKey{w.path, w.buildID}
	}
	dev := e.key.dev
	return w.inode != 0 && e.name.path == w.path && e.key.inode == w.inode &&
		unix.Major(dev) == w.major && unix.Minor(dev) == w.minor
}

// inOurRoot returns the executable at the path in our own root, if it has the
// build ID or is the very inode, unchanged since it was mapped. (The kernel
// finds no build ID in what Go's linker writes.)
func (x *executables) inOurRoot(w wanted) *executable {
	h, _ := findBelow(x.roots.own.fd, w)
	if h == nil {
		return nil
	}
	defer h.close()
	if w.buildID == "" && !w.unchanged(h.stat) {
		return nil
	}
	e := x.ofFile(h, w, nil)
	if e == nil || e.mapping.File == nil {
		return nil
	}
	return e
}

// refuse returns an executable without a file, which holds what the kernel
// said about it and why the file could not be had.
func (x *executables) refuse(w wanted, reason string) *executable {
	x.counts[reason]++
	why := refusal{nameKey{w.path, w.buildID}, reason}
	if e := x.refused[why]; e != nil {
		return e
	}
	if !x.makeRoom() {
		return nil
	}
	e := &executable{
		mapping: &staccato.Mapping{Path: asText(w.path), BuildID: w.buildID, Limit: math.MaxUint64, Reason: reason},
		why:     why,
		owner:   nobody,
		chunks:  map[uint32]uint32{},
	}
	x.refused[why] = e
	x.markIdle(e)
	return e
}

// makeRoom says whether there is room for one more executable.
func (x *executables) makeRoom() bool {
	if x.len() < x.max {
		return true
	}
	x.sweep(minIdleWindows)
	if x.len() < x.max {
		return true
	}
	x.tooMany++
	return false
}

// closeOne closes the file that was used the longest time ago.
func (x *executables) closeOne() {
	var oldest *executable
	for _, e := range x.byFile {
		if e.file.isOpen() && (oldest == nil || e.lastUse < oldest.lastUse) {
			oldest = e
		}
	}
	if oldest != nil {
		oldest.file.close()
		x.forcedOut++
	}
}

// use and unuse count the mappings that refer to an executable; nil is fine.
func (x *executables) use(e *executable) {
	if e == nil {
		return
	}
	e.users++
	x.touch(e)
	delete(x.idle, e)
}

func (x *executables) unuse(e *executable) {
	if e == nil {
		return
	}
	if e.users--; e.users == 0 {
		x.markIdle(e)
	}
}

func (x *executables) touch(e *executable) {
	x.clock++
	e.lastUse = x.clock
}

func (x *executables) markIdle(e *executable) {
	x.touch(e)
	if e == x.vdso {
		return
	}
	e.idleAt = x.window
	x.idle[e] = struct{}{}
}

// windowRead forgets executables that were idle for long enough.
func (x *executables) windowRead() {
	x.window++
	x.sweep(x.idleWindows)
}

func (x *executables) sweep(windows uint64) {
	for e := range x.idle {
		if x.window-e.idleAt < windows {
			continue
		}
		delete(x.idle, e)
		for _, chunk := range slices.Sorted(maps.Values(e.chunks)) {
			x.freeChunk(e, chunk)
			if x.freed != nil {
				x.freed(chunk)
			}
		}
		if e.why != (refusal{}) {
			delete(x.refused, e.why)
			continue
		}
		e.file.close()
		delete(x.byFile, e.key)
		left := slices.DeleteFunc(x.byBuildID[e.name], func(other *executable) bool { return other == e })
		if len(left) > 0 {
			x.byBuildID[e.name] = left
		} else {
			delete(x.byBuildID, e.name)
		}
	}
}

// chunk returns the number of a piece of an executable, 0 when there are no
// more numbers.
func (x *executables) chunk(e *executable, high uint32) uint32 {
	if number, ok := e.chunks[high]; ok {
		return number
	}
	number := uint32(0)
	if len(e.chunks) < maxPieces {
		p := piece{executable: e, high: high}
		if x.mayHaveTables(e) {
			number = x.tabled.take(p)
		}
		if number != 0 && e.owner != root {
			x.owned[e.owner]++
			x.ownedAll++
		}
		if number == 0 {
			number = x.tableless.take(p)
		}
	}
	if number == 0 {
		x.tooMany++
		return 0
	}
	e.chunks[high] = number
	return number
}

const (
	root   = limit.Root
	nobody = limit.Nobody // whose the files are that could not be had
)

// mayHaveTables says whether one more chunk of an executable gets a number that
// can have a table.
func (x *executables) mayHaveTables(e *executable) bool {
	if e.owner == root {
		return true
	}
	return x.owned[e.owner] < ownedChunks && x.ownedAll < 3*ownedChunks
}

func (x *executables) freeChunk(e *executable, number uint32) {
	if number >= tabledChunks {
		x.tableless.give(number)
		return
	}
	x.tabled.give(number)
	if e.owner != root {
		x.ownedAll--
		if x.owned[e.owner]--; x.owned[e.owner] == 0 {
			delete(x.owned, e.owner)
		}
	}
}

// numbered is what a chunk number stands for.
func (x *executables) numbered(chunk uint32) piece {
	if chunk < tabledChunks {
		return x.tabled.at(chunk)
	}
	return x.tableless.at(chunk)
}

// frame is the way back from a chunk.
func (x *executables) frame(chunk, offset uint32) (*staccato.Mapping, uint64, bool) {
	m, start, ok := x.piece(chunk)
	if !ok {
		return nil, 0, false
	}
	e := x.numbered(chunk).executable
	x.touch(e)
	return m, x.address(e, start+uint64(offset)), true
}

// piece returns the executable behind a chunk, and where in its file the chunk
// begins.
func (x *executables) piece(chunk uint32) (*staccato.Mapping, uint64, bool) {
	p := x.numbered(chunk)
	if p.executable == nil {
		return nil, 0, false
	}
	return p.executable.mapping, uint64(p.high) << chunkShift, true
}

func (x *executables) address(e *executable, offset uint64) uint64 {
	return e.identity.address(offset, x.pageSize)
}
