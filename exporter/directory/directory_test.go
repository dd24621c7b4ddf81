package directory

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestWrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "profiles")
	old := unix.Umask(0)
	e := start(t, Config{Path: dir})
	unix.Umask(old)
	now := time.Now()
	for i := range 3 {
		e.export(t, window(now.Add(time.Duration(i)*time.Minute), 1000))
	}
	wantNames(t, dir, nameAt(now), nameAt(now.Add(time.Minute)), nameAt(now.Add(2*time.Minute)))
	for path, mode := range map[string]os.FileMode{
		dir:                             os.ModeDir | 0o750,
		filepath.Dir(dir):               os.ModeDir | 0o750,
		filepath.Join(dir, nameAt(now)): 0o640,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode()&^0o027 != mode&^0o027 || info.Mode()&0o007 != 0 {
			t.Errorf("%s: mode %v, %v; want %v", path, info.Mode(), err, mode)
		}
	}
	p := readProfile(t, filepath.Join(dir, nameAt(now)))
	if p.TimeNanos != now.UnixNano() || p.Sample[0].Value[0] != 3 || p.Function[0].Name != "work" {
		t.Errorf("read back: %v", p)
	}
	s := e.Stats()
	_, size := list(t, dir)
	if s.Written != (Count{3, 9}) || s.AllLost().Profiles != 0 || s.LastError != nil || s.Files != 3 || s.Bytes != size {
		t.Errorf("stats %+v, size %d", s, size)
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := e.Export(t.Context(), window(now, 1)); !errors.Is(err, ErrShutdown) {
		t.Errorf("export after shutdown: %v", err)
	}
}

// Windows that start in the same second all stay.
func TestSameSecond(t *testing.T) {
	dir := t.TempDir()
	e := start(t, Config{Path: dir})
	second := time.Now().Truncate(time.Second)
	for i := range 3 {
		e.export(t, window(second.Add(time.Duration(i)*time.Millisecond), 10))
	}
	wantNames(t, dir, name{second, 1}.String(), name{second, 2}.String(), name{second, 3}.String())
}

