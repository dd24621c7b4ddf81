package debuginfod

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// startServer runs a real debuginfod about a folder.
func startServer(t *testing.T, dir string) (url string) {
	t.Helper()
	if _, err := exec.LookPath("debuginfod"); err != nil {
		t.Fatal("debuginfod is missing: install it with apt-get install debuginfod")
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(free.Addr().String())
	if err = errors.Join(err, free.Close()); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command("debuginfod", "-d", ":memory:", "-p", port, "-c", "1", "-F", dir)
	cmd.Env = append(os.Environ(), "DEBUGINFOD_URLS=") // it asks nobody else
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	url = "http://127.0.0.1:" + port
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(url + "/metrics")
		if err != nil {
			continue
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err == nil && strings.Contains(string(text), `thread_work_total{role="traverse"} 1`) &&
			strings.Contains(string(text), `thread_work_pending{role="scan"} 0`) {
			return url
		}
	}
	t.Fatalf("debuginfod does not serve: %s", &out)
	return ""
}

// TestServer gets a debug file from a real server, and finds it for its
// executable.
func TestServer(t *testing.T) {
	dir, served := t.TempDir(), t.TempDir()
	tool := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
	}
	source, whole := filepath.Join(dir, "program.c"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool("gcc", "-g", "-Wl,--build-id", "-o", whole, source)
	debug, stripped := filepath.Join(served, "program.debug"), filepath.Join(dir, "stripped")
	tool("objcopy", "--only-keep-debug", "--compress-debug-sections=zstd", whole, debug)
	tool("strip", "-o", stripped, whole)
	url := startServer(t, served)

	b, err := os.ReadFile(stripped)
	if err != nil {
		t.Fatal(err)
	}
	m := &staccato.Mapping{Path: stripped, File: bytes.NewReader(b)}
	f, err := elffile.Open(m.File)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, Config{URLs: []string{url}})
	called := make(chan struct{}, 1)
	search := debugfile.Config{Fetcher: c, Later: func() { called <- struct{}{} }}
	set := debugfile.Find(m, f, search)
	set.Close()
	if set.Debug != nil || set.Reason != "debug file being asked for" {
		t.Errorf("at first: %+v", set)
	}
	select {
	case <-called:
	case <-time.After(20 * time.Second):
		t.Fatal("no answer")
	}
	set = debugfile.Find(m, f, search)
	defer set.Close()
	if set.Debug == nil || set.Reason != "" || set.Debug.BuildID() != f.BuildID() || !debugfile.HasDebugInfo(set.Debug) {
		t.Fatalf("then: %+v", set)
	}
	want, err := os.ReadFile(debug)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := fetch(t, c, f.BuildID()); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d, %v", len(got), len(want), err)
	}
	if _, err := fetch(t, c, fmt.Sprintf("%040x", 17)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the server does not have: %v", err)
	}
}
