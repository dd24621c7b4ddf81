package agent

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/belowtest"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// sameSample is a program whose stacks are unwound twice.
type sameSample struct {
	name string
	cmd  *exec.Cmd
}

// Each sample is unwound by us, in the kernel and for the first samples in user
// space, and by elfutils from the registers and the stack that the kernel has
// written for the same sample. All frames must be equal, and where they are not, gdb
// is asked, with the same registers and stack, who is right.
func TestSameSamples(t *testing.T) {
	dir := publicDir(t)
	unwinder := buildUnwinder(t, dir)
	// The kernel's dump ends at the first page that was never touched.
	touched := compileC(t, filepath.Join(dir, "touched.so"), `
__attribute__((constructor)) static void touch(void)
{
	volatile char stack[256 << 10];
	for (size_t i = 0; i < sizeof stack; i += 4096)
		stack[i] = 0;
}`, "-shared", "-fPIC")
	numbers := filepath.Join(dir, "numbers")
	if err := os.WriteFile(numbers, manyNumbers(2_000_000), 0o644); err != nil {
		t.Fatal(err)
	}
	const work = `
def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)
while True: fib(15); sorted({str(i): i for i in range(2000)}.items(), key=lambda kv: -kv[1])`
	for _, s := range []sameSample{
		{"gcc", compileMuch(t, dir)},
		{"python3.11", exec.Command("/usr/bin/python3.11", "-c", work)},
		{"gdb", exec.Command("gdb", "-nx", "-batch", "-ex", `python exec("while True: gdb.execute('info functions sort', to_string=True)")`, workloads.Build(t, "cpp/mixed.cc"))},
		{"openssl speed", exec.Command("openssl", "speed", "-seconds", "60", "-evp", "aes-256-gcm")},
		{"throws", exec.Command(workloads.Build(t, "cpp/throws.cc", noFramePointers), "60")},
		{"sort", exec.Command("sort", "-g", "--parallel=1", "-o", "/dev/null", numbers)},
		{"xz", exec.Command("xz", "-9", "-k", "-c", numbers)},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.cmd.Env = append(os.Environ(), "LD_PRELOAD="+touched)
			s.check(t, unwinder)
		})
	}
}

func (s sameSample) check(t *testing.T, unwinder string) {
	p := spawn(t, s.cmd)
	time.Sleep(time.Second) // it loads its libraries
	first, then := recordDumps(t, p.pid())
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", p.pid()))
	if err != nil {
		t.Fatal(err)
	}
	var unclear []difference
	for _, part := range []struct {
		name string
		dumped
		may   []string // classes that gdb is not asked about
		least int
	}{
		// Walked in user space, as long as there are no tables.
		{"first samples", first, []string{tooDeep, oursCut + "stack copied in part"}, 1000},
		{"then", then, []string{tooDeep}, 3000},
	} {
		ours := userStacks(ofPIDs(part.profile, p.pid()))
		theirs := unwindDumps(t, unwinder, p.pid(), &part.dumps)
		all := 0
		for _, o := range ours {
			all += o.n
		}
		if d := part.dumps; d.lost > 0 || d.wrong != nil || len(d.all) != all || all < part.least {
			t.Fatalf("%s: %d samples, and %d of the kernel, %d lost: %v", part.name, all, len(d.all), d.lost, d.wrong)
		}
		classes := make(map[string]int)
		for _, d := range compare(ours, theirs) {
			classes[d.class] += len(d.dumps)
			if d.class == equalStacks || slices.Contains(part.may, d.class) {
				continue
			}
			for _, i := range d.dumps {
				if d.class == dumpEnds && len(part.dumps.all[i].stack) == dumpStack {
					continue // nobody could go on
				}
				unclear = append(unclear, difference{class: part.name + ": " + d.class, ours: d.ours, cause: d.cause, theirs: d.theirs, data: part.dumps.encode(i)})
			}
		}
		t.Logf("%s: %d samples, %.2f %% equal: %v", part.name, all, 100*float64(classes[equalStacks])/float64(all), classes)
	}
	if len(unclear) == 0 {
		return
	}
	askGDB(t, p.pid(), string(maps), unclear)
	verdicts := make(map[string]int)
	for _, d := range unclear {
		verdict := d.judge()
		verdicts[d.class+": "+verdict]++
		if verdict == gdbOther {
			t.Errorf("%s\n\tours     %.2000s\n\telfutils %.2000s\n\tgdb      %.2000s", d.class, d.ours, d.theirs, d.gdb)
		}
	}
	t.Logf("of %d that differ: %v", len(unclear), verdicts)
}

// How our stack of a sample differs from that of elfutils.
const (
	equalStacks = "equal"
	oursCut     = "ours is cut: "
	// After 512 frames, equal up to there: the garbage collector of gcc.
	tooDeep     = oursCut + "too deep"
	dumpEnds    = "the kernel's dump is full, ours goes on"
	theirsEnds  = "elfutils ends, ours goes on"
	nowhere     = "elfutils goes on to what is no code, ours ends there"
	otherFrames = "other frames"

	// What gdb says of the last three, and of dumps that are not full.
	gdbOurs = "gdb has our frames"
	// Rules that do not hold: libgcc, about to enter a catch block, has overwritten
	// where its own frame leads to.
	gdbNowhere = "gdb has our frames, and goes on to what is no code, too"
	gdbOther   = "gdb has other frames than we"
)

