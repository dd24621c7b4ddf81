package agent

import (
	"debug/elf"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/testdata/rooted"
	"github.com/staccato-profiler/staccato/testdata/symbolizers"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// Stacks go through code in several segments, far from each other and elsewhere in
// memory than in the file.
const segmentsSource = `
#define FAR(name) __attribute__((noinline, noclone, section(name)))
FAR(".far") static void innermost(void) { for (int i = 0; i < 1 << 20; i++) sink = sink * 31 + 1; }
FAR(".farther") static void second(void) { innermost(); sink++; }
FAR(".far") static void third(void) { second(); sink++; }
int main(void) { for (;;) third(); }`

// Programs whose code is laid out in other ways than linkers do by themselves are
// walked to the root and named.
func TestLayouts(t *testing.T) {
	sorted := []string{"spin", "compare", "qsort_r", "sorted", "main", "_start"}
	interrupted := []string{"spin", "in_handler", "interrupted", "main", "_start"}
	stacks := func(flags ...string) string {
		return workloads.Build(t, "c/stacks.c", append([]string{noFramePointers, "-Wno-error"}, flags...)...)
	}
	forBOLT := stacks(workloads.ForBOLT)
	scattered := workloads.BOLT(t, forBOLT, workloads.Scattered...)
	coldApart := workloads.BOLT(t, forBOLT, workloads.ByProfile(t, forBOLT, "sorted", "0.1")...)
	throws := workloads.Build(t, "cpp/throws.cc", noFramePointers, workloads.ForBOLT)
	mixed := workloads.Build(t, "cpp/mixed.cc", noFramePointers, workloads.ForBOLT)
	segments := compileC(t, filepath.Join(publicDir(t), "segments"), segmentsSource, noFramePointers,
		"-Wl,--section-start=.far=0x10000000", "-Wl,--section-start=.farther=0x7000400", "-no-pie")
	if n := len(codeSegments(t, segments)); n != 3 {
		t.Fatalf("%d segments have code", n)
	}
	const hugePages = "-Wl,-z,max-page-size=0x200000,-z,common-page-size=0x200000"
	shapes := []shape{
		{"BOLT, scattered: sorted", scattered, []string{"sorted", "60"}, sorted, 0.995},
		{"BOLT, scattered: interrupted", scattered, []string{"interrupted", "60"}, interrupted, 0.995},
		{"BOLT, scattered: variable", scattered, []string{"variable", "60"}, []string{"spin", "variable", "main", "_start"}, 0.995},
		{"BOLT, scattered: realigned", scattered, []string{"realigned", "60"}, []string{"spin", "realigned", "main", "_start"}, 0.995},
		{"BOLT, scattered: throws", workloads.BOLT(t, throws, workloads.Scattered...), []string{"60"}, []string{"main", "_start"}, 0.99},
		{"BOLT, scattered: mixed", workloads.BOLT(t, mixed, workloads.Scattered...), []string{"60"}, []string{"main", "_start"}, 0.995},
		{"BOLT, cold parts apart: sorted", coldApart, []string{"sorted", "60"}, sorted, 0.995},
		{"BOLT, cold parts apart: not in its profile", coldApart, []string{"interrupted", "60"}, interrupted, 0.995},
		{"BOLT, cold parts apart: throws", workloads.BOLT(t, throws, workloads.ByProfile(t, throws, "0.1")...), []string{"60"}, []string{"main", "_start"}, 0.99},
		{"huge pages, separate code", stacks(hugePages, "-Wl,-z,separate-code"), []string{"sorted", "60"}, sorted, 0.995},
		{"huge pages, one segment", stacks(hugePages, "-Wl,-z,noseparate-code"), []string{"sorted", "60"}, sorted, 0.995},
		{"huge pages, static", stacks(hugePages, "-static"), []string{"interrupted", "60"}, interrupted, 0.995},
		{"huge pages, static PIE", stacks(hugePages, "-static-pie", "-Wl,-z,noseparate-code"), []string{"interrupted", "60"}, interrupted, 0.995},
		{"other linker", stacks("-fuse-ld=gold"), []string{"sorted", "60"}, sorted, 0.995},
		{"three segments", segments, nil, []string{"innermost", "second", "third", "main", "_start"}, 0.995},
	}
	pids := make([]int, len(shapes))
	for i, s := range shapes {
		pids[i] = run(t, s.program, s.args...).pid()
	}
	prof := recordWarm(t, 999, pids, uint64(300*len(pids)))
	for i, s := range shapes {
		t.Run(s.name, func(t *testing.T) {
			of := ofPIDs(prof, pids[i])
			n := rooted.Of(of.Profile, filepath.Base(s.program))
			got := share(of, func(names []string) bool { return inOrder(names, s.chain...) })
			t.Logf("of %d samples a share of %.4f reaches the root (others: %s), and %.4f has the chain", n.Samples, n.Share(), n.Causes(), got)
			if n.Share() < s.least || got < s.least || n.Samples < 100 {
				t.Errorf("of %d samples a share of %.4f reaches the root, and %.4f has %v", n.Samples, n.Share(), got, s.chain)
				logStacks(t, of, 10)
			}
			checkNames(t, of, s.program)
		})
	}
}

// codeSegments are the loaded segments of a file that hold code.
func codeSegments(t *testing.T, path string) (segments []*elf.Prog) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			segments = append(segments, p)
		}
	}
	return segments
}

// checkNames asks llvm-symbolizer for the functions at all addresses of a program
// that are in a profile, inlined ones included.
func checkNames(t *testing.T, p *Profile, program string) {
	t.Helper()
	var places []*profile.Location
	for _, l := range p.Profile.Location {
		if l.Mapping != nil && l.Mapping.File == program {
			places = append(places, l)
		}
	}
	addresses := make([]uint64, len(places))
	ours := make([][]symbolizers.Frame, len(places))
	for i, l := range places {
		addresses[i] = l.Address
		for _, line := range l.Line {
			ours[i] = append(ours[i], symbolizers.Frame{Function: line.Function.SystemName})
		}
		if ours[i] == nil {
			ours[i] = []symbolizers.Frame{{}}
		}
	}
	theirs, err := symbolizers.LLVM(program, addresses)
	if err != nil {
		t.Fatal(err)
	}
	for i := range theirs {
		if theirs[i][0].Function == "" && strings.HasSuffix(ours[i][0].Function, "@plt") {
			ours[i] = theirs[i] // it knows no stubs; objdump does, see elfsym.TestStubs
		}
		if theirs[i][0].Line == 0 { // it stops where BOLT's .debug_aranges end early
			ours[i], theirs[i] = symbolizers.Outermost(ours[i]), symbolizers.Outermost(theirs[i])
		}
		for k := range theirs[i] {
			theirs[i][k].File, theirs[i][k].Line, theirs[i][k].Column = "", 0, 0
		}
	}
	symbols, err := symbolizers.Symbols(program)
	if err != nil {
		t.Fatal(err)
	}
	c, err := symbolizers.Compare(symbols, addresses, ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("names of %d addresses: %v", len(addresses), c.Count)
	if c.Wrong() > 0 || len(addresses) == 0 {
		t.Errorf("%d of %d addresses are named otherwise: %v", c.Wrong(), len(addresses), c.Example)
	}
}
