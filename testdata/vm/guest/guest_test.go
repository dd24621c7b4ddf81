package guest

import (
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/without"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// record profiles a program for a while.
func record(t *testing.T, cfg agent.Config, d time.Duration, path string, args ...string) *agent.Profile {
	t.Helper()
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	cfg.Target.PIDs = []int{cmd.Process.Pid}
	return sample(t, cfg, func(*agent.Profiler) { time.Sleep(d) })
}

// sample profiles while a function runs, and checks that every run of the
// sampling program is accounted for.
func sample(t *testing.T, cfg agent.Config, while func(*agent.Profiler)) *agent.Profile {
	t.Helper()
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	p, err := agent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	while(p)
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if err := prof.Profile.CheckValid(); err != nil {
		t.Fatal(err)
	}
	s := prof.Summary
	t.Logf("%+v", s)
	runs := kernelRuns(t)
	var inProfile uint64
	for _, sample := range prof.Profile.Sample {
		inProfile += uint64(sample.Value[0])
	}
	skipped := s.Lost[bpf.LostNotSampled] + s.Lost[bpf.LostIdleNotSampled]
	if s.Entries != runs {
		t.Errorf("the kernel ran the program %d times, we counted %d", runs, s.Entries)
	}
	if inProfile+s.Filtered+s.Idle != runs+skipped {
		t.Errorf("%d runs and %d that did not come: %d are in the profile, %d belonged to others, %d were idle",
			runs, skipped, inProfile, s.Filtered, s.Idle)
	}
	if s.Samples < 20 {
		t.Errorf("%d samples", s.Samples)
	}
	return prof
}

// kernelRuns asks the kernel how often it ran the sampling program, that of
// the newest sampler.
func kernelRuns(t *testing.T) (runs uint64) {
	t.Helper()
	for id := ebpf.ProgramID(0); ; {
		next, err := ebpf.ProgramGetNextID(id)
		if errors.Is(err, os.ErrNotExist) {
			return runs
		}
		if err != nil {
			t.Fatal(err)
		}
		id = next
		p, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			t.Fatal(err)
		}
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Name == "sample_cpu" {
			stats, err := p.Stats()
			if err != nil {
				t.Fatal(err)
			}
			runs = stats.RunCount
		}
		p.Close()
	}
}

func functions(s *profile.Sample) (names []string) {
	for _, l := range s.Location {
		for _, line := range l.Line {
			names = append(names, line.Function.Name)
		}
	}
	return names
}

// share is the part of the samples taken whose stack fulfils a condition.
func share(p *agent.Profile, has func(names []string) bool) float64 {
	var part int64
	for _, s := range p.Profile.Sample {
		if has(functions(s)) {
			part += s.Value[0]
		}
	}
	return float64(part) / float64(p.Summary.Samples)
}

// logStacks shows the most frequent stacks, their innermost frames and their end, for
// when a test fails.
func logStacks(t *testing.T, p *agent.Profile) {
	t.Helper()
	samples := slices.SortedFunc(slices.Values(p.Profile.Sample), func(a, b *profile.Sample) int {
		return cmp.Compare(b.Value[0], a.Value[0])
	})
	for _, s := range samples[:min(len(samples), 10)] {
		names := functions(s)
		last := names[len(names)-1]
		t.Logf("%5d %s … %s", s.Value[0], strings.Join(names[:min(len(names), 12)], " "), last)
	}
}

func TestC(t *testing.T) {
	prof := record(t, agent.Config{}, 4*time.Second, workloads.Build(t, "c/split.c"), "60")
	main := share(prof, func(names []string) bool { return slices.Contains(names, "main") })
	worker := share(prof, func(names []string) bool {
		i := slices.IndexFunc(names, func(n string) bool { return n == "sixty" || n == "thirty" || n == "ten" })
		return i >= 0 && slices.Contains(names[i:], "main")
	})
	t.Logf("main is on %.3f of the stacks, above one of its functions on %.3f", main, worker)
	// Without hardware help, the clock that the program asks takes its share.
	if main < 0.95 || worker < 0.5 {
		t.Errorf("main is on %.3f of the stacks, above one of its functions on %.3f", main, worker)
		logStacks(t, prof)
	}
}

