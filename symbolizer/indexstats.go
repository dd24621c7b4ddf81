package symbolizer

import (
	"errors"
	"io/fs"
	"maps"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/symbolizer/index"
)

// IndexStats count the executables whose debugging information was to be read, by what
// came of it, and what their index files take.
type IndexStats struct {
	Built uint64 // an index was made
	Found uint64 // there was an index file
	// There is none: making it would take more memory than is allowed; the
	// information is damaged, or its file could not be read; too many were to be
	// read already.
	TooLarge, Unreadable, QueueFull uint64
	// NotKept are those of Built that were not written to the disk, by reason.
	NotKept map[NotKept]uint64
	// Evicted are files that were removed to make room for others, and Bytes what
	// all files in the directory take.
	Evicted uint64
	Bytes   int64
	// CPU is the CPU time spent on making indexes, without that of collecting the
	// garbage.
	CPU time.Duration
}

// NotKept is why an index file was not written.
type NotKept string

// Reasons: there is no directory that can be used; the disk, or a quota, is full; it
// is not to be written to; the file alone would exceed the limit; another.
const (
	NoDirectory NotKept = "no_directory"
	NoSpace     NotKept = "no_space"
	NotWritable NotKept = "not_writable"
	OverLimit   NotKept = "too_large"
	Other       NotKept = "other"
)

// whyNotKept returns what an error of keeping an index file means.
func (x *indexes) whyNotKept(err error) NotKept {
	switch {
	case x.store == nil:
		return NoDirectory
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return NoSpace
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return NotWritable
	case errors.Is(err, index.ErrOverLimit):
		return OverLimit
	}
	return Other
}

func (x *indexes) count(do func(*IndexStats)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	do(&x.stats)
}

// counts returns the present counts.
func (x *indexes) counts() IndexStats {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.stats
	s.NotKept = maps.Clone(s.NotKept)
	if x.store != nil {
		files := x.store.Stats()
		s.Evicted, s.Bytes = files.Evicted, files.Bytes
	}
	return s
}

// cpuTime returns the CPU time that work takes in its thread, which is all of it: it
// is what one goroutine does.
func cpuTime(work func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := threadTime()
	work()
	return threadTime() - began
}

func threadTime() time.Duration {
	var t unix.Timespec
	// It cannot fail: the clock exists and the pointer is good.
	unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return time.Duration(t.Nano())
}
