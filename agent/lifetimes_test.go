package agent

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

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
			// The rest is the start of the program and of each child.
			children := userSamples(ofPIDs(prof, others...))
			named, work := share(children, has("main")), weight(children, "work")
			if named < 0.8 || work < 100 {
				t.Errorf("main is on %.3f of the children's stacks, and work on %d", named, work)
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
			var user, unnamed, inChild int64
			for _, s := range userSamples(prof).Profile.Sample {
				if c := s.Label["comm"]; len(c) != 1 || c[0] != "sleeper" || s.NumLabel["pid"][0] == int64(p.pid()) {
					continue
				}
				user += s.Value[0]
				names := functions(s)
				if names[0] == "?" {
					unnamed += s.Value[0]
				}
				if slices.Contains(names, "in_child") {
					inChild += s.Value[0]
				}
			}
			t.Logf("of the children's %d samples %d have no name and %d are in in_child", user, unnamed, inChild)
			if user < 15 || float64(unnamed) > 0.15*float64(user) || inChild < user/2 {
				t.Errorf("of the children's %d samples %d have no name and %d are in in_child", user, unnamed, inChild)
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
		if (u.Path == "" || u.Path == before || u.Path == after) && u.Samples > prof.Summary.Samples/20 {
			t.Errorf("%d samples have unnamed frames in %q: %s", u.Samples, u.Path, u.Reason)
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
