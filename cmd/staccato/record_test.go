package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/agent"
)

func TestRecordExitCodes(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   string
		change func(*fakeProfiler)
		code   int
		words  string   // on stderr
		left   []string // files
	}{
		{"saved", "-a -d 1s", nil, exitOK, "Saved profile.pb.gz", []string{"profile.pb.gz"}},
		{"no target", "", nil, exitUsage, "nothing to record", nil},
		{"unknown flag", "-a --bogus", nil, exitUsage, "unknown flag: --bogus", nil},
		{"command without dashes", "-a ls", nil, exitUsage, "put -- before", nil},
		{"bad PID", "-p 12x", nil, exitUsage, "-p 12x: not a process ID", nil},
		{"negative PID", "-p=-4", nil, exitUsage, "-p -4: not a process ID", nil},
		{"bad duration", "-a -d soon", nil, exitUsage, "want a time like 10, 10s or 1m", nil},
		{"zero duration", "-a -d 0", nil, exitUsage, "want a time like", nil},
		{"bad frequency", "-a -F 0", nil, exitUsage, "at least 1 Hz", nil},
		{"all and one", "-a -p 1", nil, exitUsage, "-a is the whole host", nil},
		{"neither half", "-a -K -U", nil, exitUsage, "leave nothing of a stack", nil},
		{"long name", "-n a-name-of-17-byte", nil, exitUsage, "use -n a-name-of-17-by", nil},
		{"unknown extension", "-a -o out.svg", nil, exitUsage, ".folded (folded stacks)", nil},
		{"unknown expansion", "-a -o %x.pb.gz", nil, exitUsage, "unknown %x", nil},
		{"bad call graph", "-a --call-graph lbr", nil, exitUsage, "want fp or dwarf", nil},
		{"bad style", "-a --demangle pretty", nil, exitUsage, "--demangle pretty: want none, simple or full", nil},
		{"permission", "-a -d 20ms", func(f *fakeProfiler) { f.newErr = fmt.Errorf("load programs: %w", agent.ErrPermission) },
			exitPermission, "Run:  sudo staccato record -a\n", nil},
		{"agent finds no target", "-n none -d 20ms", func(f *fakeProfiler) { f.newErr = fmt.Errorf("find none: %w", agent.ErrNoTarget) },
			exitNoTarget, "staccato: find none: ", nil},
		{"no such process", "-p 1073741823", nil, exitNoTarget, "no process 1073741823", nil},
		{"load fails", "-a -d 20ms", func(f *fakeProfiler) { f.newErr = errors.New("load programs: rejected") },
			exitFailure, "staccato: load programs: rejected", nil},
		{"start fails", "-a -d 20ms", func(f *fakeProfiler) { f.startErr = errors.New("no events") },
			exitFailure, "staccato: start sampling: no events", nil},
		{"stop fails", "-a -d 20ms", func(f *fakeProfiler) { f.stopErr = errors.New("map gone") },
			exitFailure, "staccato: read the last samples: map gone", nil},
		{"zero samples", "-p 1 -d 20ms", func(f *fakeProfiler) { f.profile = noSamples },
			exitNoSamples, "saved, but 0 samples: process 1 used no CPU time that 99 Hz could see in 10 s", []string{"profile.pb.gz"}},
		{"no folder", "-a -d 20ms -o none/out.pb.gz", nil, exitFailure, "write none/out.pb.gz: no such file or directory", nil},
		{"invalid profile", "-a -d 20ms", func(f *fakeProfiler) {
			f.profile = func() *agent.Profile {
				p := threeSamples()()
				p.Profile.Sample[0].Value = nil
				return p
			}
		}, exitFailure, "staccato: check profile:", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestApp(t)
			if test.change != nil {
				test.change(a.fake)
			}
			code := a.run(append([]string{"record"}, strings.Fields(test.args)...))
			if code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(a.err.String(), test.words) {
				t.Errorf("stderr misses %q:\n%s", test.words, a.err)
			}
			if a.out.String() != "" {
				t.Errorf("stdout has %q", a.out)
			}
			if got := files(t); len(got)+len(test.left) > 0 && !reflect.DeepEqual(got, test.left) {
				t.Errorf("files left: %v, want %v", got, test.left)
			}
		})
	}
}

