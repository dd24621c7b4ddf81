package guest

import (
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// goRoots are where stacks of Go programs begin.
var goRoots = []string{"runtime.goexit", "runtime.mstart", "runtime.mcall", "runtime.morestack", "gogo", "runtime.rt0_go"}

// root stands for any of goRoots at a stack's outer end.
const root = "root"

// inOrder says whether names are on a stack in this order, innermost first; others
// may lie between.
func inOrder(stack []string, names ...string) bool {
	for _, name := range stack {
		if len(names) > 0 && name == names[0] {
			names = names[1:]
		}
	}
	return len(names) == 0 || names[0] == root && len(names) == 1 && slices.Contains(goRoots, stack[len(stack)-1])
}

// whole fails unless nearly all of the samples with a name on them have a chain of
// callers, and there are some.
func whole(t *testing.T, p *agent.Profile, name string, chain ...string) {
	t.Helper()
	var in, by int64
	for _, s := range p.Profile.Sample {
		names := functions(s)
		if at := slices.Index(names, name); at >= 0 {
			in += s.Value[0]
			if inOrder(names[at:], chain...) {
				by += s.Value[0]
			}
		}
	}
	t.Logf("%d samples with %s, %d of them with %v", in, name, by, chain)
	if in < 5 || float64(by) < 0.98*float64(in) {
		t.Errorf("%d samples with %s, %d of them with %v", in, name, by, chain)
		logStacks(t, having(p, func(names []string) bool { return slices.Contains(names, name) }))
	}
}

func having(p *agent.Profile, has func(names []string) bool) *agent.Profile {
	part := *p
	part.Profile = p.Profile.Copy()
	part.Profile.Sample = slices.DeleteFunc(part.Profile.Sample, func(s *profile.Sample) bool { return !has(functions(s)) })
	return &part
}

// uncut checks that nearly all stacks of a profile are whole.
func uncut(t *testing.T, p *agent.Profile) {
	t.Helper()
	isCut := func(names []string) bool { return strings.HasPrefix(names[len(names)-1], "[truncated: ") }
	c := share(p, isCut)
	if c <= 0.01 {
		return
	}
	t.Errorf("a share of %.3f is cut", c)
	logStacks(t, having(p, isCut))
}

// Go's runtime goes from stack to stack.
func TestGoStacks(t *testing.T) {
	program := workloads.Build(t, "go/shapes", "-ldflags=-s -w")
	for _, shape := range []string{"leaf", "garbage", "growing", "signals", "clocks"} {
		t.Run(shape, func(t *testing.T) {
			prof := warm(t, 5*time.Second, program, shape, "60")
			uncut(t, prof)
			switch shape {
			case "leaf":
				whole(t, prof, "main.leaf", "main.leaf", "main.callsLeaf", "main.leaves", "main.main", "runtime.main", "runtime.goexit")
			case "growing":
				whole(t, prof, "runtime.copystack", "runtime.copystack", "runtime.newstack", "runtime.morestack", "runtime.goexit")
			case "garbage":
				whole(t, prof, "main.grow", "main.grow", "main.garbage.func1", "runtime.goexit")
			case "signals":
				whole(t, prof, "runtime.sigtrampgo", "runtime.sigtrampgo", "runtime.sigtramp", root)
			case "clocks":
				whole(t, prof, "main.clocks", "main.clocks", "main.main", "runtime.main", "runtime.goexit")
				whole(t, prof, "time.now", "time.now", "main.clocks", "main.main", "runtime.main", "runtime.goexit")
			}
		})
	}
}

// The vDSO, which the kernel brings, and signal handlers.
func TestCStacks(t *testing.T) {
	program := workloads.Build(t, "c/stacks.c")
	for shape, chain := range map[string][]string{
		"clocks":      {"__kernel_clock_gettime", "clocks", "main"},
		"interrupted": {"in_handler", "interrupted", "main"},
	} {
		t.Run(shape, func(t *testing.T) {
			prof := warm(t, 4*time.Second, program, shape, "60")
			uncut(t, prof)
			if runtime.GOARCH == "amd64" && shape == "clocks" {
				chain[0] = "__vdso_clock_gettime"
			}
			whole(t, prof, chain[0], chain...)
		})
	}
}

// Go calls C, which calls Go.
func TestCgoStacks(t *testing.T) {
	prof := warm(t, 5*time.Second, workloads.Build(t, "go/cgo"), "60")
	uncut(t, prof)
	hash := regexp.MustCompile(`_[0-9a-f]{12}_`)
	for _, f := range prof.Profile.Function {
		f.Name = hash.ReplaceAllString(f.Name, "_")
	}
	toC := []string{"middle", "outer", "_cgo_Cfunc_outer", "runtime.asmcgocall", "runtime.cgocall", "main._Cfunc_outer"}
	toGo := []string{"main.backToGo", "_cgoexp_backToGo", "runtime.cgocallbackg1", "runtime.cgocallbackg", "runtime.cgocallback", "crosscall2", "backToGo"}
	base := []string{"main.cross", "main.main.func2", "runtime.goexit"}
	whole(t, prof, "middle", slices.Concat(toC, base)...)
	whole(t, prof, "main.work", slices.Concat([]string{"main.work"}, toGo, toC, toGo, toC, base)...)
}

// warm profiles a program for a while, once its unwind tables are loaded: the first
// samples are walked over copies of stacks.
func warm(t *testing.T, d time.Duration, path string, args ...string) *agent.Profile {
	t.Helper()
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	p, err := agent.New(agent.Config{Target: agent.Target{PIDs: []int{cmd.Process.Pid}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	if _, err := p.Cut(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return prof
}
