package agent

import (
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/bpf/without"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// noFramePointers makes the compilers' usual code.
const noFramePointers = "-fomit-frame-pointer"

// inOrder says whether names are on a stack in this order, innermost first;
// others may lie between.
func inOrder(stack []string, names ...string) bool {
	for _, name := range stack {
		if len(names) > 0 && name == names[0] {
			names = names[1:]
		}
	}
	return len(names) == 0
}

// outermost is the name of the outermost frame.
func outermost(stack []string) string { return stack[len(stack)-1] }

// truncated says whether a stack is not whole.
func truncated(stack []string) bool { return strings.HasPrefix(outermost(stack), "[truncated: ") }

// checkComplete fails unless all but a small part of the samples with a user
// part have a whole stack. It returns how many have one.
func checkComplete(t *testing.T, p *Profile, least float64) (samples int64) {
	t.Helper()
	var cut int64
	examples := map[string]int64{}
	for _, s := range p.Profile.Sample {
		names := functions(s)
		if strings.HasPrefix(names[0], "[lost: ") {
			continue
		}
		samples += s.Value[0]
		if truncated(names) {
			cut += s.Value[0]
			examples[strings.Join(names, " < ")] += s.Value[0]
		}
	}
	if samples == 0 || float64(cut) > (1-least)*float64(samples) {
		t.Errorf("of %d samples, %d have no whole stack", samples, cut)
		for stack, n := range examples {
			t.Logf("%d: %s", n, stack)
		}
	}
	return samples - cut
}

// logStacks logs the most frequent stacks.
func logStacks(t *testing.T, p *Profile, n int) {
	t.Helper()
	samples := slices.Clone(p.Profile.Sample)
	slices.SortFunc(samples, func(a, b *profile.Sample) int { return int(b.Value[0] - a.Value[0]) })
	for _, s := range samples[:min(n, len(samples))] {
		t.Logf("%d: %s", s.Value[0], strings.Join(functions(s), " < "))
	}
}

// shape is a program, and the names that its stacks have, innermost first.
type shape struct {
	name    string
	program string
	args    []string
	chain   []string
	least   float64 // share of the samples that have the chain
}

// Programs whose stacks are hard to walk are all walked to their start.
func TestStacks(t *testing.T) {
	flags := []string{noFramePointers}
	stacks := workloads.Build(t, "c/stacks.c", flags...)
	static := workloads.Build(t, "c/stacks.c", append(flags, "-static", "-Wno-error")...)
	staticPIE := workloads.Build(t, "c/stacks.c", append(flags, "-static-pie")...)
	plugin := workloads.Build(t, "c/plugin.c", append(flags, "-shared", "-fPIC", "-Wl,-z,lazy")...)
	throws := workloads.Build(t, "cpp/throws.cc", flags...)
	deep := workloads.Build(t, "c/deep.c", flags...)
	shapes := []shape{
		{"deep", deep, []string{"500", "60"}, []string{"bottom", "recurse", "recurse", "main", "_start"}, 0.99},
		{"sorted", stacks, []string{"sorted", "60"}, []string{"spin", "compare", "qsort_r", "sorted", "main", "__libc_start_main", "_start"}, 0.99},
		{"variable", stacks, []string{"variable", "60"}, []string{"spin", "variable", "main", "__libc_start_main", "_start"}, 0.99},
		{"realigned", stacks, []string{"realigned", "60"}, []string{"spin", "realigned", "main", "__libc_start_main", "_start"}, 0.99},
		{"interrupted", stacks, []string{"interrupted", "60"}, []string{"spin", "in_handler", "interrupted", "main", "__libc_start_main", "_start"}, 0.99},
		{"deepest", stacks, []string{"deepest", "60"}, []string{
			"frozen", "in_handler", "raise", "compare_deep", "qsort_r", "sorted_deep", "realigned", "deep", "variable", "deepest", "main", "_start"}, 0.99},
		{"clocks", stacks, []string{"clocks", "60"}, []string{"clocks", "main", "__libc_start_main", "_start"}, 0.99},
		{"plt", stacks, []string{"plt", "60", plugin}, []string{"often", "by_plt", "main", "_start"}, 0.95},
		{"reload", stacks, []string{"reload", "60", plugin}, []string{"reload", "main", "_start"}, 0.98},
		{"throws", throws, []string{"60"}, []string{"main", "_start"}, 0.98},
		{"static", static, []string{"interrupted", "60"}, []string{"spin", "in_handler", "interrupted", "main", "_start"}, 0.99},
		{"static and sorted", static, []string{"sorted", "60"}, []string{"spin", "compare", "sorted", "main", "_start"}, 0.99},
		{"static PIE", staticPIE, []string{"interrupted", "60"}, []string{"spin", "in_handler", "interrupted", "main", "_start"}, 0.99},
	}
	for _, test := range []struct {
		name    string
		without string
	}{{"all", ""}, {"without bpf_loop", without.Loop}} {
		t.Run(test.name, func(t *testing.T) {
			t.Setenv(without.Variable, test.without)
			pids := make([]int, len(shapes))
			for i, s := range shapes {
				p := run(t, s.program, s.args...)
				pids[i] = p.pid()
				defer p.Process.Kill()
			}
			prof := recordWarm(t, 999, pids, uint64(200*len(pids)))
			for i, s := range shapes {
				t.Run(s.name, func(t *testing.T) {
					of := ofPIDs(prof, pids[i])
					n := checkComplete(t, of, 0.99)
					got := share(of, func(names []string) bool { return inOrder(names, s.chain...) })
					t.Logf("of %d samples, a share of %.4f has the chain", n, got)
					if got < s.least || n < 50 {
						t.Errorf("of %d samples, a share of %.4f has %v", n, got, s.chain)
						logStacks(t, of, 10)
					}
				})
			}
		})
	}
}

// What is deeper than 512 frames is cut there, with and without bpf_loop.
func TestTooDeep(t *testing.T) {
	deep := workloads.Build(t, "c/deep.c", noFramePointers)
	for _, feature := range []string{"", without.Loop} {
		t.Run("without "+feature, func(t *testing.T) {
			t.Setenv(without.Variable, feature)
			p := run(t, deep, "600", "60")
			prof := recordWarm(t, 999, []int{p.pid()}, 200)
			n := 0
			for _, s := range ofPIDs(prof, p.pid()).Profile.Sample {
				frames := 0
				for _, l := range s.Location {
					if prof.Side.Kinds.Of(l.ID) == "native" {
						frames++
					}
				}
				if names := functions(s); frames != maxFrames || outermost(names) != "[truncated: too deep]" {
					t.Errorf("%d frames and %s", frames, outermost(names))
				}
				n += int(s.Value[0])
			}
			if n < 50 {
				t.Errorf("%d samples", n)
			}
		})
	}
}

// recordWarm profiles processes until there are some samples, from when on all
// of them have been sampled and their unwind tables loaded.
func recordWarm(t *testing.T, frequency int, pids []int, samples uint64) *Profile {
	t.Helper()
	p, err := New(Config{Frequency: frequency, Target: Target{PIDs: pids}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	copied := func() uint64 {
		p.totals.mu.Lock()
		defer p.totals.mu.Unlock()
		return p.totals.copied + p.totals.notCopied
	}
	patience := time.Now().Add(20 * time.Second)
	before, copying := uint64(0), true // in the last cut
	for seen := map[int]bool{}; len(seen) < len(pids) || copying; {
		if time.Now().After(patience) {
			t.Fatalf("of %d processes %d were sampled; copying is %t", len(pids), len(seen), copying)
		}
		time.Sleep(200 * time.Millisecond)
		prof, err := p.Cut()
		if err != nil {
			t.Fatal(err)
		}
		for pid := range byPID(prof) {
			if slices.Contains(pids, pid) {
				seen[pid] = true
			}
		}
		after := copied()
		before, copying = after, after > before
	}
	for before := p.Status().Samples; p.Status().Samples < before+samples && time.Now().Before(patience); {
		time.Sleep(50 * time.Millisecond)
	}
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	if err := prof.Profile.CheckValid(); err != nil {
		t.Fatal(err)
	}
	return prof
}

// Every frame of a stack that does not move is where eu-stack of elfutils finds
// it.
func TestStackAgainstElfutils(t *testing.T) {
	p := run(t, workloads.Build(t, "c/stacks.c", noFramePointers), "deepest", "60")
	prof := recordWarm(t, 999, []int{p.pid()}, 300)
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("eu-stack", "-p", fmt.Sprint(p.pid())).CombinedOutput()
	if err != nil {
		t.Fatalf("eu-stack (package elfutils): %v: %s", err, out)
	}
	var want []string
	isReturn := false // the innermost frame and those around a signal's were not called
	for line := range strings.Lines(string(out)) {
		var n int
		var address uint64
		var name string
		if _, err := fmt.Sscanf(line, "#%d 0x%x %s", &n, &address, &name); err == nil {
			if name == "__restore_rt" {
				isReturn = false
			}
			want = append(want, fileAddress(t, string(maps), address, isReturn))
			isReturn = name != "__restore_rt"
		}
	}
	if len(want) < 15 {
		t.Fatalf("eu-stack printed %s", out)
	}
	// The innermost frame moves within its loop.
	var equal, all int64
	for _, s := range ofPIDs(prof, p.pid()).Profile.Sample {
		all += s.Value[0]
		var got []string
		for _, l := range s.Location {
			if prof.Side.Kinds.Of(l.ID) == "native" {
				got = append(got, fmt.Sprintf("%s+%#x", filepath.Base(l.Mapping.File), l.Address))
			}
		}
		if len(got) == len(want) && slices.Equal(got[1:], want[1:]) {
			equal += s.Value[0]
		} else {
			t.Logf("%d samples have %v", s.Value[0], got)
		}
	}
	if equal < all || all < 100 {
		t.Errorf("%d of %d stacks are %v", equal, all, want)
		logStacks(t, prof, 5)
	}
}

// fileAddress is an address of a process as "file+ELF address"; that of a call
// for return addresses.
func fileAddress(t *testing.T, maps string, address uint64, isReturn bool) string {
	t.Helper()
	at := placeOf(t, maps, address, isReturn)
	if strings.HasPrefix(at, "?") {
		t.Fatalf("%#x is in no file", address)
	}
	return at
}

// placeOf is fileAddress for what may be in no file, too: "?+address".
func placeOf(t *testing.T, maps string, address uint64, isReturn bool) string {
	t.Helper()
	if isReturn {
		address--
	}
	for line := range strings.Lines(maps) {
		var start, end, offset, inode uint64
		var mode, device, path string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d %s", &start, &end, &mode, &offset, &device, &inode, &path); n < 7 || address < start || address >= end {
			continue
		}
		if path == "[vdso]" {
			return fmt.Sprintf("%s+%#x", path, address-start)
		}
		f, err := elf.Open(path)
		if err != nil {
			continue // the stack
		}
		defer f.Close()
		for _, p := range f.Progs {
			if at := address - start + offset; at >= p.Off && at < p.Off+p.Filesz && p.Flags&elf.PF_X != 0 {
				return fmt.Sprintf("%s+%#x", filepath.Base(path), at-p.Off+p.Vaddr)
			}
		}
	}
	return fmt.Sprintf("?+%#x", address)
}
