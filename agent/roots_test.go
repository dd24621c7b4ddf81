package agent

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/testdata/rooted"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// All that programs do from their first instruction to their end reaches the root,
// by what their files say, and not by our own word. make bench PART=roots does
// the same for servers and compilers.
func TestRoots(t *testing.T) {
	stripped := workloads.Build(t, "go/shapes", "-ldflags=-s -w")
	if out, err := exec.Command("strip", "--strip-all", stripped).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v: %s", err, out)
	}
	const work = `
def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)
while True: fib(15); sorted({str(i): i for i in range(2000)}.items(), key=lambda kv: -kv[1])`
	for _, test := range []struct {
		name  string // of the processes
		args  []string
		least float64
	}{
		{"stacks", []string{workloads.Build(t, "c/stacks.c", noFramePointers), "sorted", "60"}, 0.995},
		{"mixed", []string{workloads.Build(t, "cpp/mixed.cc", noFramePointers), "60"}, 0.995},
		{"threads", []string{workloads.Build(t, "c/threads.c", noFramePointers), "8", "60"}, 0.995},
		{"shapes", []string{stripped, "garbage", "60"}, 0.995},
		{"python3.11", []string{"/usr/bin/python3.11", "-c", work}, 0.995},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command(test.args[0], test.args[1:]...)
			release := startStopped(t, cmd)
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{cmd.Process.Pid}}}, func() {
				release()
				time.Sleep(4 * time.Second)
			})
			checkRooted(t, prof, test.least, test.name)
		})
	}
}

func checkRooted(t *testing.T, p *Profile, least float64, processes ...string) {
	t.Helper()
	n := rooted.Of(p.Profile, processes...)
	t.Logf("of %d samples a share of %.4f reaches the root; others: %s", n.Samples, n.Share(), n.Causes())
	if n.Samples < 500 || n.Share() < least {
		t.Errorf("of %d samples a share of %.4f reaches the root", n.Samples, n.Share())
		n.Explain(os.Stderr)
	}
}

// Processes that live for 30 ms reach the root, and have the samples that their CPU
// time predicts.
func TestRootsOfShortLives(t *testing.T) {
	program := workloads.Build(t, "c/stacks.c", noFramePointers)
	cmd := exec.Command("/bin/sh", "-c", `while :; do "$0" sorted 0.03; done`, program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	prof := record(t, Config{Frequency: 999}, func() {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(4 * time.Second)
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
	})
	n := rooted.Of(prof.Profile, "sh", "stacks")
	cpu := (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	t.Logf("%.3f s of CPU time by the profile, %.3f s by the kernel's count", n.CPU, cpu)
	if n.CPU < 0.97*cpu || n.CPU > 1.03*cpu {
		t.Errorf("%.3f s of CPU time by the profile, %.3f s by the kernel's count", n.CPU, cpu)
	}
	checkRooted(t, prof, 0.98, "sh", "stacks")
}
