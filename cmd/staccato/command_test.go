package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/agent"
)

func TestCommandExitCodes(t *testing.T) {
	for _, test := range []struct {
		name    string
		flags   string
		command []string
		change  func(*fakeProfiler)
		code    int
		words   string
		saved   bool
	}{
		{"success", "", []string{"true"}, nil, 0, "Stopped: the command ended.", true},
		{"its own code", "", []string{"sh", "-c", "exit 3"}, nil, 3, "Saved profile.pb.gz", true},
		{"ended by a signal", "", []string{"sh", "-c", "kill -KILL $$"}, nil, 137, "Saved profile.pb.gz", true},
		{"not found", "", []string{"no-such-command-here"}, nil, exitNotFound, "run command: ", false},
		{"path not found", "", []string{"./none"}, nil, exitNotFound, "no such file", false},
		{"not executable", "", []string{"/etc/passwd"}, nil, exitNotExecutable, "permission denied", false},
		{"a folder", "", []string{"/etc"}, nil, exitNotExecutable, "", false},
		{"no samples", "", []string{"true"}, func(f *fakeProfiler) { f.profile = noSamples }, 0, "saved, but 0 samples", true},
		{"whole host meanwhile", "-a", []string{"sh", "-c", "exit 4"}, nil, 4, "Recording the whole host while the command runs", true},
		{"another process meanwhile", "-p 1", []string{"true"}, nil, 0, "Recording process 1 while the command runs", true},
		{"load fails", "", []string{"touch", "begun"}, func(f *fakeProfiler) { f.newErr = errors.New("rejected") },
			exitOwnFailure, "staccato: rejected", false},
		{"no permission", "", []string{"touch", "begun"}, func(f *fakeProfiler) { f.newErr = agent.ErrPermission },
			exitOwnFailure, "Run:  sudo ", false},
		{"start fails", "", []string{"touch", "begun"}, func(f *fakeProfiler) { f.startErr = errors.New("no events") },
			exitOwnFailure, "no events", false},
		{"unwritable output", "-o none/x.pb", []string{"touch", "begun"}, nil, exitOwnFailure, "write none/x.pb", false},
		{"save fails", "", []string{"true"}, func(f *fakeProfiler) { f.stopErr = errors.New("map gone") },
			exitOwnFailure, "map gone", false},
		{"usage", "-F 0", []string{"touch", "begun"}, nil, exitUsage, "at least 1 Hz", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestApp(t)
			if test.change != nil {
				test.change(a.fake)
			}
			args := append(append([]string{"record"}, strings.Fields(test.flags)...), "--")
			if code := a.run(append(args, test.command...)); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(a.err.String(), test.words) {
				t.Errorf("stderr misses %q:\n%s", test.words, a.err)
			}
			want := []string{}
			if test.saved {
				want = []string{"profile.pb.gz"}
			}
			if got := files(t); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("files %v, want %v", got, want)
			}
		})
	}
}

// When sampling begins, the command is there and has not run an instruction:
// it is stopped, and its program is the one to run.
func TestCommandWaitsForSampling(t *testing.T) {
	a := newTestApp(t)
	a.fake.onStart = func(config agent.Config) {
		if len(config.Target.PIDs) != 1 {
			t.Errorf("target %+v, want one process", config.Target)
			return
		}
		pid := config.Target.PIDs[0]
		// Long enough for a command that was not held back to be done.
		time.Sleep(200 * time.Millisecond)
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || !strings.Contains(string(status), "Name:\ttouch\n") || !strings.Contains(string(status), "State:\tt (tracing stop)\n") {
			t.Errorf("the command is not waiting: %v\n%s", err, status)
		}
		if len(files(t)) != 1 { // the temporary profile
			t.Errorf("the command has begun: files %v", files(t))
		}
	}
	if code := a.run([]string{"record", "--", "touch", "begun"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, a.err)
	}
	if got := fmt.Sprint(files(t)); got != "[begun profile.pb.gz]" {
		t.Errorf("files %v", got)
	}
}

// The profile's name can hold the command's PID.
func TestCommandPIDInName(t *testing.T) {
	a := newTestApp(t)
	if code := a.run([]string{"record", "-o", "%p.pb", "--", "sh", "-c", "echo $$ > pid"}); code != 0 {
		t.Fatalf("exit code %d: %s", code, a.err)
	}
	pid, err := os.ReadFile("pid")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(files(t)), fmt.Sprintf("[%s.pb pid]", strings.TrimSpace(string(pid))); got != want {
		t.Errorf("files %v, want %v", got, want)
	}
}

// After -d the profile is saved, and the command may go on.
func TestCommandOutlivesDuration(t *testing.T) {
	a := newTestApp(t)
	if code := a.run([]string{"record", "-d", "100ms", "--", "sh", "-c", "sleep 0.5; exit 6"}); code != 6 {
		t.Errorf("exit code %d: %s", code, a.err)
	}
	for _, want := range []string{"Stopped: 100 ms elapsed.", "Saved profile.pb.gz", "The command still runs"} {
		if !strings.Contains(a.err.String(), want) {
			t.Errorf("stderr misses %q:\n%s", want, a.err)
		}
	}
}

// SIGTERM reaches only us, so we pass it on and save when the command ends.
func TestCommandGetsSIGTERM(t *testing.T) {
	a := newTestApp(t)
	done := make(chan int)
	go func() { done <- a.run([]string{"record", "--", "sleep", "60"}) }()
	waitFor(t, "the recording", func() bool { return strings.Contains(a.err.String(), "Recording") })
	a.signals <- syscall.SIGTERM
	if code := <-done; code != 128+int(syscall.SIGTERM) {
		t.Errorf("exit code %d, want %d", code, 128+int(syscall.SIGTERM))
	}
	if !strings.Contains(a.err.String(), "Saved profile.pb.gz") {
		t.Errorf("stderr: %s", a.err)
	}
}

// A command that does not heed Ctrl-C does not keep a second one waiting.
func TestCommandAbort(t *testing.T) {
	a := newTestApp(t)
	done := make(chan int)
	go func() {
		done <- a.run([]string{"record", "-o", "%p.pb", "--", "sh", "-c", "trap '' INT; echo $$ > pid; exec sleep 60"})
	}()
	waitFor(t, "the command", func() bool { text, _ := os.ReadFile("pid"); return len(text) > 0 })
	a.signals <- os.Interrupt
	a.signals <- os.Interrupt
	if code := <-done; code != exitOwnFailure {
		t.Errorf("exit code %d, want %d", code, exitOwnFailure)
	}
	var pid int
	text, _ := os.ReadFile("pid")
	if _, err := fmt.Sscan(string(text), &pid); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	if got := fmt.Sprint(files(t)); got != "[pid]" {
		t.Errorf("files %v", got)
	}
}
