package agent

import (
	"bytes"
	"debug/elf"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
)

// stuck is an executable on a disk that does not answer about its debug information.
type stuck struct {
	*bytes.Reader
	from, to int64
	end      chan struct{}
}

func (s *stuck) ReadAt(b []byte, at int64) (int, error) {
	if at < s.to && at+int64(len(b)) > s.from {
		<-s.end
	}
	return s.Reader.ReadAt(b, at)
}

// newStuck compiles a program.
func newStuck(t *testing.T) *staccato.Mapping {
	t.Helper()
	path := compileC(t, filepath.Join(t.TempDir(), "stuck"), "int main(void) { return 0; }")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	info := f.Section(".debug_info")
	s := &stuck{bytes.NewReader(content), int64(info.Offset), int64(info.Offset + info.FileSize), make(chan struct{})}
	t.Cleanup(func() { close(s.end) })
	return &staccato.Mapping{Path: path, BuildID: "0123456789", Hash: "0123456789abcdef0123456789abcdef", File: s}
}

// newStripped is a program whose debug file only a server could have.
func newStripped(t *testing.T) *staccato.Mapping {
	t.Helper()
	path := compileC(t, filepath.Join(t.TempDir(), "stripped"), "int main(void) { return 0; }", "-Wl,--build-id")
	stripped(t, path)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &staccato.Mapping{Path: path, File: bytes.NewReader(content)}
}

// A server that does not answer and debug information that cannot be read have one
// deadline, and who does not want to wait is let go at once.
func TestOneDeadline(t *testing.T) {
	end := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-end:
		}
	}))
	defer server.Close()
	defer close(end)
	for _, test := range []struct {
		what         string
		most         time.Duration
		leave        bool
		least, limit time.Duration
	}{
		{"not to wait", 0, false, 0, 200 * time.Millisecond},
		{"the deadline", 1500 * time.Millisecond, false, 1500 * time.Millisecond, 2 * time.Second},
		{"no wish to wait", time.Minute, true, 200 * time.Millisecond, time.Second},
	} {
		n, err := newNames(NamesConfig{IndexDirectory: filepath.Join(t.TempDir(), "index")},
			Debuginfod{URLs: []string{server.URL}, CacheDir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		reading, asked := newStuck(t), newStripped(t)
		n.name([]*staccato.Frame{{Kind: staccato.KindNative, Mapping: reading}, {Kind: staccato.KindNative, Mapping: asked}})
		if test.leave {
			time.AfterFunc(test.least, n.stopWaiting)
		}
		began := time.Now()
		n.wait(test.most, func() { t.Error("a file has come") })
		if took := time.Since(began); took < test.least || took > test.limit {
			t.Errorf("%s: %v", test.what, took)
		}
		unread := n.symbolizer.Unread()
		slices.Sort(unread)
		want := []string{reading.Path, asked.Path}
		slices.Sort(want)
		if !slices.Equal(unread, want) {
			t.Errorf("%s: unread are %q, want %q", test.what, unread, want)
		}
		if err := n.close(); err != nil {
			t.Error(err)
		}
	}
}
