package agent

import (
	"fmt"
	"math"
	"os/exec"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf"
)

// load keeps all CPUs busy in user space and the kernel, starting processes as
// it goes, until the function it returns is called.
func load(t *testing.T) (stop func()) {
	t.Helper()
	const script = `while :; do
		i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done
		while read line; do :; done </proc/self/status
		/bin/true
	done`
	var started []*exec.Cmd
	stop = sync.OnceFunc(func() {
		for _, cmd := range started {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	t.Cleanup(stop)
	for range runtime.NumCPU() {
		cmd := exec.Command("/bin/sh", "-c", script)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		started = append(started, cmd)
	}
	return stop
}

// TestConservation checks that every run of the sampling program is a sample of
// the profile, by the kernel's own count of runs, and that every firing of the
// timer is a run or counted as not sampled, by perf's count of firings.
func TestConservation(t *testing.T) {
	for _, test := range []struct {
		hz       int
		duration time.Duration
	}{
		{99, 15 * time.Second}, // fewer samples than 2,000 could not show a share of 0.05 %
		{4999, 10 * time.Second},
	} {
		t.Run(fmt.Sprint(test.hz), func(t *testing.T) {
			stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
			if err != nil {
				t.Fatal(err)
			}
			defer stats.Close()
			defer load(t)()
			p, err := New(Config{Frequency: test.hz, Idle: true, timeIdle: true, Window: 200 * time.Millisecond})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			oracle := startTimerOracle(t)
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(test.duration)
			prof, err := p.Stop()
			if err != nil {
				t.Fatal(err)
			}
			fired, firedInit := oracle.stop(t)

			runs, perRun := p.sampler.Runs()
			s := prof.Summary
			var inProfile uint64
			for _, sample := range prof.Profile.Sample {
				inProfile += uint64(sample.Value[0])
			}
			// Some virtual machines' kernels keep their own PID 1 from BPF
			// altogether: then no program runs, not even the one that counts
			// firings, and only perf counts them.
			if samplesOf(prof, 1) == 0 {
				t.Logf("perf counted %d firings in PID 1, which this kernel hides from BPF", firedInit)
				fired -= firedInit
			}
			skipped := s.Lost[bpf.LostNotSampled]
			skippedIdle := s.Lost[bpf.LostIdleNotSampled]
			t.Logf("%d firings, %d runs of %v, %d entries, %d in the profile, lost %v, %d of them while the profiler ran, late %d, %d windows",
				fired, runs, perRun, s.Entries, inProfile, s.Lost, s.SkippedOwn, s.Late, p.windows)
			if p.windows < 20 {
				t.Errorf("only %d generation swaps", p.windows)
			}
			if s.Entries != runs || inProfile != runs+skipped+skippedIdle {
				t.Errorf("%d runs, %d entries, %d samples in the profile of which %d not sampled", runs, s.Entries, inProfile, skipped)
			}
			if diff := math.Abs(float64(fired) - float64(runs+skipped+skippedIdle)); diff > 0.001*float64(fired) {
				t.Errorf("perf counted %d firings, we %d runs and %d + %d skipped", fired, runs, skipped, skippedIdle)
			}
			// The kernel skips samples of others too, which is not our doing.
			if float64(s.SkippedOwn) > 0.0005*float64(fired) {
				t.Errorf("%d of %d samples skipped while the profiler ran", s.SkippedOwn, fired)
			}
			if s.SkippedOwn > skipped {
				t.Errorf("%d samples skipped, %d of them while the profiler ran", skipped, s.SkippedOwn)
			}
			if runs < uint64(float64(test.hz)*test.duration.Seconds()) {
				t.Errorf("%d runs in %v at %d Hz", runs, test.duration, test.hz)
			}
		})
	}
}

func samplesOf(p *Profile, pid int64) (n int64) {
	for _, s := range p.Profile.Sample {
		if v := s.NumLabel["pid"]; len(v) == 1 && v[0] == pid {
			n += s.Value[0]
		}
	}
	return n
}
