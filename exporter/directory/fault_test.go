package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Each fault is logged once and counted, leaves nothing behind, and ends when
// its cause does.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name   string
		reason Reason
		words  string
		begin  func(t *testing.T, dir string)
		end    func(t *testing.T, dir string)
	}{
		{
			"full disk", NoSpace, "no space left on device",
			func(t *testing.T, dir string) {
				mount(t, "none", dir, "tmpfs", 0, "size=64k")
				makeFile(t, dir, "filler", 64<<10)
			},
			func(t *testing.T, dir string) {
				if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			"read-only file system", NotWritable, "read-only file system",
			func(t *testing.T, dir string) { mount(t, "none", dir, "tmpfs", unix.MS_RDONLY, "size=64k") },
			func(t *testing.T, dir string) {
				if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size=64k"); err != nil {
					t.Fatal(err)
				}
			},
		},
		{
			"no permission", NotWritable, "permission denied",
			func(t *testing.T, _ string) { become(t, nobody) },
			func(t *testing.T, _ string) { become(t, 0) },
		},
		{
			"a file in its place", NotWritable, "not a directory",
			func(t *testing.T, dir string) {
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
				makeFile(t, filepath.Dir(dir), filepath.Base(dir), 1)
			},
			func(t *testing.T, dir string) {
				if err := os.Remove(dir); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "profiles")
			e := start(t, Config{Path: dir})
			defer become(t, 0) // whatever fails meanwhile
			test.begin(t, dir)
			now := time.Now()
			for i := range 3 {
				e.export(t, window(now.Add(time.Duration(i)*time.Second), 10_000))
			}
			s := e.Stats()
			if s.Lost[test.reason] != (Count{3, 9}) || s.AllLost() != (Count{3, 9}) || s.Written.Profiles != 0 {
				t.Errorf("stats %+v", s)
			}
			if s.LastError == nil || !strings.Contains(s.LastError.Error(), test.words) || !strings.Contains(s.LastError.Error(), dir) {
				t.Errorf("error %v, want %q", s.LastError, test.words)
			}
			if n := strings.Count(e.log.String(), "\n"); n != 1 {
				t.Errorf("%d log lines about one problem:\n%s", n, e.log)
			}

			test.end(t, dir)
			e.export(t, window(now, 10_000))
			wantNames(t, dir, nameAt(now))
			if s := e.Stats(); s.Written != (Count{1, 3}) || s.LastError != nil {
				t.Errorf("stats %+v", s)
			}
			if !strings.Contains(e.log.String(), "Profiles are written again.") {
				t.Errorf("log:\n%s", e.log)
			}
			if err := e.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A disk that our own files have filled, or others, is no reason to lose new
// profiles while there are old ones.
func TestRollsOnFullDisk(t *testing.T) {
	dir := t.TempDir()
	mount(t, "none", dir, "tmpfs", 0, "size=64k")
	e := start(t, Config{Path: dir})
	now := time.Now()
	at := func(i int) string { return nameAt(now.Add(time.Duration(i) * time.Second)) }
	for i := range 10 {
		e.export(t, window(now.Add(time.Duration(i)*time.Second), 10_000))
	}
	wantNames(t, dir, at(5), at(6), at(7), at(8), at(9)) // each takes 3 of 16 pages
	if s := e.Stats(); s.Written.Profiles != 10 || s.Deleted[Disk] != 5 || s.Deleted[Size] != 0 || s.LastError != nil || s.Files != 5 {
		t.Errorf("stats %+v", s)
	}
	makeFile(t, dir, "filler", 4<<10)
	e.export(t, window(now.Add(10*time.Second), 30_000)) // takes the place of three
	wantNames(t, dir, "filler", at(8), at(9), at(10))
	if e.log.String() != "" {
		t.Errorf("log:\n%s", e.log)
	}
}

// The last failure is the result of Shutdown.
func TestShutdownFails(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	e := start(t, Config{Path: dir})
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	makeFile(t, filepath.Dir(dir), "profiles", 1)
	if err := e.Export(t.Context(), window(time.Now(), 10)); err != nil {
		t.Fatal(err)
	}
	if err := e.Shutdown(t.Context()); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("shutdown: %v", err)
	}
}

// A directory that cannot be made yet does not keep the agent from starting.
func TestUnusableAtStart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "mnt")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	mount(t, "none", dir, "tmpfs", unix.MS_RDONLY, "size=64k")
	e := start(t, Config{Path: filepath.Join(dir, "profiles")})
	if !strings.Contains(e.log.String(), "read-only file system") {
		t.Errorf("log:\n%s", e.log)
	}
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_REMOUNT, "size=64k"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	e.export(t, window(now, 10))
	wantNames(t, filepath.Join(dir, "profiles"), nameAt(now))
}