// ourStack is a user stack that some samples have.
type ourStack struct {
	n      int
	cause  string // why it is cut
	frames int
}

// theirStack is one that elfutils found.
type theirStack struct {
	dumps  []int
	beyond bool // it asked for more than was dumped
}

// difference are samples with one stack of ours and one of theirs.
type difference struct {
	class             string
	ours, theirs, gdb string
	cause             string // why ours is cut
	dumps             []int
	data              []byte // of the dump of a single one, for gdb
}

// compare says of which samples the stacks are equal, and how they differ.
func compare(ours map[string]*ourStack, theirs map[string]*theirStack) (all []difference) {
	count := func(class, our, their string) {
		n := min(ours[our].n, len(theirs[their].dumps))
		all = append(all, difference{class: class, ours: our, cause: ours[our].cause, theirs: their, dumps: theirs[their].dumps[:n]})
		ours[our].n -= n
		theirs[their].dumps = theirs[their].dumps[n:]
	}
	for text := range theirs {
		if ours[text] != nil {
			count(equalStacks, text, text)
		}
	}
	// The closest first: other frames are what is left.
	for _, near := range []func(class string) bool{
		func(class string) bool { return class != otherFrames && class != "" },
		func(class string) bool { return class == otherFrames },
		func(string) bool { return true },
	} {
		for text, our := range ours {
			for theirText, their := range theirs {
				if our.n == 0 || len(their.dumps) == 0 {
					continue
				}
				if class := classOf(text, our, theirText, their); near(class) {
					count(cmp.Or(class, otherFrames), text, theirText)
				}
			}
		}
	}
	return all
}

func classOf(text string, our *ourStack, theirText string, their *theirStack) string {
	code := withCode(theirText)
	leaf, _, _ := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(text, code+" ") && their.beyond:
		return dumpEnds
	case strings.HasPrefix(text, code+" "):
		return theirsEnds
	case text == code && our.cause != "":
		return nowhere
	case strings.HasPrefix(code, text+" ") && our.cause != "" && (oursCut+our.cause != tooDeep || our.frames == maxFrames):
		return oursCut + our.cause
	case theirText == leaf || strings.HasPrefix(theirText, leaf+" "):
		return otherFrames
	}
	return ""
}

// withCode leaves out the outermost frames of a stack that are in no code.
func withCode(text string) string {
	for i := strings.LastIndex(text, " ?+"); i >= 0 && !strings.Contains(text[i+1:], " "); i = strings.LastIndex(text, " ?+") {
		text = text[:i]
	}
	return text
}

// judge says whose side gdb takes.
func (d difference) judge() string {
	switch {
	case d.gdb == d.ours:
		return gdbOurs
	case strings.HasPrefix(d.gdb, d.ours+" ?+") && d.cause != "":
		return gdbNowhere
	}
	return gdbOther
}

// dumped is a profile of a process, and the kernel's dumps of the same samples.
type dumped struct {
	profile *Profile
	dumps   dumps
}

// recordDumps profiles a process twice: from the first sample on, and when tables
// are there. The process is stopped between the two and behind them.
func recordDumps(t *testing.T, pid int) (first, then dumped) {
	t.Helper()
	keeper := new(belowtest.Keeper)
	p, err := New(Config{Frequency: 999, Target: Target{PIDs: []int{pid}, NoInherit: true}, dump: dumping, before: keeper})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	set := openDumps(t, p)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	for _, part := range []struct {
		*dumped
		samples int
		end     func() (*Profile, error)
	}{{&first, 1000, p.Cut}, {&then, 3000, p.Stop}} {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for patience := time.Now().Add(30 * time.Second); len(part.dumps.all) < part.samples && time.Now().Before(patience); {
			time.Sleep(20 * time.Millisecond)
			part.dumps.drain(set)
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		waitStopped(t, pid)
		if part.profile, err = part.end(); err != nil {
			t.Fatal(err)
		}
		part.dumps.drain(set)
		belows, err := keeper.Read()
		if err != nil {
			t.Fatal(err)
		}
		part.dumps.join(belows)
		checkSound(t, part.profile)
	}
	return first, then
}

// waitStopped waits until a signal has stopped a process of one thread.
func waitStopped(t *testing.T, pid int) {
	t.Helper()
	for range 200 {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(stat), ") T ") {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("process %d goes on", pid)
}

// userStacks returns the user parts of stacks by their text.
func userStacks(p *Profile) map[string]*ourStack {
	stacks := make(map[string]*ourStack)
	for _, s := range p.Profile.Sample {
		var frames []string
		our := &ourStack{}
		for _, l := range s.Location {
			switch p.Side.Kinds.Of(l.ID) {
			case staccato.KindKernel:
				continue
			case staccato.KindLost:
				our.cause = strings.TrimSuffix(strings.TrimPrefix(l.Line[0].Function.Name, "[truncated: "), "]")
				continue
			}
			name := "?"
			if l.Mapping != nil {
				name = filepath.Base(l.Mapping.File)
			}
			frames = append(frames, fmt.Sprintf("%s+%#x", name, l.Address))
		}
		text := strings.Join(frames, " ")
		if stacks[text] == nil {
			our.frames = len(frames)
			stacks[text] = our
		}
		stacks[text].n += int(s.Value[0])
	}
	return stacks
}

// buildUnwinder compiles the program that unwinds with elfutils.
func buildUnwinder(t *testing.T, dir string) string {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	out := filepath.Join(dir, "unwind")
	cmd := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", out, filepath.Join(filepath.Dir(here), "../testdata/elfutils/unwind.c"), "-ldw")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile (package libdw-dev): %v: %s", err, text)
	}
	return out
}