func TestGo(t *testing.T) {
	prof := record(t, agent.Config{}, 4*time.Second, workloads.Build(t, "go/chain", "-ldflags=-s -w"), "60")
	chain := []string{"main.gamma", "main.beta", "main.alpha", "main.main", "runtime.main", "runtime.goexit"}
	gamma := share(prof, func(names []string) bool { return slices.Contains(names, "main.gamma") })
	whole := share(prof, func(names []string) bool {
		i := slices.Index(names, "main.gamma")
		return i >= 0 && slices.Equal(names[i:], chain)
	})
	t.Logf("gamma is on %.3f of the stacks, with the whole chain on %.3f", gamma, whole)
	// Without hardware help, Go's runtime takes its share.
	if gamma < 0.5 || whole < 0.95*gamma {
		t.Errorf("gamma is on %.3f of the stacks, with the whole chain on %.3f", gamma, whole)
		logStacks(t, prof)
	}
}

// Stacks that cannot be walked to their end say so, and why.
func TestTruncations(t *testing.T) {
	tests := []struct {
		causes []string
		source string
		args   []string
		frames int // at least, on a cut stack
	}{{[]string{"too deep"}, "c/deep.c", []string{"1000", "60"}, 512}}
	if runtime.GOARCH == "amd64" {
		// The first samples are walked in user space, where the reason is
		// another. On arm64 the program's rules do without a frame pointer.
		tests = append(tests, tests[0])
		tests[1].causes = []string{"stack unreadable", "stack copied in part"}
		tests[1].source, tests[1].args, tests[1].frames = "c/badfp.c", []string{"60"}, 1
	}
	for _, test := range tests {
		t.Run(test.causes[0], func(t *testing.T) {
			prof := record(t, agent.Config{}, 2*time.Second, workloads.Build(t, test.source), test.args...)
			var cut, counted float64
			for _, cause := range test.causes {
				marker := "[truncated: " + cause + "]"
				cut += share(prof, func(names []string) bool {
					return len(names) > test.frames && names[len(names)-1] == marker
				})
				counted += float64(prof.Summary.Truncated[cause]) / float64(prof.Summary.Samples)
			}
			if cut < 0.9 || math.Abs(cut-counted) > 1e-9 {
				t.Errorf("%.3f of the stacks end in %s, counted %.3f", cut, test.causes, counted)
				logStacks(t, prof)
			}
		})
	}
}

// A stack of just as many frames as fit is whole but for what lies below main.
func TestDeepStack(t *testing.T) {
	prof := record(t, agent.Config{}, 2*time.Second, workloads.Build(t, "c/deep.c"), "500", "60")
	whole := share(prof, func(names []string) bool { return slices.Contains(names, "main") && len(names) > 500 })
	if whole < 0.9 {
		t.Errorf("main is below 500 frames on %.3f of the stacks", whole)
		logStacks(t, prof)
	}
}

// The build ID in the profile is the one that the compiler wrote.
func TestBuildIDs(t *testing.T) {
	path := workloads.Build(t, "c/split.c")
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	note, err := f.Section(".note.gnu.build-id").Data()
	if err != nil {
		t.Fatal(err)
	}
	want := hex.EncodeToString(note[16:])
	prof := record(t, agent.Config{}, 2*time.Second, path, "60")
	i := slices.IndexFunc(prof.Profile.Mapping, func(m *profile.Mapping) bool { return m.File == path })
	if i < 0 || prof.Profile.Mapping[i].BuildID != want {
		t.Errorf("%s has build ID %s; mappings %+v", path, want, prof.Profile.Mapping)
	}
}

// Kernel frames are named.
func TestKernelFrames(t *testing.T) {
	prof := record(t, agent.Config{}, 3*time.Second, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=16777216")
	call := share(prof, func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "ksys_") || strings.HasPrefix(n, "vfs_") })
	})
	if call < 0.3 {
		t.Errorf("system calls are on %.3f of the stacks of dd", call)
		logStacks(t, prof)
	}
}

