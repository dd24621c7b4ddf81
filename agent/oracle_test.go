package agent

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// timerOracle counts the firings of the kernel's sampling timers with perf.
type timerOracle struct {
	cmd      *exec.Cmd
	out      bytes.Buffer
	ctl, ack *os.File
	answers  *bufio.Reader
}

// startTimerOracle returns when perf is counting.
func startTimerOracle(t *testing.T) *timerOracle {
	t.Helper()
	address := kernelAddress(t, "perf_swevent_hrtimer")
	ctlRead, ctlWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ackRead, ackWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := &timerOracle{ctl: ctlWrite, ack: ackRead, answers: bufio.NewReader(ackRead)}
	ours := fmt.Sprintf("function==%#x", address)
	o.cmd = exec.Command("perf", "stat", "-a", "-x", ",", "-D", "-1", "--control", "fd:3,4",
		"-e", "timer:hrtimer_expire_entry", "--filter", ours,
		"-e", "timer:hrtimer_expire_entry", "--filter", ours+" && ("+threadsOf(t, 1)+")")
	o.cmd.ExtraFiles = []*os.File{ctlRead, ackWrite}
	o.cmd.Stderr = &o.out
	if err := o.cmd.Start(); err != nil {
		t.Fatalf("start perf (Debian package linux-perf): %v", err)
	}
	ctlRead.Close()
	ackWrite.Close()
	t.Cleanup(func() { o.cmd.Process.Kill(); o.ctl.Close(); o.ack.Close() })
	o.say(t, "enable")
	return o
}

func (o *timerOracle) say(t *testing.T, word string) {
	t.Helper()
	o.ack.SetReadDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprintln(o.ctl, word)
	if answer, err := o.answers.ReadString('\n'); err != nil || !strings.HasPrefix(strings.Trim(answer, "\x00\n"), "ack") {
		t.Fatalf("perf answered %q to %s: %v: %s", answer, word, err, o.out.String())
	}
}

// stop returns how often timers have fired, and how often of these while a
// thread of PID 1 was running.
func (o *timerOracle) stop(t *testing.T) (fired, firedInit uint64) {
	t.Helper()
	o.say(t, "disable")
	o.cmd.Process.Signal(os.Interrupt)
	o.cmd.Wait()
	var counts []uint64
	for line := range strings.Lines(o.out.String()) {
		f := strings.Split(line, ",") // count, unit, event, …
		if len(f) > 2 && f[2] == "timer:hrtimer_expire_entry" {
			n, err := strconv.ParseUint(f[0], 10, 64)
			if err != nil {
				t.Fatalf("perf printed %q", o.out.String())
			}
			counts = append(counts, n)
		}
	}
	if len(counts) != 2 {
		t.Fatalf("perf printed %q", o.out.String())
	}
	return counts[0], counts[1]
}

// threadsOf is a tracepoint filter for the threads of a process.
func threadsOf(t *testing.T, pid int) string {
	t.Helper()
	threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	var any []string
	for _, thread := range threads {
		any = append(any, "common_pid=="+thread.Name())
	}
	return strings.Join(any, "||")
}

func kernelAddress(t *testing.T, name string) uint64 {
	t.Helper()
	text, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) >= 3 && f[2] == name {
			n, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil || n == 0 {
				t.Fatalf("address of %s: %q", name, line)
			}
			return n
		}
	}
	t.Fatalf("the kernel has no %s", name)
	return 0
}
