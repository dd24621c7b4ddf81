package agent

import (
	"bytes"
	"encoding/json"
	"math"
	"os/exec"
	"slices"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// profileProcess runs a program, profiles it for a while in the middle of its
// life, and returns the profile and what the program printed.
func profileProcess(t *testing.T, cfg Config, d time.Duration, path string, args ...string) (*Profile, []byte) {
	t.Helper()
	cmd := exec.Command(path, args...)
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	cfg.Target.PIDs = []int{cmd.Process.Pid}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(d)
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if err := prof.Profile.CheckValid(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	return prof, out.Bytes()
}

// functions returns the names on a stack, innermost first, inlined calls
// included.
func functions(s *profile.Sample) (names []string) {
	for _, l := range s.Location {
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
		if len(l.Line) == 0 {
			names = append(names, "?")
		}
	}
	return names
}

// share is the part of the samples whose stack fulfils a condition.
func share(p *Profile, has func(names []string) bool) float64 {
	var part, all int64
	for _, s := range p.Profile.Sample {
		all += s.Value[0]
		if has(functions(s)) {
			part += s.Value[0]
		}
	}
	return float64(part) / float64(all)
}

// TestTruthC compares shares with what the program measured of itself.
func TestTruthC(t *testing.T) {
	program := workloads.Build(t, "c/split.c")
	prof, out := profileProcess(t, Config{Frequency: 999}, 10*time.Second, program, "10.5")
	var own map[string]float64
	if err := json.Unmarshal(out, &own); err != nil {
		t.Fatalf("%v: %q", err, out)
	}
	for _, name := range []string{"sixty", "thirty", "ten"} {
		got := share(prof, func(names []string) bool { return slices.Contains(names, name) })
		t.Logf("%s: %.4f in the profile, %.4f by its own clock", name, got, own[name])
		if math.Abs(got-own[name]) > 0.02 {
			t.Errorf("%s: %.3f in the profile, %.3f by its own clock", name, got, own[name])
		}
	}
	if got := share(prof, func(names []string) bool { return slices.Contains(names, "main") }); got < 0.98 {
		t.Errorf("main is on %.3f of the stacks", got)
	}
	t.Logf("%+v", prof.Summary)
	if prof.Summary.Samples < 5000 {
		t.Errorf("%d samples of 10 s at 999 Hz", prof.Summary.Samples)
	}
}

// TestTruthGo looks for a known chain of calls in a stripped program.
func TestTruthGo(t *testing.T) {
	program := workloads.Build(t, "go/chain", "-ldflags=-s -w")
	if out, err := exec.Command("strip", "--strip-all", program).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v: %s", err, out)
	}
	prof, _ := profileProcess(t, Config{Frequency: 999}, 3*time.Second, program, "4")
	chain := []string{"main.gamma", "main.beta", "main.alpha", "main.main", "runtime.main", "runtime.goexit"}
	of := func(names []string) bool { return slices.Contains(names, "main.gamma") }
	whole := share(prof, func(names []string) bool {
		i := slices.Index(names, "main.gamma")
		return i >= 0 && slices.Equal(names[i:], chain)
	}) / share(prof, of)
	inlined := share(prof, func(names []string) bool {
		return len(names) > 1 && names[0] == "main.delta" && names[1] == "main.gamma"
	})
	t.Logf("of the samples in gamma %.4f have the whole chain; %.4f of all are in delta, inlined; %+v", whole, inlined, prof.Summary)
	if whole < 0.995 {
		for _, s := range prof.Profile.Sample {
			t.Log(s.Value[0], functions(s))
		}
		t.Errorf("the chain is whole in %.3f of the samples in gamma", whole)
	}
	if inlined < 0.5 {
		t.Errorf("inlined delta has a share of %.3f", inlined)
	}
	if got := share(prof, of); !(got >= 0.95) { // without samples it is not a number
		t.Errorf("gamma is on %.3f of the stacks", got)
	}
}

// startWorkload runs a program until the function it returns is called.
func startWorkload(t *testing.T, path string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() { cmd.Process.Kill(); cmd.Wait() }
}