func TestRecordConfig(t *testing.T) {
	for _, test := range []struct {
		args string
		want agent.Config
	}{
		{"-a -d 20ms", agent.Config{Frequency: 99, ThreadIDs: true}},
		{"-a -d 20ms -F 999 --idle --tid=false", agent.Config{Frequency: 999, Idle: true}},
		{"-a -d 20ms -r 49 -g --call-graph fp", agent.Config{Frequency: 49, ThreadIDs: true}},
		{"-a -d 20ms -K", agent.Config{Frequency: 99, ThreadIDs: true, NoUser: true}},
		{"-a -d 20ms -U", agent.Config{Frequency: 99, ThreadIDs: true, NoKernel: true}},
		{"-p 1,1 -d 20ms --no-inherit", agent.Config{Frequency: 99, ThreadIDs: true, Target: agent.Target{PIDs: []int{1}, NoInherit: true}}},
		{"-n app -u root -G /sys -d 20ms", agent.Config{Frequency: 99, ThreadIDs: true, Target: agent.Target{Name: "app", User: "root", Cgroup: "/sys"}}},
		{"-a -d 20ms --demangle full", agent.Config{Frequency: 99, ThreadIDs: true, Names: agent.NamesConfig{Demangle: "full"}}},
		{"-a -- true", agent.Config{Frequency: 99, ThreadIDs: true}},
		{"-a -d 20ms --index-dir /x", agent.Config{Frequency: 99, ThreadIDs: true, Names: agent.NamesConfig{IndexDirectory: "/x"}}},
		{"-a -d 20ms --debuginfod=http://a/,https://b", agent.Config{Frequency: 99, ThreadIDs: true,
			Debuginfod: agent.Debuginfod{URLs: []string{"http://a/", "https://b"}, UserAgent: userAgent()}}},
	} {
		test.want.Names.Wait = namesWait
		t.Run(test.args, func(t *testing.T) {
			a := newTestApp(t)
			if code := a.run(append([]string{"record"}, strings.Fields(test.args)...)); code != 0 {
				t.Fatalf("exit code %d: %s", code, a.err)
			}
			if test.want.Names.Demangle == "" {
				test.want.Names.Demangle = "simple"
			}
			if !reflect.DeepEqual(a.fake.config, test.want) {
				t.Errorf("config %+v, want %+v", a.fake.config, test.want)
			}
			if !a.fake.closed {
				t.Error("the profiler was not closed")
			}
		})
	}
}

// The flag comes before the environment, and an empty one is nobody.
func TestDebuginfodServers(t *testing.T) {
	t.Setenv("DEBUGINFOD_URLS", "http://env.example https://env2.example")
	t.Setenv("DEBUGINFOD_MAXSIZE", "1000")
	for _, test := range []struct {
		args string
		want []string
		code int
	}{
		{"-a -d 20ms", []string{"http://env.example", "https://env2.example"}, 0},
		{"-a -d 20ms --debuginfod http://a", []string{"http://a"}, 0},
		{"-a -d 20ms --debuginfod=", nil, 0},
		{"-a -d 20ms --debuginfod file:///usr/lib/debug", nil, exitUsage},
	} {
		a := newTestApp(t)
		code := a.run(append([]string{"record"}, strings.Fields(test.args)...))
		got := a.fake.config.Debuginfod
		if code != test.code || !slices.Equal(got.URLs, test.want) || len(test.want) > 0 && got.MaxSize != 1000 {
			t.Errorf("%s: exit code %d, %+v: %s", test.args, code, got, a.err)
		}
	}
}