func TestShutdownWritesTheRest(t *testing.T) {
	dir := t.TempDir()
	e := start(t, Config{Path: dir})
	now := time.Now()
	for i := range queued / 2 {
		if err := e.Export(t.Context(), window(now.Add(time.Duration(i)*time.Second), 100_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names, _ := list(t, dir); len(names) != queued/2 {
		t.Errorf("%d files after shutdown", len(names))
	}
}

func TestRollsBySize(t *testing.T) {
	dir := t.TempDir()
	const limit = 35_000
	e := start(t, Config{Path: dir, MaxBytes: limit})
	now := time.Now()
	for i := range 10 {
		e.export(t, window(now.Add(time.Duration(i)*time.Second), 10_000))
		if _, size := list(t, dir); size > limit || size != e.Stats().Bytes {
			t.Fatalf("after %d files: %d bytes, limit %d, stats %+v", i+1, size, limit, e.Stats())
		}
	}
	at := func(i int) string { return nameAt(now.Add(time.Duration(i) * time.Second)) }
	wantNames(t, dir, at(7), at(8), at(9))
	if s := e.Stats(); s.Deleted[Size] != 7 || s.Deleted[Age] != 0 || s.Files != 3 {
		t.Errorf("stats %+v", s)
	}

	// One that can never fit deletes nothing.
	e.export(t, window(now.Add(time.Minute), 2*limit))
	wantNames(t, dir, at(7), at(8), at(9))
	if s := e.Stats(); s.Lost[TooLarge] != (Count{1, 3}) || s.LastError == nil {
		t.Errorf("stats %+v", s)
	}
}

func TestRollsByAge(t *testing.T) {
	dir := t.TempDir()
	e := start(t, Config{Path: dir, MaxAge: time.Hour})
	now := time.Now()
	// Written in another order than they began: the clock was set back.
	for _, minutes := range []int{50, 70, 90, 10} {
		e.export(t, window(now.Add(-time.Duration(minutes)*time.Minute), 10))
	}
	at := func(minutes int) string { return nameAt(now.Add(-time.Duration(minutes) * time.Minute)) }
	wantNames(t, dir, at(10), at(50))
	if s := e.Stats(); s.Deleted[Age] != 2 || s.Deleted[Size] != 0 || s.Written.Profiles != 4 {
		t.Errorf("stats %+v", s)
	}
}

// A restart counts what is there, deletes by the same rules and removes what
// was being written when the last run was killed.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	at := func(hours int) string { return nameAt(now.Add(-time.Duration(hours) * time.Hour)) }
	for _, hours := range []int{30, 20, 10, 5} {
		makeFile(t, dir, at(hours), 10_000)
	}
	left, young := unfinished(), unfinished() // the latter may still grow
	makeFile(t, dir, left, 10_000)
	makeFile(t, dir, young, 10_000)
	long := now.Add(-2 * leftOverAfter)
	if err := os.Chtimes(filepath.Join(dir, left), long, long); err != nil {
		t.Fatal(err)
	}
	e := start(t, Config{Path: dir, MaxBytes: 35_000, MaxAge: 24 * time.Hour})
	wantNames(t, dir, at(5), at(10), at(20), young)
	if s := e.Stats(); s.Files != 3 || s.Bytes != 30_000 || s.Deleted[Age] != 1 {
		t.Errorf("stats %+v", s)
	}
	e.export(t, window(now, 10_000))
	wantNames(t, dir, at(0), at(5), at(10), young)
	if err := e.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A smaller limit holds from the start.
	start(t, Config{Path: dir, MaxBytes: 12_000})
	wantNames(t, dir, at(0), young)
}

// Only regular files with a name of ours are deleted, whatever the limits.
func TestForeignFilesStay(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	old := func(number int) string { return name{time.Unix(1e9, 0), number}.String() }
	foreign := []string{
		"notes.txt", "profile.pb.gz", old(1) + ".old", "x" + old(1), ".profile.pb.gz.tmp",
		"staccato-20011399T000000Z.pb.gz", "staccato.pb.gz", strings.ToUpper(old(1)),
	}
	for _, name := range foreign {
		makeFile(t, dir, name, 1_000_000)
	}
	makeFile(t, elsewhere, "target", 1000)
	for link, target := range map[string]string{
		old(2):       filepath.Join(elsewhere, "target"),
		old(3):       elsewhere,
		old(4):       "nowhere",
		unfinished(): filepath.Join(elsewhere, "target"),
		unfinished(): elsewhere,
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
		foreign = append(foreign, link)
	}
	if err := os.Mkdir(filepath.Join(dir, old(7)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, old(8)), 0o600); err != nil {
		t.Fatal(err)
	}
	foreign = append(foreign, old(7), old(8))
	makeFile(t, dir, old(1), 1000) // ours, and too old

	e := start(t, Config{Path: dir, MaxBytes: 15_000})
	now := time.Now()
	for i := range 5 {
		e.export(t, window(now.Add(time.Duration(i)*time.Second), 10_000))
	}
	wantNames(t, dir, append(foreign, nameAt(now.Add(4*time.Second)))...)
	wantNames(t, elsewhere, "target")
	if s := e.Stats(); s.Deleted[Age] != 1 || s.Deleted[Size] != 4 || s.Files != 1 {
		t.Errorf("stats %+v", s)
	}
}

// Whatever has the next file's name already stays what it is, and is not
// written through.
func TestTakenNames(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	e := start(t, Config{Path: dir})
	now := time.Now()
	at := func(number int) string { return filepath.Join(dir, name{now, number}.String()) }
	makeFile(t, elsewhere, "victim", 10)
	for _, err := range []error{
		os.Symlink(filepath.Join(elsewhere, "victim"), at(1)),
		os.Symlink(filepath.Join(elsewhere, "new"), at(2)),
		unix.Mkfifo(at(3), 0o600),
		os.Mkdir(at(4), 0o700),
		os.WriteFile(at(5), []byte("0123456789"), 0o600),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	e.export(t, window(now, 1000))
	if p := readProfile(t, at(6)); p.TimeNanos != now.UnixNano() {
		t.Errorf("read back: %v", p)
	}
	wantNames(t, elsewhere, "victim")
	for _, path := range []string{filepath.Join(elsewhere, "victim"), at(5)} {
		if info, err := os.Lstat(path); err != nil || info.Size() != 10 {
			t.Errorf("%s was written to: %v, %v", path, info, err)
		}
	}
	for number, kind := range map[int]os.FileMode{1: os.ModeSymlink, 2: os.ModeSymlink, 3: os.ModeNamedPipe, 4: os.ModeDir} {
		if info, err := os.Lstat(at(number)); err != nil || info.Mode().Type() != kind {
			t.Errorf("%s was replaced: %v, %v", at(number), info, err)
		}
	}
}

// Two agents with one directory do not take each other's names, and all files
// together stay within the limit.
func TestTwoExporters(t *testing.T) {
	dir := t.TempDir()
	const each = 40
	now := time.Now()
	two := []tested{start(t, Config{Path: dir}), start(t, Config{Path: dir})}
	var all sync.WaitGroup
	for _, e := range two {
		all.Go(func() {
			for range each {
				e.export(t, window(now, 1000))
			}
		})
	}
	all.Wait()
	want := []string{}
	for number := range 2 * each {
		want = append(want, name{now, number + 1}.String())
	}
	wantNames(t, dir, want...)
	for i, e := range two {
		if s := e.Stats(); s.Written.Profiles != each || s.AllLost().Profiles != 0 {
			t.Errorf("exporter %d: stats %+v", i, s)
		}
	}

	dir = t.TempDir()
	first, second := start(t, Config{Path: dir, MaxBytes: 35_000}), start(t, Config{Path: dir, MaxBytes: 35_000})
	at := func(i int) time.Time { return now.Add(time.Duration(i) * time.Second) }
	for i := range 3 {
		first.export(t, window(at(2*i), 10_000))
		second.export(t, window(at(2*i+1), 10_000))
	}
	wantNames(t, dir, nameAt(at(3)), nameAt(at(4)), nameAt(at(5)))
	if a, b := first.Stats(), second.Stats(); a.Deleted[Size]+b.Deleted[Size] != 3 || b.Files != 3 {
		t.Errorf("stats %+v and %+v", a, b)
	}
}

// What was written while the clock was ahead goes first, and does not drive
// out all that comes later.
func TestClockSetBack(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	at := func(hours int) time.Time { return now.Add(time.Duration(hours) * time.Hour) }
	makeFile(t, dir, nameAt(at(-5)), 10_000)
	makeFile(t, dir, nameAt(at(40_000)), 10_000)
	makeFile(t, dir, nameAt(at(40_001)), 10_000)
	e := start(t, Config{Path: dir, MaxBytes: 35_000})
	// While there is room they stay: perhaps it is now that the clock is wrong.
	wantNames(t, dir, nameAt(at(-5)), nameAt(at(40_000)), nameAt(at(40_001)))
	e.export(t, window(at(-2), 10_000))
	wantNames(t, dir, nameAt(at(-5)), nameAt(at(-2)), nameAt(at(40_001)))
	e.export(t, window(at(-1), 10_000))
	wantNames(t, dir, nameAt(at(-5)), nameAt(at(-2)), nameAt(at(-1)))
	e.export(t, window(at(0), 10_000))
	wantNames(t, dir, nameAt(at(-2)), nameAt(at(-1)), nameAt(at(0)))
}

// Planted files neither break the sum of sizes nor fill the memory.
func TestPlantedFiles(t *testing.T) {
	dir := t.TempDir()
	mount(t, "none", dir, "tmpfs", 0, "size=1m") // takes sparse files of any size
	now := time.Now()
	at := func(i int) time.Time { return now.Add(time.Duration(i) * time.Second) }
	for i := range 3 {
		makeFile(t, dir, nameAt(at(i-10)), 0)
		if err := os.Truncate(filepath.Join(dir, nameAt(at(i-10))), 1<<62); err != nil {
			t.Fatal(err)
		}
	}
	e := start(t, Config{Path: dir})
	wantNames(t, dir)
	if s := e.Stats(); s.Files != 0 || s.Bytes != 0 || s.Deleted[Size] != 3 {
		t.Errorf("stats %+v", s)
	}

	log := new(lockedBuffer)
	few, err := newExporter(Config{Path: dir, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	few.folder.maxFiles = 3
	go few.run()
	for i := range 5 {
		tested{few, log}.export(t, window(at(i), 10))
	}
	wantNames(t, dir, nameAt(at(2)), nameAt(at(3)), nameAt(at(4)))
	makeFile(t, dir, nameAt(at(9)), 0)
	tested{few, log}.export(t, window(at(5), 10))
	if s := few.Stats(); s.Lost[Other].Profiles != 1 || !strings.Contains(s.LastError.Error(), "more than 3 profiles") {
		t.Errorf("stats %+v", s)
	}
	if err := os.Remove(filepath.Join(dir, nameAt(at(9)))); err != nil {
		t.Fatal(err)
	}
	tested{few, log}.export(t, window(at(6), 10))
	wantNames(t, dir, nameAt(at(3)), nameAt(at(4)), nameAt(at(6)))
	if err := few.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// Others may take files away, and the directory too.
func TestOthersDelete(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	e := start(t, Config{Path: dir, MaxBytes: 35_000})
	now := time.Now()
	at := func(i int) time.Time { return now.Add(time.Duration(i) * time.Second) }
	for i := range 3 {
		e.export(t, window(at(i), 10_000))
	}
	if err := os.Remove(filepath.Join(dir, nameAt(at(2)))); err != nil {
		t.Fatal(err)
	}
	e.export(t, window(at(3), 10_000))
	// There was room: nothing had to go.
	wantNames(t, dir, nameAt(at(0)), nameAt(at(1)), nameAt(at(3)))

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	e.export(t, window(at(4), 10_000))
	wantNames(t, dir, nameAt(at(4)))
	if s := e.Stats(); s.Written.Profiles != 5 || s.Files != 1 || s.Deleted[Size] != 0 || e.log.String() != "" {
		t.Errorf("stats %+v, log %s", s, e.log)
	}
}

func TestRefusesConfig(t *testing.T) {
	file, fifo := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "fifo")
	makeFile(t, filepath.Dir(file), "file", 1)
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for words, config := range map[string]Config{
		"no directory":         {},
		"not a directory":      {Path: file},
		"and not a directory":  {Path: fifo},
		"must not be negative": {Path: t.TempDir(), MaxBytes: -1},
		"not be negative":      {Path: t.TempDir(), MaxAge: -1},
	} {
		if e, err := New(config); err == nil || e != nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%+v: %v, want %q", config, err, words)
		}
	}
}

func TestRefusesProfiles(t *testing.T) {
	dir := t.TempDir()
	e := start(t, Config{Path: dir})
	undated := window(time.Now(), 1)
	undated.Profile.TimeNanos = 0
	invalid := window(time.Now(), 1)
	invalid.Profile.Sample[0].Value = nil
	if err := e.Export(t.Context(), undated); err == nil {
		t.Error("a profile without a time was taken")
	}
	if err := e.Export(t.Context(), invalid); err == nil {
		t.Error("an invalid profile was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Export(ctx, window(time.Now(), 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
	wantNames(t, dir)
	// What was begun is not in the way of the next.
	now := time.Now()
	e.export(t, window(now, 1))
	readProfile(t, filepath.Join(dir, nameAt(now)))
}
