package agent

import (
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// TestSpeed samples all CPUs as fast as a profiler may be asked to: every run
// is stored, what could not run is counted, and a run is short.
func TestSpeed(t *testing.T) {
	const hz, seconds = 9999, 30
	split, stacks := workloads.Build(t, "c/split.c"), workloads.Build(t, "c/manystacks.c")
	for i := range runtime.NumCPU() {
		cmd := exec.Command([]string{split, stacks}[i%2], "60")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	p, err := New(Config{Frequency: hz})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(seconds * time.Second)
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	runs, each := p.sampler.Runs()
	s := prof.Summary
	t.Logf("%d runs of %v, achieved %.0f Hz, lost %v, late %d, %d stacks, profiler %v, %d windows",
		runs, each, s.Achieved, s.Lost, s.Late, len(prof.Profile.Sample), s.ProfilerCPU, p.windows)
	for cause, n := range s.Lost {
		if cause != bpf.LostNotSampled {
			t.Errorf("lost %d: %s", n, cause)
		}
	}
	if s.Entries != runs {
		t.Errorf("%d runs, %d entries", runs, s.Entries)
	}
	checkConserved(t, prof)
	// By frame pointers it would be 2 µs; unwind tables may cost 1.5 more.
	if each > 3500*time.Nanosecond {
		t.Errorf("a run takes %v", each)
	}
	if runs < hz*seconds*uint64(runtime.NumCPU())/2 {
		t.Errorf("%d runs in %d s", runs, seconds)
	}
}
