package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// weight is how many samples of a profile have a frame of that name.
func weight(p *Profile, name string) (n int64) {
	for _, s := range p.Profile.Sample {
		if slices.Contains(functions(s), name) {
			n += s.Value[0]
		}
	}
	return n
}

// checkConserved fails when the profile's samples are not all that ran.
func checkConserved(t *testing.T, p *Profile) {
	t.Helper()
	var inProfile uint64
	for _, s := range p.Profile.Sample {
		inProfile += uint64(s.Value[0])
	}
	s := p.Summary
	if want := s.Entries - s.Filtered - s.Idle + s.Lost[bpf.LostNotSampled] + s.Lost[bpf.LostIdleNotSampled]; inProfile != want {
		t.Errorf("%d samples in the profile, %d expected: %+v", inProfile, want, s)
	}
}

// Each way to lose a sample is brought about, and must show as frames of the
// same weight as the counter.
func TestLosses(t *testing.T) {
	for _, test := range []struct {
		cause string
		cfg   Config
	}{
		{bpf.LostTableFull, Config{tableSize: 64}},
		{bpf.LostLogFull, Config{logWords: 256}},
	} {
		t.Run(test.cause, func(t *testing.T) {
			program := workloads.Build(t, "c/manystacks.c")
			cfg := test.cfg
			cfg.Frequency = 4999
			cfg.noEarlyRead = true
			prof, _ := profileProcess(t, cfg, time.Second, program, "1.5")
			lost := prof.Summary.Lost[test.cause]
			t.Logf("%+v", prof.Summary)
			if lost == 0 {
				t.Fatalf("nothing lost: %+v", prof.Summary)
			}
			if got := weight(prof, "[lost: "+test.cause+"]"); got != int64(lost) {
				t.Errorf("%d samples lost, %d in the profile", lost, got)
			}
			checkConserved(t, prof)
		})
	}
}

// With tables of the usual size, read as they fill up, the same load loses
// nothing.
func TestManyStacksLoseNothing(t *testing.T) {
	program := workloads.Build(t, "c/manystacks.c")
	prof, _ := profileProcess(t, Config{Frequency: 4999}, 3*time.Second, program, "3.5")
	for cause, n := range prof.Summary.Lost {
		if cause != bpf.LostNotSampled {
			t.Errorf("lost %d: %s", n, cause)
		}
	}
	if n := len(prof.Profile.Sample); n < 3000 {
		t.Errorf("only %d distinct stacks", n)
	}
	checkConserved(t, prof)
}

// Each way a user stack can be cut short.
func TestTruncations(t *testing.T) {
	for _, test := range []struct {
		cause, source string
		args          []string
		frames        int // at least, on a cut stack
	}{
		{"too deep", "c/deep.c", []string{"1000", "1.5"}, 512},
		{"stack unreadable", "c/badfp.c", []string{"1.5"}, 1},
	} {
		t.Run(test.cause, func(t *testing.T) {
			program := workloads.Build(t, test.source)
			prof, _ := profileProcess(t, Config{Frequency: 997}, time.Second, program, test.args...)
			marker := fmt.Sprintf("[truncated: %s]", test.cause)
			n := weight(prof, marker)
			t.Logf("%d of %+v", n, prof.Summary)
			if n < 100 || uint64(n) != prof.Summary.Truncated[test.cause] {
				t.Errorf("%d samples with %s, counted %d", n, marker, prof.Summary.Truncated[test.cause])
			}
			for _, s := range prof.Profile.Sample {
				names := functions(s)
				if i := slices.Index(names, marker); i >= 0 && (i != len(names)-1 || i < test.frames) {
					t.Fatalf("marker at %d of %d frames: %s", i, len(names), strings.Join(names[max(0, i-3):], " "))
				}
			}
			checkConserved(t, prof)
		})
	}
}

// A stack of just as many frames as fit is whole but for what lies below main.
func TestDeepStack(t *testing.T) {
	program := workloads.Build(t, "c/deep.c")
	prof, _ := profileProcess(t, Config{Frequency: 997}, time.Second, program, "500", "1.5")
	if got := share(prof, func(names []string) bool { return slices.Contains(names, "main") && len(names) > 500 }); got < 0.95 {
		t.Errorf("main is found below 500 frames in %.3f of the samples", got)
	}
}
