package directory

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/exporter"
)

// window is a profile of 3 samples that begins at start and is, compressed,
// little larger than size bytes.
func window(start time.Time, size int) exporter.Input {
	noise := make([]byte, size)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	work := &profile.Function{ID: 1, Name: "work"}
	at := &profile.Location{ID: 1, Address: 0x1000, Line: []profile.Line{{Function: work}}}
	return exporter.Input{Profile: &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     1, TimeNanos: start.UnixNano(),
		Function: []*profile.Function{work}, Location: []*profile.Location{at},
		Sample:   []*profile.Sample{{Location: []*profile.Location{at}, Value: []int64{3}}},
		Comments: []string{string(noise)},
	}}
}

type tested struct {
	*Exporter
	log *lockedBuffer
}

func start(t *testing.T, config Config) tested {
	t.Helper()
	log := new(lockedBuffer)
	config.Logger = slog.New(slog.NewTextHandler(log, nil))
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = e.Shutdown(t.Context()) // the second one, if the test does it
	})
	return tested{e, log}
}

// export waits until the profile is written or lost.
func (e tested) export(t *testing.T, in exporter.Input) {
	t.Helper()
	if err := e.Export(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); e.Stats().Waiting.Profiles > 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("nothing is written")
		}
	}
}

// list returns all names in a directory, and the sum of the files' sizes.
func list(t *testing.T, dir string) (names []string, size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, entry.Name())
		size += info.Size()
	}
	return names, size
}

func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	slices.Sort(want)
	if got, _ := list(t, dir); !slices.Equal(got, want) {
		t.Errorf("the directory holds %q, want %q", got, want)
	}
}

func nameAt(start time.Time) string { return name{start, 1}.String() }

func makeFile(t *testing.T, dir, name string, size int) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
}

func readProfile(t *testing.T, file string) *profile.Profile {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := profile.ParseData(data)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return p
}

// mount mounts for the time of the test.
func mount(t *testing.T, source, target, kind string, flags uintptr, options string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		t.Fatalf("mount %s: %v", target, err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(target, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", target, err)
		}
	})
}

const nobody = 65534

// become makes all threads act as another user.
func become(t *testing.T, user int) {
	t.Helper()
	if err := syscall.Seteuid(user); err != nil {
		t.Fatal(err)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
