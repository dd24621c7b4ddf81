package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// Programs that live for a moment, begin as something else or have no file any
// more are walked and named from their first sample to their last, without
// frame pointers.
func TestFirstSamples(t *testing.T) {
	stacks := workloads.Build(t, "c/stacks.c", noFramePointers)
	deleted := copyFile(t, stacks, filepath.Join(publicDir(t), "deleted"))
	for _, test := range []struct {
		name  string
		args  []string
		chain []string
		least float64 // share of the chain; the rest is the start of programs
	}{
		{"short lives", []string{"/bin/sh", "-c", `while :; do "$0" sorted 0.03; done`, stacks}, []string{"spin", "compare", "qsort_r", "sorted", "main", "_start"}, 0.6},
		{"exec in place", []string{stacks, "replaced", "0.2"}, []string{"spin", "variable", "main", "_start"}, 0.2},
		{"fork", []string{stacks, "forked", "60"}, []string{"spin", "compare", "qsort_r", "sorted", "forked", "main", "_start"}, 0.6},
		{"vfork and exec", []string{stacks, "children", "60"}, []string{"spin", "variable", "main", "_start"}, 0.2},
		{"deleted", []string{deleted, "variable", "60"}, []string{"spin", "variable", "main", "_start"}, 0.9},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command(test.args[0], test.args[1:]...)
			release := startStopped(t, cmd)
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			if test.name == "deleted" {
				if err := os.Remove(deleted); err != nil {
					t.Fatal(err)
				}
			}
			prof := recordFirst(t, cmd.Process.Pid, release)
			n := checkComplete(t, prof, 0.995)
			got := share(prof, func(names []string) bool { return inOrder(names, test.chain...) })
			t.Logf("of %d samples, a share of %.3f has the chain", n, got)
			if got < test.least || n < 50 {
				t.Errorf("of %d samples, a share of %.3f has %v", n, got, test.chain)
				logStacks(t, prof, 10)
			}
			for _, s := range prof.Profile.Sample {
				if !slices.Contains(functions(s), "main") {
					continue // pieces of the C library, whose symbols have no size
				}
				for _, l := range s.Location {
					if m := l.Mapping; m != nil && slices.Contains([]string{"stacks", "deleted"}, filepath.Base(m.File)) && len(l.Line) == 0 {
						t.Errorf("%#x of the program has no name: %v", l.Address, functions(s))
					}
				}
			}
		})
	}
}

// recordFirst profiles a process and its children from their first instruction on
// until there are some samples, or no process any more.
func recordFirst(t *testing.T, pid int, release func()) *Profile {
	t.Helper()
	p, err := New(Config{Frequency: 999, Target: Target{PIDs: []int{pid}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	release()
	for patience := time.Now().Add(10 * time.Second); p.Status().Samples < 400 && time.Now().Before(patience); {
		time.Sleep(20 * time.Millisecond)
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(state), ") Z ") {
			break
		}
	}
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, prof)
	return prof
}
