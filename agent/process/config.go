package process

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf"
)

// Uploader takes the mappings of processes to the kernel side.
type Uploader interface {
	// SetProcess replaces all entries of a process. They are sorted by Start and
	// do not overlap.
	SetProcess(pid uint32, generation uint64, entries []bpf.Entry) error
	RemoveProcess(pid uint32) error
}

// Config says what to keep. The zero value of each field is its default; only
// the Uploader must be given.
type Config struct {
	Uploader Uploader
	// ChunkFreed, if not nil, is called when nothing refers to a chunk any more:
	// its number will stand for another.
	ChunkFreed func(chunk uint32)
	// Wants says whether a process is profiled; nil is every process. Mappings
	// of the others are neither opened nor uploaded.
	Wants func(pid uint32) bool
	// Proc is where procfs is mounted; default "/proc".
	Proc string
	// MaxImages is how many program images are kept; default 65,536.
	MaxImages int
	// MaxMappings is how many executable ranges are kept of one image; default
	// 16,384. MaxAllMappings is how many are kept of all; default 2,097,152, of
	// 32 bytes each.
	MaxMappings, MaxAllMappings int
	// MaxExecutables is how many distinct executables are kept; default 16,384.
	MaxExecutables int
	// MaxOpenFiles is how many of them are held open; default 2,048, and never
	// more than half of what RLIMIT_NOFILE allows.
	MaxOpenFiles int
	// MaxGenerating is how many processes are kept that generate code, with two
	// open files each; default 1,024, and never more than an eighth of what
	// RLIMIT_NOFILE allows. Code of others has no names.
	MaxGenerating int
	// IdleWindows is how many windows an executable is kept that no process
	// maps any more; default 12, at least 2.
	IdleWindows int
}

// minIdleWindows is how many reads of the kernel's windows may still bring
// samples from before the first of them: one from each generation of tables.
const minIdleWindows = 2

func (c Config) withDefaults() (Config, error) {
	if c.Proc == "" {
		c.Proc = "/proc"
	}
	for _, each := range []struct {
		field *int
		value int
	}{
		{&c.MaxImages, 65_536},
		{&c.MaxMappings, 16_384},
		{&c.MaxAllMappings, 2 << 20},
		{&c.MaxExecutables, 16_384},
		{&c.MaxOpenFiles, 2_048},
		{&c.MaxGenerating, 1_024},
		{&c.IdleWindows, 12},
	} {
		if *each.field <= 0 {
			*each.field = each.value
		}
	}
	c.IdleWindows = max(c.IdleWindows, minIdleWindows)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return c, fmt.Errorf("read limit of open files: %w", err)
	}
	c.MaxOpenFiles = int(min(uint64(c.MaxOpenFiles), max(limit.Cur/2, 1)))
	c.MaxGenerating = int(min(uint64(c.MaxGenerating), max(limit.Cur/8, 1)))
	return c, nil
}