// unwindDumps returns the stacks that elfutils makes of dumps, by their text.
func unwindDumps(t *testing.T, unwinder string, pid int, d *dumps) map[string]*theirStack {
	t.Helper()
	cmd := exec.Command(unwinder, fmt.Sprint(pid))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer in.Close()
		for i := range d.all {
			if _, err := in.Write(d.encode(i)); err != nil {
				return // it says why
			}
		}
	}()
	var faults bytes.Buffer
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("unwind: %v: %s", err, faults.String())
	}
	stacks := make(map[string]*theirStack)
	i := 0
	for line := range strings.Lines(string(out)) {
		text, beyond := strings.CutSuffix(strings.TrimSpace(line), " beyond")
		if stacks[text] == nil {
			stacks[text] = &theirStack{}
		}
		stacks[text].dumps = append(stacks[text].dumps, i)
		stacks[text].beyond = stacks[text].beyond || beyond
		i++
	}
	if i != len(d.all) {
		t.Fatalf("of %d stacks %d were unwound", len(d.all), i)
	}
	return stacks
}

// askGDB has gdb unwind samples. The process is gone afterwards.
func askGDB(t *testing.T, pid int, maps string, samples []difference) {
	t.Helper()
	var data []byte
	for _, each := range samples {
		data = append(data, each.data...)
	}
	file := filepath.Join(t.TempDir(), "dumps")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	_, here, _, _ := runtime.Caller(0)
	out, err := exec.Command("gdb", "-nx", "-batch", "-p", fmt.Sprint(pid), "-ex", fmt.Sprintf("python dumps=%q", file),
		"-x", filepath.Join(filepath.Dir(here), "../testdata/gdb/unwind.py")).CombinedOutput()
	i := 0
	for line := range strings.Lines(string(out)) {
		text, ok := strings.CutPrefix(strings.TrimSpace(line), "frames: ")
		if !ok || i == len(samples) {
			continue
		}
		var frames []string
		for _, frame := range strings.Fields(text) {
			kind, hex, _ := strings.Cut(frame, ":")
			address, err := strconv.ParseUint(hex, 0, 64)
			if err != nil {
				t.Fatalf("gdb printed %q", line)
			}
			frames = append(frames, placeOf(t, maps, address, kind == "return"))
		}
		samples[i].gdb = strings.Join(frames, " ")
		i++
	}
	if err != nil || i != len(samples) {
		t.Fatalf("gdb unwound %d of %d stacks: %v: %s", i, len(samples), err, out)
	}
}

// manyNumbers are lines to sort or compress.
func manyNumbers(n int) []byte {
	var text []byte
	x := uint64(88172645463325252)
	for range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		text = fmt.Appendf(text, "%d.%d\n", x%1_000_000, x>>40%1000)
	}
	return text
}

// compileMuch is the C++ compiler itself, busy for a while.
func compileMuch(t *testing.T, dir string) *exec.Cmd {
	t.Helper()
	var source strings.Builder
	source.WriteString("#include <algorithm>\n#include <map>\n#include <regex>\n#include <string>\n#include <vector>\ntemplate <int N> struct Key { int k; bool operator<(const Key &o) const { return k < o.k; } };\n")
	for i := range 200 {
		fmt.Fprintf(&source, "int f%[1]d(int n) { std::map<Key<%[1]d>, std::vector<std::string>> m; for (int i = 0; i < n; i++) m[Key<%[1]d>{i * 7 %% 13}].push_back(std::to_string(i)); "+
			"std::vector<Key<%[1]d>> v(n); std::sort(v.begin(), v.end()); std::regex r(\"a%[1]d+\"); return m.size() + v.size() + std::regex_match(\"b\", r); }\n", i)
	}
	file := filepath.Join(dir, "much.cc")
	if err := os.WriteFile(file, []byte(source.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	compiler, err := exec.Command("g++", "-print-prog-name=cc1plus").Output()
	if err != nil {
		t.Fatal(err)
	}
	preprocessed := filepath.Join(dir, "much.ii")
	if out, err := exec.Command("g++", "-E", "-o", preprocessed, file).CombinedOutput(); err != nil {
		t.Fatalf("preprocess: %v: %s", err, out)
	}
	return exec.Command(strings.TrimSpace(string(compiler)), "-fpreprocessed", "-quiet", "-O2", "-o", "/dev/null", preprocessed)
}
