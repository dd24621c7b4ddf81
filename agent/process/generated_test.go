package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

const (
	jitAt    = 0x500000
	listText = "500000 100 something\n"
)

// generating is a fixture whose process has generated code, and its mapping.
func generating(t *testing.T, f *fixture) *staccato.Mapping {
	t.Helper()
	f.proc.write(t, "status", "Name:\tfake\nUid:\t1000\t1001\t1002\t1003\nNSpid:\t4242\t7\n")
	f.proc.write(t, "maps", f.line+"500000-501000 rwxp 00000000 00:00 0 \n")
	g := generationAt(ticks, 0)
	f.Unknown(fakePID, g, 500)
	m, address, found := f.Image(fakePID, g).Lookup(jitAt + 5)
	if found != Anonymous || address != jitAt+5 || m == nil || m.Generated == nil || m.Path != "/tmp/perf-4242.map" {
		t.Fatalf("%+v, %#x, %d", m, address, found)
	}
	return m
}

// list writes a perf map in the process's root, of a user.
func (f *fixture) list(t *testing.T, name, text string, user int) string {
	t.Helper()
	path := filepath.Join(f.proc.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, user, 0); err != nil {
		t.Fatal(err)
	}
	return path
}

func textOf(t *testing.T, g staccato.GrowingFile) string {
	t.Helper()
	b := make([]byte, g.Size())
	if _, err := g.ReadAt(b, 0); err != nil && len(b) > 0 {
		t.Fatal(err)
	}
	return string(b)
}