func TestOutputFormats(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		output string
		name   string // of the file, as a regular expression
		read   func(string) error
	}{
		{"a.pb.gz", `a\.pb\.gz`, readGzip},
		{"a.pb", `a\.pb`, readPlain},
		{"a.folded", `a\.folded`, readFolded},
		{"a.html", `a\.html`, readHTML},
		{"%p-%t-%h-100%%.pb.gz", fmt.Sprintf(`%d-20\d{6}-\d{6}-%s-100%%\.pb\.gz`, os.Getpid(), regexp.QuoteMeta(host)), readGzip},
	} {
		t.Run(test.output, func(t *testing.T) {
			a := newTestApp(t)
			if code := a.run([]string{"record", "-a", "-d", "20ms", "-o", test.output}); code != 0 {
				t.Fatalf("exit code %d: %s", code, a.err)
			}
			names := files(t)
			if len(names) != 1 || !regexp.MustCompile("^"+test.name+"$").MatchString(names[0]) {
				t.Fatalf("files %v, want one like %s", names, test.name)
			}
			if err := test.read(names[0]); err != nil {
				t.Error(err)
			}
		})
	}
}

// Large pages are slow to open, which is said.
func TestLargePage(t *testing.T) {
	const note = "Note: a page this large"
	for _, test := range []struct {
		path string
		size int64
		want bool
	}{{"a.html", 6 << 20, true}, {"a.html", 5 << 20, false}, {"a.pb.gz", 6 << 20, false}} {
		a := newTestApp(t)
		a.saved(test.path, test.size)
		if got := strings.Contains(a.err.String(), note); got != test.want {
			t.Errorf("%s of %d bytes: %q", test.path, test.size, a.err)
		}
	}
}

func readGzip(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := gzip.NewReader(f); err != nil {
		return err
	}
	return readPlain(name)
}

func readPlain(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return wantThreeSamples(content)
}

// What is in the page is exporter/html's to test.
func readHTML(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(content, []byte("<!doctype html>")) || !bytes.HasSuffix(content, []byte("</html>\n")) {
		return fmt.Errorf("file of %d bytes is no HTML page", len(content))
	}
	return nil
}

func readFolded(name string) error {
	content, err := os.ReadFile(name)
	if want := "app;main 1\napp;main;work 2\n"; string(content) != want {
		return fmt.Errorf("file holds %q (%v), want %q", content, err, want)
	}
	return nil
}

func wantThreeSamples(content []byte) error {
	p, err := profile.ParseData(content)
	if err != nil {
		return err
	}
	if len(p.Sample) != 2 || p.Sample[0].Value[0] != 2 {
		return fmt.Errorf("samples %v, want two", p.Sample)
	}
	return nil
}

func TestOutputToStdout(t *testing.T) {
	a := newTestApp(t)
	if code := a.run([]string{"record", "-a", "-d", "20ms", "-o", "-"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, a.err)
	}
	if err := wantThreeSamples([]byte(a.out.String())); err != nil {
		t.Error(err)
	}
	if len(files(t)) != 0 {
		t.Errorf("files %v", files(t))
	}

	a = newTestApp(t)
	a.stdoutTerminal = true
	if code := a.run([]string{"record", "-a", "-d", "20ms", "-o", "-"}); code != exitUsage {
		t.Errorf("to a terminal: exit code %d, want %d", code, exitUsage)
	}
	if code := a.run([]string{"record", "-o", "-", "--", "true"}); code != exitUsage {
		t.Errorf("with a command: exit code %d, want %d", code, exitUsage)
	}
}

// Only the name that the user did not choose keeps the profile before.
func TestOldProfile(t *testing.T) {
	for _, test := range []struct {
		args []string
		left []string
	}{
		{nil, []string{"profile.pb.gz", "profile.pb.gz.old"}},
		{[]string{"-o", "profile.pb.gz"}, []string{"profile.pb.gz"}},
	} {
		a := newTestApp(t)
		if err := os.WriteFile("profile.pb.gz", []byte("before"), 0o666); err != nil {
			t.Fatal(err)
		}
		if code := a.run(append([]string{"record", "-a", "-d", "20ms"}, test.args...)); code != 0 {
			t.Fatalf("exit code %d: %s", code, a.err)
		}
		if got := files(t); !reflect.DeepEqual(got, test.left) {
			t.Errorf("%v: files %v, want %v", test.args, got, test.left)
		}
		if err := readGzip("profile.pb.gz"); err != nil {
			t.Error(err)
		}
		if old, err := os.ReadFile("profile.pb.gz.old"); err == nil && string(old) != "before" {
			t.Errorf("old profile holds %q", old)
		}
	}
}

