package symbolizer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/index"
)

// indexStatsOf names a frame of an executable, and returns what is counted when its index
// was made, or not.
func indexStatsOf(t *testing.T, path string, at uint64, config Config) IndexStats {
	t.Helper()
	s := New(config)
	m := mapping(t, path)
	m.BuildID, m.Hash = "0123", hash
	s.Symbolize([]*staccato.Frame{{Mapping: m, Address: at}})
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.Stats().Indexes
}

// What becomes of indexes is counted, and what they take.
func TestIndexStats(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	damaged, empty := filepath.Join(t.TempDir(), "damaged"), filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "binutils", "objcopy", "--update-section", ".debug_info="+empty, path, damaged)

	dir := filepath.Join(t.TempDir(), "index")
	config := Config{Index: index.Config{Directory: dir}}
	s := indexStatsOf(t, path, at, config)
	info, err := os.Stat(filepath.Join(dir, "0123-"+hash[:hashDigits]+"-own.v1"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Built != 1 || s.Found != 0 || s.Bytes != info.Size() || s.CPU <= 0 || len(s.NotKept) > 0 || s.Evicted != 0 {
		t.Errorf("made: %+v, want %d bytes", s, info.Size())
	}
	if s := indexStatsOf(t, path, at, config); s.Built != 0 || s.Found != 1 || s.Bytes != info.Size() || s.CPU != 0 {
		t.Errorf("found: %+v", s)
	}
	config.Index.Limit = info.Size() * 3 / 2
	if err := os.Rename(filepath.Join(dir, info.Name()), filepath.Join(dir, "0-own.v1")); err != nil {
		t.Fatal(err)
	}
	if s := indexStatsOf(t, path, at, config); s.Built != 1 || s.Evicted != 1 || s.Bytes != info.Size() {
		t.Errorf("in the place of another: %+v", s)
	}
	config = Config{Index: index.Config{Directory: filepath.Join(t.TempDir(), "index")}}
	if s := indexStatsOf(t, damaged, at, config); s.Built != 0 || s.Unreadable != 1 {
		t.Errorf("damaged: %+v", s)
	}
	config.BuildMemory = 4 << 10
	if s := indexStatsOf(t, path, at, config); s.Built != 0 || s.TooLarge != 1 {
		t.Errorf("too large: %+v", s)
	}
}

// Index files that cannot be kept are counted by the reason.
func TestIndexNotKept(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	open := filepath.Join(t.TempDir(), "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	disk := func(flags uintptr, options string) string {
		dir := t.TempDir()
		if err := unix.Mount("none", dir, "tmpfs", flags, "mode=0700,"+options); err != nil {
			t.Fatalf("mount: %v (tests are run as root)", err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		return dir
	}
	for why, config := range map[NotKept]index.Config{
		NoDirectory: {Directory: open},
		OverLimit:   {Directory: filepath.Join(t.TempDir(), "index"), Limit: 100},
		NoSpace:     {Directory: disk(0, "nr_inodes=1")}, // its root alone
		NotWritable: {Directory: disk(unix.MS_RDONLY, "size=1m")},
	} {
		s := indexStatsOf(t, path, at, Config{Index: config})
		if s.Built != 1 || len(s.NotKept) != 1 || s.NotKept[why] != 1 {
			t.Errorf("%s: %+v", why, s)
		}
	}
}

// slow is a file on a disk that takes its time.
type slow struct{ staccato.File }

func (s slow) ReadAt(b []byte, at int64) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return s.File.ReadAt(b, at)
}

func (slow) Owner() uint32 { return 1000 }

// A slow disk takes no CPU time; but it keeps others waiting, so that counts when it is
// decided who is next.
func TestSlowFile(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	s := withIndex(t, filepath.Join(t.TempDir(), "index"), Config{})
	m := mapping(t, path)
	m.BuildID, m.Hash, m.File = "0123", hash, slow{m.File}
	spent := make(chan time.Duration, 1)
	s.config.Done = func(*staccato.Mapping) { // before the queue is empty
		s.indexes.mu.Lock()
		defer s.indexes.mu.Unlock()
		spent <- s.indexes.spent[1000]
	}
	s.Symbolize([]*staccato.Frame{{Mapping: m, Address: at}})
	elapsed := <-spent
	if used := s.Stats().Indexes.CPU; used <= 0 || elapsed < 2*used || elapsed < 20*time.Millisecond {
		t.Errorf("%v of CPU time in %v", used, elapsed)
	}
}
