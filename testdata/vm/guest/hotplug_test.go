package guest

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

func plug(t *testing.T, cpu int, online string) {
	t.Helper()
	if err := os.WriteFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/online", cpu), []byte(online), 0); err != nil {
		t.Fatal(err)
	}
}

// runOn runs a program on one CPU, from its first instruction, for 2 s.
func runOn(t *testing.T, cpu int, path string, args ...string) (pid int64) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var old, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		t.Fatal(err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	err := cmd.Start()
	if err := unix.SchedSetaffinity(0, &old); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	cmd.Process.Kill()
	cmd.Wait()
	return int64(cmd.Process.Pid)
}

// CPUs that come and go are followed, and nothing is counted twice or lost. The
// machine starts with two of its three.
func TestHotPlug(t *testing.T) {
	program := workloads.Build(t, "c/split.c")
	t.Cleanup(func() { plug(t, 1, "1"); plug(t, 2, "0") })
	ran := make(map[string]int64) // PID by what had happened
	prof := sample(t, agent.Config{Window: time.Second}, func(p *agent.Profiler) {
		wait := func(cpus int) {
			t.Helper()
			start := time.Now()
			for p.CPUs() != cpus {
				if time.Since(start) > 5*time.Second {
					t.Fatalf("%d CPUs are sampled, want %d", p.CPUs(), cpus)
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Logf("%d CPUs after %v", cpus, time.Since(start).Round(time.Millisecond))
		}
		wait(2)
		plug(t, 2, "1")
		wait(3)
		ran["2 came"] = runOn(t, 2, program, "60")
		plug(t, 1, "0")
		wait(2)
		ran["1 went before 2"] = runOn(t, 2, program, "60")
		plug(t, 1, "1")
		wait(3)
		ran["1 came back"] = runOn(t, 1, program, "60")
		plug(t, 1, "0")
		plug(t, 1, "1")
		time.Sleep(5 * time.Second) // nothing shows when it is noticed, and machines are slow
		ran["1 was away for a moment"] = runOn(t, 1, program, "60")
	})
	for what, pid := range ran {
		var all, named int64
		for _, s := range prof.Profile.Sample {
			if slices.Equal(s.NumLabel["pid"], []int64{pid}) {
				all += s.Value[0]
				if slices.Contains(functions(s), "main") {
					named += s.Value[0]
				}
			}
		}
		t.Logf("%s: %d samples, %d with main", what, all, named)
		if all < 50 || named < all/2 {
			t.Errorf("CPU %s: %d samples in 2 s, %d of them have main on their stack", what, all, named)
		}
	}
}
