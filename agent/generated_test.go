package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
)

// programFile writes the source of a program for an interpreter.
func programFile(t *testing.T, dir, name, source string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

const fibJS = `
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
const end = Date.now() + 1000 * Number(process.argv[2]);
while (Date.now() < end) fib(20);
`

// inGenerated is the share of samples that have a function of the mapping of a
// process's generated code on their stack.
func inGenerated(p *Profile, pid int, function string) float64 {
	path := fmt.Sprintf("/tmp/perf-%d.map", pid)
	var part, all int64
	for _, s := range ofPIDs(p, pid).Profile.Sample {
		all += s.Value[0]
		if slices.ContainsFunc(s.Location, func(l *profile.Location) bool {
			return l.Mapping != nil && l.Mapping.File == path && len(l.Line) == 1 && strings.Contains(l.Line[0].Function.Name, function)
		}) {
			part += s.Value[0]
		}
	}
	return float64(part) / float64(all)
}

// recordGenerated checks that a process's generated code has names.
func recordGenerated(t *testing.T, pid int, function string, least float64) {
	t.Helper()
	t.Cleanup(func() { os.Remove(fmt.Sprintf("/tmp/perf-%d.map", pid)) })
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{pid}}}, func() { time.Sleep(2 * time.Second) })
	got := inGenerated(prof, pid, function)
	t.Logf("%s is on %.3f of the stacks", function, got)
	if got < least {
		t.Errorf("%s is on %.3f of the stacks, want %.2f", function, got, least)
		logStacks(t, prof, 5)
		for _, u := range prof.Summary.Unnamed {
			t.Logf("without names: %+v", u)
		}
	}
}

// In a PID namespace: node writes the number that it has there in the file's
// name.
func TestGeneratedByNode(t *testing.T) {
	path := programFile(t, publicDir(t), "fib.js", fibJS)
	cmd := inPIDNamespace("node", "--perf-basic-prof", path, "60")
	cmd.Dir = filepath.Dir(path) // it leaves a log there
	outer := spawn(t, cmd)
	pid := childOf(t, outer.pid())
	waitName(t, pid, "node")
	time.Sleep(500 * time.Millisecond)
	t.Cleanup(func() { os.Remove("/tmp/perf-1.map") })
	recordGenerated(t, pid, "JS:*fib "+path, 0.8)
}

// pythonWithPerf returns a Python that lists its functions for perf: 3.12 or later,
// which Debian 12 has none of.
func pythonWithPerf(t *testing.T) string {
	t.Helper()
	cmd := exec.Command("go", "run", ".", publicDir(t))
	cmd.Dir = "../testdata/python"
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("unpack Python: %v: %s", err, errorOutput(err))
	}
	return strings.TrimSpace(string(out))
}

func errorOutput(err error) []byte {
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		return e.Stderr
	}
	return nil
}

func TestGeneratedByPython(t *testing.T) {
	python := pythonWithPerf(t)
	path := programFile(t, publicDir(t), "fib.py", `
def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)
while True:
    fib(20)
`)
	p := run(t, python, "-X", "perf", path)
	time.Sleep(500 * time.Millisecond)
	recordGenerated(t, p.pid(), "py::fib:"+path, 0.9)
}

// Java writes its list when it is asked to, while we sample.
func TestGeneratedByJava(t *testing.T) {
	dir := publicDir(t)
	path := programFile(t, dir, "Fib.java", `
public class Fib {
	static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
	public static void main(String[] args) { for (int sum = 0;;) sum += fib(20); }
}`)
	if out, err := exec.Command("javac", "-d", dir, path).CombinedOutput(); err != nil {
		t.Fatalf("javac (of openjdk-17-jdk-headless): %v: %s", err, out)
	}
	p := run(t, "java", "-XX:+PreserveFramePointer", "-cp", dir, "Fib")
	time.Sleep(time.Second)
	go func() {
		time.Sleep(time.Second)
		if out, err := exec.Command("jcmd", fmt.Sprint(p.pid()), "Compiler.perfmap").CombinedOutput(); err != nil {
			t.Errorf("jcmd: %v: %s", err, out)
		}
	}()
	recordGenerated(t, p.pid(), "Fib.fib(", 0.8)
}

// A program that begins and ends between two reads of the kernel's tables.
func TestGeneratedAndGone(t *testing.T) {
	path := programFile(t, publicDir(t), "fib.js", fibJS)
	var pid int
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{os.Getpid()}}}, func() {
		cmd := exec.Command("node", "--perf-basic-prof", path, "0.7")
		cmd.Dir = filepath.Dir(path)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("node: %v: %s", err, out)
		}
		pid = cmd.Process.Pid
		t.Cleanup(func() { os.Remove(fmt.Sprintf("/tmp/perf-%d.map", pid)) })
	})
	if got := inGenerated(prof, pid, "JS:*fib "+path); got < 0.6 {
		t.Errorf("fib is on %.3f of the stacks", got)
		for _, u := range prof.Summary.Unnamed {
			t.Logf("without names: %+v", u)
		}
	}
}