// TestFeatures has attributes for the table.
func TestFeatures(t *testing.T) {
	r, err := agent.Examine()
	if err != nil {
		t.Fatal(err)
	}
	yes := map[bool]string{true: "yes", false: "no"}
	for _, f := range r.Features {
		name := f.Name
		if f.Since != "" {
			name += " (" + f.Since + ")"
		}
		t.Attr("feature", name+" = "+yes[f.Have])
	}
	for _, p := range r.Programs {
		if p.Err != nil {
			t.Errorf("%s: %v", p.Name, p.Err)
		}
		t.Attr("instructions-verified", p.Object+"/"+p.Name+" = "+strconv.Itoa(p.Instructions))
	}
	for _, f := range r.Findings {
		t.Logf("%+v", f)
	}
}

func staccato(args ...string) (code int, stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/staccato", args...)
	var out, bad bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &bad
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return cmd.ProcessState.ExitCode(), out.String(), bad.String(), err
}

// A user of a kernel that is too old is told so in a line, and by doctor.
func TestRefusal(t *testing.T) {
	if os.Getenv("STACCATO_VM_REFUSED") == "" {
		t.Skip("this kernel is supported")
	}
	var lacks *bpf.UnsupportedError
	if _, err := agent.New(agent.Config{}); !errors.As(err, &lacks) {
		t.Fatalf("%T %v", err, err)
	}
	t.Log(lacks)
	for _, args := range [][]string{{"record", "-a", "-d", "1s", "-o", "/tmp/refused.pb.gz"}, {"doctor"}} {
		code, stdout, stderr, err := staccato(args...)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("staccato %s: %d\n%s%s", args[0], code, stdout, stderr)
		if text := stdout + stderr; code != 1 || !strings.Contains(text, "5.15") || strings.Contains(text, "verifier") || strings.Count(text, "\n") > 60 {
			t.Errorf("staccato %s: exit code %d, want 1 and a short text that says 5.15", args[0], code)
		}
	}
	if _, err := os.Stat("/tmp/refused.pb.gz"); err == nil {
		t.Error("a file is left behind")
	}
}

// The command as a user types it.
func TestCommand(t *testing.T) {
	const file = "/tmp/command.pb.gz"
	code, stdout, stderr, err := staccato("record", "-o", file, "--", workloads.Build(t, "c/split.c"), "4")
	t.Logf("%d\n%s%s", code, stdout, stderr)
	if err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := profile.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	var named bool
	for _, fn := range p.Function {
		named = named || fn.Name == "sixty"
	}
	if !named {
		t.Error("no function sixty in the profile")
	}
	if code, stdout, stderr, err := staccato("doctor"); err != nil || code != 0 {
		t.Errorf("doctor: %d %v\n%s%s", code, err, stdout, stderr)
	}
}

// haveCycles says whether samples come from a hardware counter.
func haveCycles(t *testing.T) bool {
	t.Helper()
	r, err := agent.Examine()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Features {
		if f.Name == "hardware counter of CPU cycles" {
			return f.Have
		}
	}
	t.Fatal("no word on a hardware counter")
	return false
}

// With a hardware counter, what was not sampled is estimated, and the event
// may be throttled: here, because the limit is lowered under it.
func TestThrottled(t *testing.T) {
	if without.Set(without.Cycles) || !haveCycles(t) {
		t.Skip("no hardware counter")
	}
	const path = "/proc/sys/kernel/perf_event_max_sample_rate"
	limit := func(n string) {
		if err := os.WriteFile(path, []byte(n), 0); err != nil {
			t.Error(err)
		}
	}
	limit("100000") // the kernel may have lowered it already
	defer limit("100000")
	lowered := time.AfterFunc(500*time.Millisecond, func() { limit("100") })
	defer lowered.Stop()
	prof := record(t, agent.Config{Frequency: 999}, 4*time.Second, workloads.Build(t, "c/split.c"), "60")
	s := prof.Summary
	if s.Estimated == "" {
		t.Error("what was not sampled is said to be counted")
	}
	// Of 2 CPUs' 4 s, at least those of one were busy.
	lost, second := s.Lost[bpf.LostNotSampled], uint64(s.Frequency)
	if due := s.Entries - s.Idle + lost; lost < second/2 || due < 5*second/2 || due > 9*second {
		t.Errorf("%d samples of %d to %d that were due, and %d not sampled", s.Samples, 4*second, 8*second, lost)
	}
}