func TestPerfMap(t *testing.T) {
	needRoot(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(listText), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, f *fixture)
		reason  string // "": found
	}{
		{"of its user", func(t *testing.T, f *fixture) { f.list(t, "tmp/perf-7.map", listText, 1001) }, ""},
		{"of root", func(t *testing.T, f *fixture) { f.list(t, "tmp/perf-7.map", listText, 0) }, ""},
		{"of another user", func(t *testing.T, f *fixture) { f.list(t, "tmp/perf-7.map", listText, 1000) }, "another user's"},
		{"none", func(t *testing.T, f *fixture) {}, "writes no perf map"},
		{"with the PID outside", func(t *testing.T, f *fixture) { f.list(t, "tmp/perf-4242.map", listText, 1001) }, "writes no perf map"},
		{"of an earlier process", func(t *testing.T, f *fixture) {
			path := f.list(t, "tmp/perf-7.map", listText, 1001)
			began := startedSince(ticks).Add(-2 * time.Second)
			if err := os.Chtimes(path, began, began); err != nil {
				t.Fatal(err)
			}
		}, "of an earlier process"},
		{"a link", func(t *testing.T, f *fixture) {
			f.list(t, "tmp/x", listText, 1001)
			if err := os.Symlink("x", filepath.Join(f.proc.root, "tmp/perf-7.map")); err != nil {
				t.Fatal(err)
			}
		}, reasonNotRegular},
		{"a link out of the root on the way", func(t *testing.T, f *fixture) {
			if err := os.Symlink(filepath.Dir(secret), filepath.Join(f.proc.root, "tmp")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(secret, filepath.Join(filepath.Dir(secret), "perf-7.map")); err != nil {
				t.Fatal(err)
			}
		}, "symbolic links"},
		{"a pipe", func(t *testing.T, f *fixture) {
			path := f.list(t, "tmp/perf-7.map", "", 1001)
			if err := errors.Join(os.Remove(path), unix.Mkfifo(path, 0o644), os.Chown(path, 1001, 0)); err != nil {
				t.Fatal(err)
			}
		}, reasonNotRegular},
		{"a directory", func(t *testing.T, f *fixture) {
			if err := os.MkdirAll(filepath.Join(f.proc.root, "tmp/perf-7.map"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, reasonNotRegular},
		{"a device", func(t *testing.T, f *fixture) {
			path := f.list(t, "tmp/perf-7.map", "", 1001)
			if err := errors.Join(os.Remove(path), unix.Mknod(path, unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5)))); err != nil {
				t.Fatal(err)
			}
		}, reasonNotRegular},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := newFixture(t)
			test.prepare(t, f)
			list := generating(t, f).Generated
			err := list.Refresh()
			if test.reason == "" {
				if err != nil || textOf(t, list) != listText {
					t.Fatalf("%q, %v", textOf(t, list), err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("error is %v, want %q", err, test.reason)
			}
			if n := list.Size(); n != 0 {
				t.Errorf("%d bytes", n)
			}
		})
	}
}

// The list comes late, grows, is replaced and removed, and its process ends.
func TestPerfMapOverTime(t *testing.T) {
	needRoot(t)
	f := newFixture(t)
	list := generating(t, f).Generated
	has := func(when, want string, fails bool) {
		t.Helper()
		err := list.Refresh()
		if got := textOf(t, list); got != want || (err != nil) != fails {
			t.Errorf("%s: %q, %v; want %q", when, got, err, want)
		}
	}
	has("at first", "", true)
	path := f.list(t, "tmp/perf-7.map", "a", 1001)
	has("written", "a", false)
	f.list(t, "tmp/perf-7.map", "ab", 1001)
	has("grown", "ab", false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	has("removed", "ab", false)
	f.list(t, "tmp/perf-7.map", "new", 1001)
	has("another file", "new", false)
	f.list(t, "tmp/perf-7.map", "new2", 5)
	has("given to another user", "new2", true)
	f.list(t, "tmp/perf-7.map", "last", 1001)

	g := generationAt(ticks, 0)
	f.Exit(fakePID, g, 2000)
	if err := os.RemoveAll(f.proc.of()); err != nil {
		t.Fatal(err)
	}
	f.WindowRead()
	if f.Image(fakePID, g) == nil {
		t.Fatal("the image is forgotten after one window")
	}
	has("the process is gone", "last", false)
	f.WindowRead()
	has("forgotten", "", true)
	if f.generating != 0 {
		t.Errorf("%d processes generate code", f.generating)
	}
}

// A child has its parent's code until it makes some of its own.
func TestGeneratedAfterFork(t *testing.T) {
	needRoot(t)
	f := newFixture(t)
	parents := generating(t, f)
	const child = 4300
	childGeneration := generationAt(ticks+5, 0)
	f.Fork(fakePID, child, childGeneration, 600)
	image := f.Image(child, childGeneration)
	if m, _, _ := image.Lookup(jitAt); m != parents {
		t.Errorf("the child's code is %+v", m)
	}
	f.Exit(fakePID, generationAt(ticks, 0), 700)
	f.WindowRead()
	f.WindowRead()
	f.list(t, "tmp/perf-7.map", listText, 1001)
	if err := parents.Generated.Refresh(); err != nil {
		t.Errorf("the child cannot use it after its parent: %v", err)
	}

	f.Mmap(sideband.Mmap{Time: 800, PID: child, TID: child, Addr: 0x600000, Len: 0x1000, Path: "//anon"})
	m, _, found := image.Lookup(0x600000)
	if found != Anonymous || m == nil || m == parents || m.Path != "/tmp/perf-4300.map" {
		t.Errorf("the child's own code is %+v, %d", m, found)
	}
	// There is no such process.
	if err := m.Generated.Refresh(); err == nil || !strings.Contains(err.Error(), reasonGone) {
		t.Errorf("error is %v", err)
	}
	if err := parents.Generated.Refresh(); err == nil {
		t.Error("the parent's list is kept although nobody has its code")
	}
}

func TestGeneratingIsBounded(t *testing.T) {
	needRoot(t)
	f := newFixture(t)
	f.config.MaxGenerating = 1
	f.list(t, "tmp/perf-7.map", listText, 1001)
	f.generating = 1
	if err := generating(t, f).Generated.Refresh(); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("error is %v", err)
	}
}

func TestParseStatus(t *testing.T) {
	for _, test := range []struct {
		text string
		pid  string
		user uint32
		ok   bool
	}{
		{"Name:\tx\nUid:\t1\t2\t3\t4\nNSpid:\t12\n", "12", 2, true},
		{"Uid:\t1\t2\t3\t4\nNSpid:\t12\t3\t1\n", "1", 2, true},
		{"Uid:\t1\t2\t3\t4\n", "", 0, false},
		{"NSpid:\t12\n", "12", 0, false},
		{"Uid:\t1\t2\t3\nNSpid:\t12\n", "12", 0, false},
		{"Uid:\t1\t2\t3\t4\nNSpid:\t../x\n", "", 0, false},
		{"Uid:\t1\t-2\t3\t4\nNSpid:\t12\n", "12", 0, false},
		{"", "", 0, false},
	} {
		if pid, user, ok := parseStatus(test.text); pid != test.pid || user != test.user || ok != test.ok {
			t.Errorf("%q: %q, %d, %t", test.text, pid, user, ok)
		}
	}
}