// A failure leaves the profile before where it was.
func TestFailureKeepsProfile(t *testing.T) {
	a := newTestApp(t)
	a.fake.stopErr = errors.New("broken")
	if err := os.WriteFile("profile.pb.gz", []byte("before"), 0o666); err != nil {
		t.Fatal(err)
	}
	if code := a.run([]string{"record", "-a", "-d", "20ms"}); code != exitFailure {
		t.Fatalf("exit code %d: %s", code, a.err)
	}
	content, err := os.ReadFile("profile.pb.gz")
	if err != nil || string(content) != "before" || len(files(t)) != 1 {
		t.Errorf("profile.pb.gz holds %q (%v), files %v", content, err, files(t))
	}
}

// What stands in the way of the output is found before sampling begins.
func TestOutputCheckedFirst(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"folder":   func(path string) error { return os.Mkdir(path, 0o777) },
		"pipe":     func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"device":   func(path string) error { return os.Symlink("/dev/null", path) },
		"no place": func(path string) error { return os.Symlink("/proc/self/none/x", path) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newTestApp(t)
			a.fake.onStart = func(agent.Config) { t.Error("sampling began") }
			if name == "no place" {
				// A link that leads nowhere is replaced: nothing is lost.
				a.fake.onStart = nil
			}
			if err := make("out.pb.gz"); err != nil {
				t.Fatal(err)
			}
			code := a.run([]string{"record", "-a", "-d", "20ms", "-o", "out.pb.gz"})
			if want := map[bool]int{true: exitOK, false: exitFailure}[name == "no place"]; code != want {
				t.Errorf("exit code %d, want %d: %s", code, want, a.err)
			}
			if got := files(t); len(got) != 1 {
				t.Errorf("files %v", got)
			}
			if null, err := os.Stat("/dev/null"); err != nil || null.Mode()&os.ModeDevice == 0 {
				t.Fatal("/dev/null is gone")
			}
		})
	}
}

// A link to a file keeps being one.
func TestOutputThroughLink(t *testing.T) {
	a := newTestApp(t)
	target := filepath.Join(t.TempDir(), "real.pb.gz")
	if err := os.WriteFile(target, []byte("before"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, "out.pb.gz"); err != nil {
		t.Fatal(err)
	}
	if code := a.run([]string{"record", "-a", "-d", "20ms", "-o", "out.pb.gz"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, a.err)
	}
	if info, err := os.Lstat("out.pb.gz"); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v", info.Mode())
	}
	if err := readGzip(target); err != nil {
		t.Error(err)
	}
}

func TestCtrlCSaves(t *testing.T) {
	a := newTestApp(t)
	a.fake.onStart = func(agent.Config) { a.signals <- os.Interrupt }
	if code := a.run([]string{"record", "-a"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, a.err)
	}
	if !strings.Contains(a.err.String(), "Stopped: interrupt. 3 samples") {
		t.Errorf("stderr: %s", a.err)
	}
	if err := readGzip("profile.pb.gz"); err != nil {
		t.Error(err)
	}
}

// At the end Ctrl-C saves what there is, whether or not one has ended the recording.
func TestCtrlCEndsTheWaiting(t *testing.T) {
	for _, args := range [][]string{{"record", "-a"}, {"record", "-a", "-d", "20ms"}} {
		a := newTestApp(t)
		a.fake.hurry = make(chan struct{})
		if len(args) == 2 {
			a.fake.onStart = func(agent.Config) { a.signals <- os.Interrupt }
		}
		a.fake.onStop = func() { time.Sleep(2 * lookEvery); a.signals <- os.Interrupt }
		if code := a.run(args); code != 0 {
			t.Fatalf("%q: exit code %d: %s", args, code, a.err)
		}
		if !strings.Contains(a.err.String(), ". 3 samples") {
			t.Errorf("%q: stderr: %s", args, a.err)
		}
		if err := readGzip("profile.pb.gz"); err != nil {
			t.Error(err)
		}
	}
}

