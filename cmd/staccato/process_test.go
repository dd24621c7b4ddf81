package main

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// startProcess runs this program as a process of its own, in a process group of
// its own, with a fake profiler. The working directory is the test's.
func startProcess(t *testing.T, args ...string) (*exec.Cmd, *lockedBuffer) {
	t.Helper()
	t.Chdir(t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), "STACCATO_TEST_PROCESS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stderr := new(lockedBuffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	return cmd, stderr
}

// What a shell sees of each signal.
func TestSignalsOfAProcess(t *testing.T) {
	for _, test := range []struct {
		name   string
		args   []string
		signal syscall.Signal
		code   int
	}{
		{"Ctrl-C", []string{"record", "-a"}, syscall.SIGINT, 0},
		{"SIGTERM", []string{"record", "-a"}, syscall.SIGTERM, 0},
		{"Ctrl-C that a command heeds", []string{"record", "--", "sleep", "60"}, syscall.SIGINT, 130},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd, stderr := startProcess(t, test.args...)
			waitFor(t, "the recording", func() bool { return strings.Contains(stderr.String(), "Recording") })
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != test.code {
				t.Errorf("exit code %d, want %d: %s", code, test.code, stderr)
			}
			if !strings.Contains(stderr.String(), "Saved profile.pb.gz") {
				t.Errorf("stderr: %s", stderr)
			}
		})
	}
}

// A command that was never let go does nothing.
func TestKillBeforeRelease(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := startStopped([]string{"touch", "begun"})
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/" + strconv.Itoa(c.pid()) + "/status")
	if err != nil || !bytes.Contains(status, []byte("tracing stop")) {
		t.Errorf("the command is not waiting: %v\n%s", err, status)
	}
	c.kill()
	if len(files(t)) != 0 {
		t.Errorf("the command has begun: %v", files(t))
	}
}

// timeout sends its signal twice at once, which is not a wish to abort.
func TestTimeoutIsNoAbort(t *testing.T) {
	t.Chdir(t.TempDir())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("timeout", "--preserve-status", "1", self, "record", "-a")
	cmd.Env = append(os.Environ(), "STACCATO_TEST_PROCESS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Saved profile.pb.gz") {
		t.Errorf("%v: %s", err, out)
	}
}

// Two signals that a person sent abort a run that cannot end.
func TestTwoSignalsAbortAProcess(t *testing.T) {
	cmd, stderr := startProcess(t, "record", "--", "sh", "-c", "trap '' INT; echo ready >&2; sleep 60")
	waitFor(t, "the command", func() bool { return strings.Contains(stderr.String(), "ready") })
	for range 2 {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * sameSignal)
	}
	// Not Wait, which would also wait for the command: it has our stderr.
	waitFor(t, "the message", func() bool { return strings.Contains(stderr.String(), "aborted: nothing was saved") })
	if got := files(t); len(got) != 0 {
		t.Errorf("files %v", got)
	}
}
