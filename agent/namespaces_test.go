package agent

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// childOf waits for the first child of a process.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	for range 500 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			t.Fatal(err)
		}
		if f := strings.Fields(string(text)); len(f) > 0 {
			child, err := strconv.Atoi(f[0])
			if err != nil {
				t.Fatal(err)
			}
			return child
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %d has no child", pid)
	return 0
}

// waitName waits until a process has called exec and has this command name.
func waitName(t *testing.T, pid int, name string) {
	t.Helper()
	var comm []byte
	for range 500 {
		comm, _ = os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if string(comm) == name+"\n" {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("process %d is %q, want %s", pid, comm, name)
}

// inPIDNamespace is a program in a PID namespace of its own, with its own /proc.
func inPIDNamespace(args ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"--pid", "--fork", "--mount-proc", "--kill-child"}, args...)...)
}

// A process in a PID namespace below ours is known by our number for it.
func TestTargetInPIDNamespace(t *testing.T) {
	split := workloads.Build(t, "c/split.c")
	shell := spawn(t, inPIDNamespace("/bin/sh", "-c", `"$0" 60; exit`, split))
	pid := childOf(t, childOf(t, shell.pid()))
	waitName(t, pid, "split")
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{pid}}, ThreadIDs: true}, func() { time.Sleep(time.Second) })
	n := byPID(prof)
	delete(n, 0)
	if len(n) != 1 || n[pid] < 100 {
		t.Errorf("samples by process: %v, want only %d", n, pid)
	}
	for _, s := range prof.Profile.Sample {
		if s.NumLabel["pid"] != nil && !slices.Equal(s.NumLabel["tid"], []int64{int64(pid)}) {
			t.Errorf("thread %v", s.NumLabel["tid"])
		}
	}
	if got := share(ofPIDs(prof, pid), has("sixty")); got < 0.5 {
		t.Errorf("sixty has a share of %.3f", got)
	}
}

// insideEnv makes TestInsidePIDNamespace the part that runs inside; its value
// is the path of a program to profile.
const insideEnv = "STACCATO_TEST_INSIDE"

// The profiler itself in a PID namespace: its numbers are those of the
// namespace, and what runs outside is counted and has no number and no names.
func TestInsidePIDNamespace(t *testing.T) {
	if split := os.Getenv(insideEnv); split != "" {
		testInside(t, split)
		return
	}
	dir := publicDir(t)
	split := copyFile(t, workloads.Build(t, "c/split.c"), filepath.Join(dir, "inside"))
	outside := copyFile(t, split, filepath.Join(dir, "outside"))
	run(t, outside, "60")

	cmd := inPIDNamespace(os.Args[0], "-test.v", "-test.count=1", "-test.timeout=60s", "-test.run=^TestInsidePIDNamespace$")
	cmd.Env = append(os.Environ(), insideEnv+"="+split)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	t.Logf("inside:\n%s", &out)
	if err != nil || !strings.Contains(out.String(), "--- PASS: TestInsidePIDNamespace") {
		t.Errorf("inside: %v", err)
	}
}

func testInside(t *testing.T, split string) {
	if os.Getpid() != 1 {
		t.Fatalf("we are process %d, want 1 of the namespace", os.Getpid())
	}
	p := run(t, split, "60")

	// By its number inside, which is likely to be another process's outside.
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{p.pid()}}}, func() { time.Sleep(time.Second) })
	n := byPID(prof)
	delete(n, 0)
	t.Logf("target %d: %v", p.pid(), n)
	if len(n) != 1 || n[p.pid()] < 100 || prof.Summary.Filtered == 0 {
		t.Errorf("samples by process: %v, want only %d", n, p.pid())
	}
	if got := share(ofPIDs(prof, p.pid()), has("sixty")); got < 0.5 {
		t.Errorf("sixty has a share of %.3f", got)
	}

	const marker = "[truncated: outside the PID namespace]"
	prof = record(t, Config{Frequency: 999}, func() { time.Sleep(time.Second) })
	var outside int64
	for _, s := range prof.Profile.Sample {
		names, comm := functions(s), s.Label["comm"]
		switch {
		case slices.Equal(comm, []string{"outside"}):
			outside += s.Value[0]
			if s.NumLabel["pid"] != nil || names[len(names)-1] != marker {
				t.Errorf("outside: labels %v %v, stack %v", s.NumLabel, s.Label, names)
			}
			for _, l := range s.Location[:len(s.Location)-1] {
				if prof.Side.Kinds.Of(l.ID) != "kernel" {
					t.Errorf("outside: user frames %v", names)
				}
			}
		case slices.Equal(comm, []string{"inside"}) && !slices.Equal(s.NumLabel["pid"], []int64{int64(p.pid())}):
			t.Errorf("inside: labels %v", s.NumLabel)
		}
	}
	t.Logf("whole host: %v, %d of outside", byPID(prof), outside)
	if outside < 100 {
		t.Errorf("%d samples of the process outside", outside)
	}
	if got := share(ofPIDs(prof, p.pid()), has("sixty")); got < 0.5 {
		t.Errorf("sixty has a share of %.3f", got)
	}
	for pid := range prof.Side.Processes {
		if syscall.Kill(int(pid), 0) == unix.ESRCH && pid != int64(p.pid()) {
			t.Errorf("process %d has attributes and is none of ours", pid)
		}
	}
}