// Files that cannot be deleted are passed over; only when there is no room
// without them, profiles are lost.
func TestUndeletable(t *testing.T) {
	dir := t.TempDir()
	now := time.Now()
	stuck := nameAt(now.Add(-time.Hour))
	makeFile(t, dir, stuck, 10_000)
	// The kernel does not unlink what something is mounted on.
	mount(t, filepath.Join(dir, stuck), filepath.Join(dir, stuck), "", unix.MS_BIND, "")
	e := start(t, Config{Path: dir, MaxBytes: 25_000})
	at := func(i int) time.Time { return now.Add(time.Duration(i) * time.Second) }
	for i := range 3 {
		e.export(t, window(at(i), 10_000))
	}
	wantNames(t, dir, stuck, nameAt(at(2)))
	if s := e.Stats(); s.Written.Profiles != 3 || s.Deleted[Size] != 2 || s.LastError != nil {
		t.Errorf("stats %+v", s)
	}
	if n := strings.Count(e.log.String(), "Old profiles cannot be deleted."); n != 1 {
		t.Errorf("log:\n%s", e.log)
	}
	e.export(t, window(at(3), 18_000))
	wantNames(t, dir, stuck)
	if s := e.Stats(); s.AllLost().Profiles != 1 || s.Files != 1 || s.Bytes != 10_000 {
		t.Errorf("stats %+v", s)
	}

	// At the start it is not yet known that something will be lost.
	e = start(t, Config{Path: dir, MaxBytes: 5000})
	if s := e.Stats(); s.LastError != nil || !strings.Contains(e.log.String(), "Old profiles cannot be deleted.") {
		t.Errorf("stats %+v, log:\n%s", s, e.log)
	}
}

// While the disk hangs nobody waits, and what is lost is counted.
func TestDiskHangs(t *testing.T) {
	log := new(lockedBuffer)
	e, err := newExporter(Config{Path: t.TempDir(), Logger: slog.New(slog.NewTextHandler(log, nil))}) // nobody writes
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for i := range queued + 5 {
		if err := e.Export(t.Context(), window(now.Add(time.Duration(i)*time.Second), 10)); err != nil {
			t.Fatal(err)
		}
	}
	s := e.Stats()
	if s.Waiting != (Count{queued, 3 * queued}) || s.Lost[QueueFull] != (Count{5, 15}) || s.LastError == nil {
		t.Errorf("stats %+v", s)
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Millisecond, errors.New("time is up"))
	defer cancel()
	err = e.Shutdown(ctx)
	if want := fmt.Sprintf("%d samples in %d profiles were not written in time: time is up", 3*queued, queued); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("shutdown: %v, want %q", err, want)
	}
	// The disk comes back too late: nothing is counted twice.
	e.run()
	if s := e.Stats(); s.Waiting.Profiles != 0 || s.Lost[Stopped].Profiles != queued || s.Written.Profiles != 0 {
		t.Errorf("stats %+v", s)
	}
	if n := strings.Count(log.String(), "the disk is too slow"); n != 1 {
		t.Errorf("log:\n%s", log)
	}
}
