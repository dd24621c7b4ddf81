package agent

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// publicDir returns a folder that every user may look into; those of
// testing.T are for root alone.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "staccato-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyFile copies a program under another name.
func copyFile(t *testing.T, from, to string) string {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// burner begins every program of these tests: BURN makes a function that uses
// CPU time for some seconds of the clock, and has a frame of its own.
const burner = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
static volatile uint64_t sink;
__attribute__((noinline, noclone, unused)) static uint64_t keep(uint64_t x) { return x ^ x >> 33; }
__attribute__((unused)) static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
#define BURN(name)                                                        \
	__attribute__((noinline, noclone)) void name(double seconds)      \
	{                                                                 \
		double end = now() + seconds;                             \
		uint64_t x = sink;                                        \
		do                                                        \
			for (int i = 0; i < 2000; i++) {                  \
				for (int j = 0; j < 64; j++)              \
					x = x * 6364136223846793005u + __LINE__; \
				x = keep(x);                              \
			}                                                 \
		while (now() < end);                                      \
		sink = x;                                                 \
	}
__attribute__((unused)) static void wait_line(void)
{
	char c;
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}
`

// compileC builds a C program from source behind burner.
func compileC(t *testing.T, path, source string, flags ...string) string {
	t.Helper()
	args := append([]string{"-O2", "-g", "-fno-omit-frame-pointer", "-Werror", "-x", "c", "-", "-o", path}, flags...)
	cmd := exec.Command("gcc", args...)
	cmd.Stdin = strings.NewReader(burner + source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", filepath.Base(path), err, out)
	}
	return path
}

// target is a program to be profiled. It and its children end with the test.
type target struct {
	*exec.Cmd
	in io.WriteCloser
}

func spawn(t *testing.T, cmd *exec.Cmd) target {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		in.Close()
		cmd.Wait()
	})
	return target{cmd, in}
}

func run(t *testing.T, path string, args ...string) target {
	t.Helper()
	return spawn(t, exec.Command(path, args...))
}

func (p target) pid() int { return p.Process.Pid }

// goOn sends the line that the program waits for.
func (p target) goOn(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
}

// cpuTime is what a process of one thread has used, by the scheduler's count.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ns)
}

// record profiles while a function runs, and checks what holds for every
// profile.
func record(t *testing.T, cfg Config, during func()) *Profile {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	during()
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, prof)
	return prof
}

// checkSound fails unless the profile is valid, its samples are all there, and
// its texts are such as a protocol buffer can hold.
func checkSound(t *testing.T, p *Profile) {
	t.Helper()
	if err := p.Profile.CheckValid(); err != nil {
		t.Error(err)
	}
	checkConserved(t, p)
	for _, text := range texts(p) {
		if text != strings.ToValidUTF8(text, "?") {
			t.Errorf("text %q in the profile is not valid UTF-8", text)
		}
	}
}

// texts are all strings of a profile that come from what was profiled.
func texts(p *Profile) (list []string) {
	for _, s := range p.Profile.Sample {
		for _, values := range s.Label {
			list = append(list, values...)
		}
	}
	for _, f := range p.Profile.Function {
		list = append(list, f.Name, f.SystemName, f.Filename)
	}
	for _, m := range p.Profile.Mapping {
		list = append(list, m.File, m.BuildID)
	}
	for _, attributes := range p.Side.Processes {
		for _, a := range attributes {
			list = append(list, a.Value.Emit())
		}
	}
	return list
}

// byPID adds up samples by process. Lost samples belong to none, 0.
func byPID(p *Profile) map[int]int64 {
	n := make(map[int]int64)
	for _, s := range p.Profile.Sample {
		pid := 0
		if v := s.NumLabel["pid"]; len(v) == 1 {
			pid = int(v[0])
		}
		n[pid] += s.Value[0]
	}
	return n
}

// ofPIDs keeps only the samples of some processes.
func ofPIDs(p *Profile, pids ...int) *Profile {
	part := *p
	part.Profile = p.Profile.Copy()
	part.Profile.Sample = nil
	for _, s := range p.Profile.Sample {
		if v := s.NumLabel["pid"]; len(v) == 1 && slices.Contains(pids, int(v[0])) {
			part.Profile.Sample = append(part.Profile.Sample, s)
		}
	}
	return &part
}

func has(name string) func([]string) bool {
	return func(names []string) bool { return slices.Contains(names, name) }
}

// onlyThese fails unless all samples are of these processes and they have the
// shares that the scheduler gave them.
func onlyThese(t *testing.T, p *Profile, used map[int]time.Duration) {
	t.Helper()
	n := byPID(p)
	delete(n, 0)
	var samples int64
	var time time.Duration
	for pid, k := range n {
		samples += k
		if _, ok := used[pid]; !ok {
			t.Errorf("%d samples of process %d, which nobody wants", k, pid)
		}
	}
	for _, d := range used {
		time += d
	}
	for pid, d := range used {
		want, got := d.Seconds()/time.Seconds(), float64(n[pid])/float64(samples)
		if math.Abs(got-want) > 0.07 {
			t.Errorf("process %d has %.3f of the samples and had %.3f of the time", pid, got, want)
		}
	}
	if samples < 200 {
		t.Errorf("only %d samples: %+v", samples, p.Summary)
	}
	if p.Summary.Filtered == 0 {
		t.Error("nothing was filtered out")
	}
}

// usedDuring measures the CPU time of processes while a function runs.
func usedDuring(t *testing.T, during func(), pids ...int) map[int]time.Duration {
	t.Helper()
	used := make(map[int]time.Duration)
	for _, pid := range pids {
		used[pid] = -cpuTime(t, pid)
	}
	during()
	for _, pid := range pids {
		used[pid] += cpuTime(t, pid)
	}
	return used
}

const filterTime = 1200 * time.Millisecond

func TestTargetPIDs(t *testing.T) {
	split := workloads.Build(t, "c/split.c")
	a, b, other := run(t, split, "60"), run(t, split, "60"), run(t, split, "60")
	var used map[int]time.Duration
	cfg := Config{Frequency: 999, Target: Target{PIDs: []int{a.pid(), b.pid()}}}
	prof := record(t, cfg, func() {
		used = usedDuring(t, func() { time.Sleep(filterTime) }, a.pid(), b.pid())
	})
	onlyThese(t, prof, used)
	if n := byPID(prof)[other.pid()]; n > 0 {
		t.Errorf("%d samples of the other process", n)
	}
	if got := share(ofPIDs(prof, a.pid(), b.pid()), has("main")); got < 0.95 {
		t.Errorf("main is on %.3f of the stacks", got)
	}
}

// The kernel keeps 15 bytes of a command name: one program has just as many,
// another has more, a third differs in the last byte. A process that begins
// later counts like one that was there.
func TestTargetName(t *testing.T) {
	const name = "fifteen-bytes-x"
	dir := publicDir(t)
	split := workloads.Build(t, "c/split.c")
	exact := copyFile(t, split, filepath.Join(dir, name))
	longer := copyFile(t, split, filepath.Join(dir, name+"-and-more"))
	similar := copyFile(t, split, filepath.Join(dir, "fifteen-bytes-y"))

	before := run(t, exact, "60")
	run(t, similar, "60")
	var used map[int]time.Duration
	prof := record(t, Config{Frequency: 999, Target: Target{Name: name}}, func() {
		later := run(t, longer, "60")
		used = usedDuring(t, func() { time.Sleep(filterTime) }, before.pid(), later.pid())
	})
	onlyThese(t, prof, used)
	for _, s := range prof.Profile.Sample {
		if s.NumLabel["pid"] != nil && !slices.Equal(s.Label["comm"], []string{name}) {
			t.Errorf("comm %q", s.Label["comm"])
		}
	}
	for _, missing := range []string{name + "-and-more", "no-such-name"} {
		if _, err := New(Config{Target: Target{Name: missing}}); !errors.Is(err, ErrNoTarget) {
			t.Errorf("name %s: %v", missing, err)
		}
	}
}

// Two filters at once must both match.
func TestTargetUser(t *testing.T) {
	dir := publicDir(t)
	split := copyFile(t, workloads.Build(t, "c/split.c"), filepath.Join(dir, "split"))
	other := copyFile(t, split, filepath.Join(dir, "other"))
	nobody := func(path string) target {
		cmd := exec.Command(path, "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return spawn(t, cmd)
	}
	a, b := nobody(split), nobody(other)
	run(t, split, "60") // of root
	for _, test := range []struct {
		target Target
		pids   []int
	}{
		{Target{User: "65534"}, []int{a.pid(), b.pid()}},
		{Target{User: "nobody", Name: "split"}, []int{a.pid()}},
	} {
		t.Run(fmt.Sprintf("%+v", test.target), func(t *testing.T) {
			var used map[int]time.Duration
			prof := record(t, Config{Frequency: 999, Target: test.target}, func() {
				used = usedDuring(t, func() { time.Sleep(filterTime) }, test.pids...)
			})
			onlyThese(t, prof, used)
			if got := share(ofPIDs(prof, test.pids...), has("main")); got < 0.95 {
				t.Errorf("main is on %.3f of the stacks", got)
			}
		})
	}
	if _, err := New(Config{Target: Target{User: "no-such-user"}}); !errors.Is(err, ErrNoTarget) {
		t.Errorf("unknown user: %v", err)
	}
}

// cgroupMount is where cgroup v2 is mounted.
func cgroupMount(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	t.Fatal("cgroup v2 is not mounted")
	return ""
}

// makeCgroup makes a cgroup that goes away with the test, after its processes.
func makeCgroup(t *testing.T, path string) (name string) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A process leaves its cgroup some time after its parent has heard of its end.
		for range 100 {
			if os.Remove(path) == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("cgroup %s stays", path)
	})
	return path
}

// The path may be absolute or begin below the mount; a cgroup inside counts as
// inside.
func TestTargetCgroup(t *testing.T) {
	mount := cgroupMount(t)
	name := fmt.Sprintf("staccato-test-%d", os.Getpid())
	outer := makeCgroup(t, filepath.Join(mount, name))
	inner := makeCgroup(t, filepath.Join(outer, "inner"))
	split := workloads.Build(t, "c/split.c")
	in := func(cgroup string) target {
		dir, err := os.Open(cgroup)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		cmd := exec.Command(split, "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		return spawn(t, cmd)
	}
	a, b := in(outer), in(inner)
	run(t, split, "60") // elsewhere
	for _, test := range []struct {
		path string
		pids []int
	}{
		{outer, []int{a.pid(), b.pid()}},
		{"/" + name, []int{a.pid(), b.pid()}},
		{name + "/inner", []int{b.pid()}},
	} {
		t.Run(filepath.Base(test.path), func(t *testing.T) {
			var used map[int]time.Duration
			prof := record(t, Config{Frequency: 999, Target: Target{Cgroup: test.path}}, func() {
				used = usedDuring(t, func() { time.Sleep(filterTime) }, test.pids...)
			})
			onlyThese(t, prof, used)
		})
	}
	if _, err := New(Config{Target: Target{Cgroup: name + "/none"}}); !errors.Is(err, ErrNoTarget) {
		t.Errorf("unknown cgroup: %v", err)
	}
}

// A shell starts a program that forks children without exec. The shell itself
// does next to nothing.
func TestChildren(t *testing.T) {
	forks := workloads.Build(t, "c/forks.c")
	for _, noInherit := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoInherit=%t", noInherit), func(t *testing.T) {
			shell := run(t, "/bin/sh", "-c", `read line; "$0" 50 8 1.5; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done`, forks)
			cfg := Config{Frequency: 999, Target: Target{PIDs: []int{shell.pid()}, NoInherit: noInherit}}
			prof := record(t, cfg, func() {
				shell.goOn(t)
				if err := shell.Wait(); err != nil {
					t.Fatal(err)
				}
			})
			n := byPID(prof)
			t.Logf("%d processes, %d samples of the shell, %d with child", len(n), n[shell.pid()], weight(prof, "child"))
			if n[shell.pid()] == 0 {
				t.Error("no samples of the shell")
			}
			if noInherit {
				delete(n, 0)
				if len(n) != 1 {
					t.Errorf("children are there: %v", n)
				}
				return
			}
			if len(n) < 20 {
				t.Errorf("samples of only %d processes", len(n))
			}
			delete(n, shell.pid())
			var others []int
			for pid := range n {
				others = append(others, pid)
			}
			// What is not below child is the kernel's part of fork and exit, and
			// the leaf that child calls.
			in := share(ofPIDs(prof, others...), func(names []string) bool {
				return slices.Contains(names, "child") || slices.Contains(names, "work")
			})
			if in < 0.6 {
				t.Errorf("only %.3f of the children's samples are named by what they do", in)
			}
		})
	}
}

// A process that is asleep when sampling begins and is never sampled itself
// makes children that live shorter than it takes to be noticed.
func TestForkOfSleepingProcess(t *testing.T) {
	program := compileC(t, filepath.Join(publicDir(t), "sleeper"), `
BURN(in_child)
int main(void)
{
	wait_line();
	for (int i = 0; i < 50; i++) {
		if (fork() == 0) {
			in_child(0.01);
			_exit(0);
		}
		wait(NULL);
	}
	return 0;
}`)
	for _, byPID := range []bool{false, true} {
		t.Run(fmt.Sprintf("byPID=%t", byPID), func(t *testing.T) {
			p := run(t, program)
			cfg := Config{Frequency: 99}
			if byPID {
				cfg.Target.PIDs = []int{p.pid()}
			}
			prof := record(t, cfg, func() {
				p.goOn(t)
				if err := p.Wait(); err != nil {
					t.Fatal(err)
				}
			})
			var user, named int64
			for _, s := range prof.Profile.Sample {
				if c := s.Label["comm"]; len(c) != 1 || c[0] != "sleeper" || s.NumLabel["pid"][0] == int64(p.pid()) {
					continue
				}
				if prof.Side.Kinds[s.Location[0].ID] == "kernel" {
					continue // fork, page faults, exit
				}
				user += s.Value[0]
				if slices.Contains(functions(s), "in_child") {
					named += s.Value[0]
				} else {
					t.Log(s.Value[0], functions(s))
				}
			}
			t.Logf("%d of %d samples named", named, user)
			if user < 20 || float64(named) < 0.85*float64(user) {
				t.Errorf("%d of the children's %d samples are named", named, user)
			}
		})
	}
}

// One program takes the place of another in a process.
func TestExecInPlace(t *testing.T) {
	dir := publicDir(t)
	after := compileC(t, filepath.Join(dir, "after"), `
BURN(after_exec)
int main(void) { after_exec(0.6); return 0; }`)
	before := compileC(t, filepath.Join(dir, "before"), `
BURN(before_exec)
int main(int argc, char **argv) { wait_line(); before_exec(0.6); return argc > 1 && execv(argv[1], argv + 1); }`)
	p := run(t, before, after)
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{p.pid()}}}, func() {
		p.goOn(t)
		if err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	seen := map[string]int64{}
	for _, s := range prof.Profile.Sample {
		if s.NumLabel["pid"] == nil {
			continue
		}
		names, comm := functions(s), s.Label["comm"][0]
		for _, name := range []string{"before", "after"} {
			if slices.Contains(names, name+"_exec") {
				seen[name] += s.Value[0]
				if comm != name {
					t.Errorf("%s: %v", comm, names)
				}
			}
		}
	}
	t.Log(seen, prof.Summary)
	if seen["before"] < 50 || seen["after"] < 50 {
		t.Errorf("samples before and after: %v", seen)
	}
	for _, u := range prof.Summary.Unnamed {
		if (u.Path == "" || u.Path == before || u.Path == after) && u.Frames > prof.Summary.Samples/20 {
			t.Errorf("%d samples have unnamed frames in %q: %s", u.Frames, u.Path, u.Reason)
		}
	}
}

// startStopped starts a program that waits before its first instruction.
func startStopped(t *testing.T, cmd *exec.Cmd) (release func()) {
	t.Helper()
	started, let, gone := make(chan error), make(chan struct{}), make(chan error)
	cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	go func() { // only the thread that started it may let it go
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		if err == nil {
			var status syscall.WaitStatus
			_, err = syscall.Wait4(cmd.Process.Pid, &status, 0, nil)
		}
		started <- err
		if err == nil {
			<-let
			gone <- syscall.PtraceDetach(cmd.Process.Pid)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return func() {
		t.Helper()
		close(let)
		if err := <-gone; err != nil {
			t.Fatal(err)
		}
	}
}

// A command is sampled from its first instruction on, and named even if it
// ends before the profiler has looked at it once.
func TestCommandFromStart(t *testing.T) {
	program := compileC(t, filepath.Join(publicDir(t), "command"), `
BURN(before_main)
BURN(in_main)
__attribute__((constructor)) static void early(int argc, char **argv) { (void)argc; before_main(atof(argv[1])); }
int main(int argc, char **argv) { (void)argc; in_main(atof(argv[1])); return 0; }`)
	for _, seconds := range []string{"0.02", "0.2"} {
		t.Run(seconds, func(t *testing.T) {
			cmd := exec.Command(program, seconds)
			release := startStopped(t, cmd)
			prof := record(t, Config{Frequency: 4999, Target: Target{PIDs: []int{cmd.Process.Pid}}}, func() {
				release()
				if err := cmd.Wait(); err != nil {
					t.Fatal(err)
				}
			})
			n := byPID(prof)[cmd.Process.Pid]
			sampled := time.Duration(n * prof.Profile.Period)
			used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			early, late := weight(prof, "before_main"), weight(prof, "in_main")
			t.Logf("%d samples (%v of %v), %d before main and %d in it; %+v", n, sampled, used, early, late, prof.Summary)
			if sampled < used/2 {
				t.Errorf("%v of %v were sampled", sampled, used)
			}
			if early < n/4 || late < n/4 || float64(early+late) < 0.8*float64(n) {
				t.Errorf("of %d samples %d are before main and %d in it", n, early, late)
			}
		})
	}
}
