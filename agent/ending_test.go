package agent

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"
)

// buildCommand builds the staccato command.
func buildCommand(t *testing.T) string {
	t.Helper()
	command := filepath.Join(t.TempDir(), "staccato")
	if out, err := exec.Command("go", "build", "-o", command, "../cmd/staccato").CombinedOutput(); err != nil {
		t.Fatalf("build: %v: %s", err, out)
	}
	return command
}

// words is what a process has written.
type words struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(b)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// waitFor waits until something is so, at most 20 s.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for began := time.Now(); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 20*time.Second {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// strippedProgram is a program whose debug file a server may have.
type strippedProgram struct {
	target
	path, id string
	debug    []byte
}

// runStripped runs a program that burns in a function, and has no names itself.
func runStripped(t *testing.T, path, function string) strippedProgram {
	t.Helper()
	compileC(t, path, "BURN("+function+")\nint main(void) { "+function+"(120); return 0; }", "-static", "-Wl,--build-id")
	debug, place := stripped(t, path)
	content, err := os.ReadFile(debug)
	if err != nil {
		t.Fatal(err)
	}
	os.Remove(debug)
	id := strings.TrimSuffix(strings.ReplaceAll(strings.TrimPrefix(place, ".build-id/"), "/", ""), ".debug")
	return strippedProgram{run(t, path), path, id, content}
}

// slowServer has the debug file of a program, if one is given, and never answers about
// any other. asked is closed when it was asked for that of never.
func slowServer(t *testing.T, never strippedProgram, has ...strippedProgram) (url string, asked chan struct{}) {
	t.Helper()
	asked, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, never.id) {
			once.Do(func() { close(asked) })
		}
		for _, p := range has {
			if strings.Contains(r.URL.Path, p.id) {
				w.Write(p.debug)
				return
			}
		}
		select {
		case <-r.Context().Done():
		case <-end:
		}
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(end) }) // before Close, which waits for answers
	return server.URL, asked
}

// begin begins staccato with folders of the test's.
func begin(t *testing.T, command string, args ...string) (*exec.Cmd, *words) {
	t.Helper()
	cmd, stderr := exec.Command(command, args...), new(words)
	cmd.Stderr = stderr
	cmd.Env = append(os.Environ(), "DEBUGINFOD_CACHE_PATH="+t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, stderr
}

// endOf waits for the end of a process, and returns how long that took.
func endOf(t *testing.T, cmd *exec.Cmd, stderr *words) time.Duration {
	t.Helper()
	began, ended := time.Now(), make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("%v: %s", err, stderr)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not end: %s", stderr)
	}
	return time.Since(began)
}

// A server never sends one debug file of two. Ctrl-C while the recording waits for
// that ends the waiting: all samples are saved, with the names of the other file.
func TestCtrlCWhileNamesAreAwaited(t *testing.T) {
	command, dir := buildCommand(t), publicDir(t)
	here := runStripped(t, filepath.Join(dir, "here"), "in_here")
	never := runStripped(t, filepath.Join(dir, "never"), "in_never")
	for _, test := range []struct {
		name, stopped string
		flags         []string
	}{
		{"after the time is over", "2 s elapsed", []string{"-d", "2"}},
		{"after a first one", "interrupt", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			url, asked := slowServer(t, never, here)
			out := filepath.Join(t.TempDir(), "out.pb.gz")
			args := append([]string{"record", "-F", "499", "-o", out, "--index-dir", filepath.Join(t.TempDir(), "index"),
				"--debuginfod", url, "-p", fmt.Sprintf("%d,%d", here.pid(), never.pid())}, test.flags...)
			cmd, stderr := begin(t, command, args...)
			waitFor(t, "the recording", func() bool { return strings.Contains(stderr.String(), "Recording") })
			time.Sleep(2 * time.Second)
			if test.flags == nil {
				cmd.Process.Signal(unix.SIGINT)
			}
			select {
			case <-asked:
			case <-time.After(20 * time.Second):
				t.Fatal("the server was not asked")
			}
			time.Sleep(3 * time.Second) // so that it has read the file that is there
			if _, err := os.Stat(out); err == nil || cmd.ProcessState != nil {
				t.Fatalf("it does not wait: %v: %s", err, stderr)
			}
			cmd.Process.Signal(unix.SIGINT)
			took := endOf(t, cmd, stderr)
			t.Logf("ended %v after the signal: %s", took, stderr)
			if took > 3*time.Second {
				t.Errorf("it ended %v after the signal", took)
			}
			text := stderr.String()
			if !strings.Contains(text, "Stopped: "+test.stopped+".") || !strings.Contains(text, "\n    "+never.path+"\n") || strings.Contains(text, "    "+here.path) {
				t.Errorf("stderr: %s", text)
			}
			checkSaved(t, out, text, map[string]bool{here.path: true, never.path: false})
		})
	}
}

// checkSaved fails unless a profile has as many samples as the summary says, which are
// those of 2 s of the programs, and lines where they should be.
func checkSaved(t *testing.T, file, summary string, lines map[string]bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	var all int64
	of, withLines := map[string]int64{}, map[string]int64{}
	for _, s := range p.Sample {
		all += s.Value[0]
		for _, l := range s.Location {
			if l.Mapping == nil {
				continue
			}
			of[l.Mapping.File] += s.Value[0]
			if len(l.Line) > 0 && l.Line[0].Line > 0 && strings.HasPrefix(l.Line[0].Function.Name, "in_") {
				withLines[l.Mapping.File] += s.Value[0]
			}
		}
	}
	told := regexp.MustCompile(`([\d,]+) samples \(([\d.]+) CPU-s\)`).FindStringSubmatch(summary)
	if told == nil || strings.ReplaceAll(told[1], ",", "") != fmt.Sprint(all) || all < 300 {
		t.Errorf("%d samples are saved, of %q", all, told)
	}
	for path, want := range lines {
		if of[path] < 100 || (withLines[path] > of[path]/10) != want {
			t.Errorf("%s: %d of %d frames have lines of its function", path, withLines[path], of[path])
		}
	}
}

// An agent waits for no server at its end.
func TestTerminatedAgentWaitsForNoNames(t *testing.T) {
	command, dir := buildCommand(t), publicDir(t)
	url, asked := slowServer(t, runStripped(t, filepath.Join(dir, "never"), "in_never"))
	profiles := filepath.Join(t.TempDir(), "profiles")
	cmd, stderr := begin(t, command, "agent", "-F", "199", "--interval", "1s", "--dir", profiles, "--debuginfod", url, "--index-dir", filepath.Join(t.TempDir(), "index"))
	select {
	case <-asked:
	case <-time.After(30 * time.Second):
		t.Fatalf("the server was not asked: %s", stderr)
	}
	time.Sleep(1500 * time.Millisecond) // in the midst of an interval
	cmd.Process.Signal(unix.SIGTERM)
	if took := endOf(t, cmd, stderr); took > 5*time.Second {
		t.Errorf("it ended %v after the signal: %s", took, stderr)
	}
	if files, err := filepath.Glob(filepath.Join(profiles, "*.pb.gz")); err != nil || len(files) < 2 || !strings.Contains(stderr.String(), "msg=stopped") {
		t.Errorf("files %q, %v: %s", files, err, stderr)
	}
}