// One Ctrl-C more does not wait for the profile.
func TestCtrlCAborts(t *testing.T) {
	a := newTestApp(t)
	a.fake.stopWaits = true
	a.fake.hurry = make(chan struct{})
	a.fake.onStart = func(agent.Config) { a.signals <- os.Interrupt }
	a.fake.onStop = func() {
		time.Sleep(2 * lookEvery)
		a.signals <- os.Interrupt
		<-a.fake.hurry
		a.signals <- os.Interrupt
	}
	if code := a.run([]string{"record", "-a"}); code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	if !strings.Contains(a.err.String(), "staccato: aborted: nothing was saved") {
		t.Errorf("stderr: %s", a.err)
	}
	if got := files(t); len(got) != 0 {
		t.Errorf("files left: %v", got)
	}
}

func TestTargetEnds(t *testing.T) {
	a := newTestApp(t)
	target := exec.Command("sleep", "0.3")
	if err := target.Start(); err != nil {
		t.Fatal(err)
	}
	go target.Wait()
	begun := time.Now()
	if code := a.run([]string{"record", "-d", "60", "-p", strconv.Itoa(target.Process.Pid)}); code != 0 {
		t.Errorf("exit code %d: %s", code, a.err)
	}
	if !strings.Contains(a.err.String(), "Stopped: no target is left.") || time.Since(begun) > 30*time.Second {
		t.Errorf("after %v: %s", time.Since(begun), a.err)
	}
}

func TestProgressOnlyOnTerminals(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		a := newTestApp(t)
		a.terminal, a.width = terminal, 60
		if code := a.run([]string{"record", "-a", "-d", "1500ms"}); code != 0 {
			t.Fatalf("exit code %d: %s", code, a.err)
		}
		want := "\r 00:18 of 00:01   5,412 samples   3.0 CPUs busy   lost 0   \x1b[K\r\x1b[KStopped: "
		if got := strings.Contains(a.err.String(), want); got != terminal {
			t.Errorf("terminal %v: %q", terminal, a.err)
		}
		if !terminal && strings.ContainsAny(a.err.String(), "\r\x1b") {
			t.Errorf("control characters in %q", a.err)
		}
	}
}

// The end of a recording says what it waits for, and how not to.
func TestAwaitedOnlyOnTerminals(t *testing.T) {
	for _, test := range []struct {
		reading, want string
	}{
		{"/lib/lib\x1b.so", "Reading debug information (Ctrl-C: save without): 6 files left, lib?.so"},
		{"", "Waiting for debug files of servers (Ctrl-C: save without): 2 left"},
	} {
		for _, terminal := range []bool{true, false} {
			a := newTestApp(t)
			a.terminal = terminal
			a.fake.reading, a.fake.asked = test.reading, 2
			if code := a.run([]string{"record", "-a", "-d", "20ms"}); code != 0 {
				t.Fatalf("exit code %d: %s", code, a.err)
			}
			want := "\r " + test.want + "\x1b[K\r\x1b[KStopped: "
			if got := strings.Contains(a.err.String(), want); got != terminal {
				t.Errorf("terminal %v: %q", terminal, a.err)
			}
		}
	}
}

// What a profile will lack is said before it is taken.
func TestRecordLimits(t *testing.T) {
	a := newTestApp(t)
	a.limits = func() ([]string, error) { return []string{"no CAP_X: it stays dark"}, nil }
	if code := a.run([]string{"record", "-a", "-d", "20ms"}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(a.err.String(), "Note: no CAP_X: it stays dark.\n") {
		t.Errorf("stderr: %s", a.err)
	}
}
