package agent

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// goRoots are where stacks of Go programs begin: goroutines, threads that look
// for one, those that have just given up one, and the first instructions.
var goRoots = []string{"runtime.goexit", "runtime.mstart", "runtime.mcall", "runtime.morestack", "gogo", "runtime.rt0_go", "_rt0_amd64_linux", "_rt0_arm64_linux"}

// A stripped Go program is walked by its own tables: functions without a frame,
// and from the scheduler's stacks and signal handlers to the goroutine's.
func TestStacksGo(t *testing.T) {
	program := workloads.Build(t, "go/shapes", "-ldflags=-s -w")
	if out, err := exec.Command("strip", "--strip-all", program).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v: %s", err, out)
	}
	shapes := []string{"leaf", "garbage", "signals"}
	pids := make([]int, len(shapes))
	for i, s := range shapes {
		p := run(t, program, s, "60")
		pids[i] = p.pid()
	}
	prof := recordWarm(t, 1999, pids, 4000)
	for i, s := range shapes {
		t.Run(s, func(t *testing.T) {
			p := userOnly(ofPIDs(prof, pids[i]))
			checkComplete(t, p, 0.995)
			rooted := share(p, func(names []string) bool { return slices.Contains(goRoots, outermost(names)) })
			crossed := func(through string) (n, whole int64) {
				for _, sample := range p.Profile.Sample {
					if names := functions(sample); slices.Contains(names, through) {
						n += sample.Value[0]
						if slices.Contains(goRoots, outermost(names)) {
							whole += sample.Value[0]
						}
					}
				}
				return n, whole
			}
			switch s {
			case "leaf":
				checkLeaf(t, p)
			case "garbage":
				for _, through := range []string{"runtime.systemstack", "runtime.copystack"} {
					n, whole := crossed(through)
					t.Logf("%d samples with %s, %d of them from a root", n, through, whole)
					if n < 3 || float64(whole) < 0.99*float64(n) {
						t.Errorf("%d samples with %s, %d of them from a root", n, through, whole)
					}
				}
				// Stacks are copied for goroutines that go on.
				grown := userOnly(p)
				grown.Profile.Sample = slices.DeleteFunc(grown.Profile.Sample, func(s *profile.Sample) bool {
					return !slices.Contains(functions(s), "runtime.copystack")
				})
				if got := share(grown, func(names []string) bool { return inOrder(names, "runtime.morestack", "main.deep", "runtime.goexit") }); got < 0.3 {
					t.Errorf("of the copied stacks a share of %.3f is of main.deep", got)
					logStacks(t, grown, 10)
				}
			case "signals":
				const through = "runtime.sigtramp"
				n, whole := crossed(through)
				t.Logf("%d samples with %s, %d of them from a root", n, through, whole)
				if n < 30 || float64(whole) < 0.99*float64(n) {
					t.Errorf("%d samples with %s, %d of them from a root", n, through, whole)
				}
			}
			if rooted < 0.995 {
				t.Errorf("a share of %.4f begins at a root", rooted)
				p.Profile.Sample = slices.DeleteFunc(p.Profile.Sample, func(s *profile.Sample) bool {
					return slices.Contains(goRoots, outermost(functions(s)))
				})
				logStacks(t, p, 20)
			}
		})
	}
}

// checkLeaf fails unless the samples in a function without a frame have its whole
// chain of callers.
func checkLeaf(t *testing.T, p *Profile) {
	t.Helper()
	chain := []string{"main.leaf", "main.callsLeaf", "main.leaves", "main.main", "runtime.main", "runtime.goexit"}
	var in, by int64
	for _, sample := range p.Profile.Sample {
		names := functions(sample)
		if at := slices.Index(names, "main.leaf"); at >= 0 {
			in += sample.Value[0]
			if slices.Equal(names[at:], chain) {
				by += sample.Value[0]
			}
		}
	}
	t.Logf("%d samples in leaf, %d with its callers", in, by)
	if in < 100 || float64(by) < 0.995*float64(in) {
		t.Errorf("%d samples in leaf, %d with its callers", in, by)
		logStacks(t, p, 10)
	}
}

// userOnly keeps the samples that have a user part.
func userOnly(p *Profile) *Profile {
	part := *p
	part.Profile = p.Profile.Copy()
	part.Profile.Sample = slices.DeleteFunc(part.Profile.Sample, func(s *profile.Sample) bool {
		last := s.Location[len(s.Location)-1]
		return p.Side.Kinds.Of(last.ID) == staccato.KindKernel || strings.HasPrefix(functions(s)[0], "[lost: ")
	})
	return &part
}

// The first samples of a Go program are copies of stacks: the thread's, and the
// goroutine's if that is another.
func TestFirstSamplesGo(t *testing.T) {
	program := workloads.Build(t, "go/shapes", "-ldflags=-s -w")
	// Stacks deeper than the copy, and those that grow, are not whole. Signals
	// interrupt the runtime's own code too: that is a third stack, which
	// is not copied.
	for shape, least := range map[string]float64{"leaf": 0.995, "garbage": 0.95, "signals": 0.98} {
		t.Run(shape, func(t *testing.T) {
			cmd := exec.Command("/bin/sh", "-c", `while :; do "$0" "$1" 0.1; done`, program, shape)
			release := startStopped(t, cmd)
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			prof := userOnly(recordFirst(t, cmd.Process.Pid, release))
			prof.Profile.Sample = slices.DeleteFunc(prof.Profile.Sample, func(s *profile.Sample) bool {
				return !slices.Equal(s.Label["comm"], []string{"shapes"})
			})
			whole := checkComplete(t, prof, least)
			t.Logf("%d samples are whole", whole)
			if shape == "leaf" {
				checkLeaf(t, prof)
				return
			}
			var n, other int64
			for _, s := range prof.Profile.Sample {
				n += s.Value[0]
				if names := functions(s); slices.Contains(names, "runtime.systemstack") || slices.Contains(names, "runtime.sigtramp") {
					other += s.Value[0]
				}
			}
			t.Logf("%d samples, %d of them on two stacks", n, other)
			if n < 100 || other < n/20 {
				t.Errorf("%d samples, %d of them on two stacks", n, other)
			}
		})
	}
}
