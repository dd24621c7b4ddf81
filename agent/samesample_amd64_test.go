package agent

import (
	"bytes"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/testdata/rooted"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// sameSample is a program whose stacks are unwound twice.
type sameSample struct {
	name string
	cmd  *exec.Cmd
}

// Each sample is unwound by us, in the kernel and for the first samples in user
// space, and by elfutils from the registers and the stack that the kernel has
// written for the same sample. All frames must be equal.
func TestSameSamples(t *testing.T) {
	dir := publicDir(t)
	unwinder := buildUnwinder(t, dir)
	numbers := filepath.Join(dir, "numbers")
	if err := os.WriteFile(numbers, manyNumbers(2_000_000), 0o644); err != nil {
		t.Fatal(err)
	}
	const work = `
def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)
while True: fib(15); sorted({str(i): i for i in range(2000)}.items(), key=lambda kv: -kv[1])`
	for _, s := range []sameSample{
		{"python3.11", exec.Command("/usr/bin/python3.11", "-c", work)},
		{"gdb", exec.Command("gdb", "-nx", "-batch", "-ex", `python exec("while True: gdb.execute('info functions sort', to_string=True)")`, workloads.Build(t, "cpp/mixed.cc"))},
		{"openssl speed", exec.Command("openssl", "speed", "-seconds", "60", "-evp", "aes-256-gcm")},
		{"gcc", compileMuch(t, dir)},
		{"throws", exec.Command(workloads.Build(t, "cpp/throws.cc", noFramePointers), "60")},
		{"sort", exec.Command("sort", "-g", "--parallel=1", "-o", "/dev/null", numbers)},
		{"xz", exec.Command("xz", "-9", "-k", "-c", numbers)},
	} {
		t.Run(s.name, func(t *testing.T) { s.check(t, unwinder) })
	}
}

func (s sameSample) check(t *testing.T, unwinder string) {
	p := spawn(t, s.cmd)
	time.Sleep(time.Second) // it loads its libraries
	first, then := recordDumps(t, p.pid())
	for _, part := range []struct {
		name string
		dumped
		may []string // classes that do not count
	}{
		// Walked in user space, as long as there are no tables.
		{"first samples", first, []string{dumpEnds, asksBelow, nowhere, oursCut + "stack copied in part", tooDeep, bothCut}},
		{"then", then, []string{dumpEnds, asksBelow, nowhere, tooDeep}},
	} {
		ours := userStacks(ofPIDs(part.profile, p.pid()))
		theirs := unwindDumps(t, unwinder, p.pid(), &part.dumps)
		var all int64
		for _, o := range ours {
			all += o.n
		}
		if d := part.dumps; d.lost > 0 || d.wrong != nil || int64(d.n) != all || all < 500 {
			t.Fatalf("%s: %d samples, and %d of the kernel, %d lost: %v", part.name, all, d.n, d.lost, d.wrong)
		}
		classes, examples := compare(ours, theirs)
		wrong := all
		for _, class := range append(part.may, equalStacks) {
			wrong -= classes[class]
		}
		t.Logf("%s: %d samples, %.2f %% equal: %v", part.name, all, 100*float64(classes[equalStacks])/float64(all), classes)
		if float64(wrong) > 0.001*float64(all) {
			t.Errorf("%s: %d of %d stacks differ", part.name, wrong, all)
			for class, example := range examples {
				t.Logf("%s: %s", class, example)
			}
		}
	}
}

// How our stack of a sample differs from that of elfutils.
const (
	equalStacks = "equal"
	// Ours goes on, over calls alone, to where the program begins.
	dumpEnds = "the kernel's dump ends, ours goes on to the root"
	// At the end of a function, whose rules do not say what is popped already.
	asksBelow = "elfutils asks for what was below the stack pointer, ours goes on to the root"
	endsEarly = "elfutils ends early for no reason, ours goes on to the root"
	// Rules that do not hold: libgcc, about to enter a catch block, has overwritten
	// what its own frame had saved.
	nowhere = "elfutils goes on to what is no code, ours ends there"
	oursCut = "ours is cut: "
	// As after a page of a large array that was never touched.
	bothCut = "both are cut, since the stack could not be read"
	// After 512 frames, equal up to there: the garbage collector of gcc.
	tooDeep     = oursCut + "too deep"
	otherFrames = "other frames"
)

// ourStack is a user stack that some samples have.
type ourStack struct {
	n      int64
	whole  bool   // reaches the root
	calls  int    // so many of its outermost frames lie behind a call
	cause  string // why it is cut
	frames int
}

// theirStack is one that elfutils found.
type theirStack struct {
	n      int64
	beyond bool // it asked for more than was dumped
	below  bool // it asked for what lay below the stack pointer
}

// compare says of how many samples the stacks are equal, and how they differ. Of
// each class there is an example.
func compare(ours map[string]*ourStack, theirs map[string]*theirStack) (classes map[string]int64, examples map[string]string) {
	classes, examples = make(map[string]int64), make(map[string]string)
	count := func(class, our, their string, n int64) {
		ours[our].n -= n
		theirs[their].n -= n
		classes[class] += n
		if class == equalStacks {
			return
		}
		examples[class] = fmt.Sprintf("\n\t%.1000s\n\t%.1000s", our, their)
	}
	for text, their := range theirs {
		if our := ours[text]; our != nil {
			count(equalStacks, text, text, min(our.n, their.n))
		}
	}
	// The closest first: other frames are what is left.
	for _, only := range []bool{true, false} {
		for text, our := range ours {
			for theirText, their := range theirs {
				if our.n == 0 || their.n == 0 {
					continue
				}
				if class := classOf(text, our, theirText, their); class != "" && (class != otherFrames || !only) {
					count(class, text, theirText, min(our.n, their.n))
				}
			}
		}
	}
	for _, our := range ours {
		classes[otherFrames] += our.n
	}
	if classes[otherFrames] == 0 {
		delete(classes, otherFrames)
	}
	return classes, examples
}

func classOf(text string, our *ourStack, theirText string, their *theirStack) string {
	code := theirText
	for i := strings.LastIndex(code, " ?+"); i >= 0 && !strings.Contains(code[i+1:], " "); i = strings.LastIndex(code, " ?+") {
		code = code[:i]
	}
	frames := strings.Count(code, " ") + 1
	leaf, _, _ := strings.Cut(text, " ")
	switch {
	case strings.HasPrefix(text, code+" ") && our.whole && our.calls >= our.frames-frames:
		switch {
		case their.below:
			return asksBelow
		case their.beyond:
			return dumpEnds
		}
		return endsEarly
	case strings.HasPrefix(text, code+" ") && their.beyond && our.cause != "":
		return bothCut
	case text == code && code != theirText && our.cause != "":
		return nowhere
	case strings.HasPrefix(code, text+" ") && our.cause != "":
		return oursCut + our.cause
	case theirText == leaf || strings.HasPrefix(theirText, leaf+" "):
		return otherFrames
	}
	return ""
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
	p, err := New(Config{Frequency: 999, Target: Target{PIDs: []int{pid}, NoInherit: true}, dump: dumping})
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
		d   time.Duration
		end func() (*Profile, error)
	}{{&first, time.Second, p.Cut}, {&then, 3 * time.Second, p.Stop}} {
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(part.d); time.Now().Before(end); {
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
	files := make(map[string]*elf.File)
	for _, s := range p.Profile.Sample {
		var frames []string
		our := &ourStack{}
		for _, l := range s.Location {
			switch p.Side.Kinds[l.ID] {
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
			if our.calls++; !behindCall(files, l) {
				our.calls = 0
			}
		}
		text := strings.Join(frames, " ")
		if known := stacks[text]; known != nil {
			known.n += s.Value[0]
			continue
		}
		our.n, our.frames = s.Value[0], len(frames)
		our.whole = rooted.Of(&profile.Profile{Sample: []*profile.Sample{s}}, s.Label["comm"]...).Rooted > 0
		stacks[text] = our
	}
	return stacks
}

// behindCall says whether an address is the last byte of a call: e8 and 4 bytes, or
// ff /2 in one of its lengths.
func behindCall(files map[string]*elf.File, l *profile.Location) bool {
	if l.Mapping == nil {
		return false
	}
	f, known := files[l.Mapping.File]
	if !known {
		f, _ = elf.Open(l.Mapping.File)
		files[l.Mapping.File] = f
	}
	if f == nil {
		return false
	}
	var code [8]byte // up to the return address
	for _, segment := range f.Progs {
		if begin := l.Address + 1 - uint64(len(code)); segment.Type == elf.PT_LOAD && begin >= segment.Vaddr && l.Address < segment.Vaddr+segment.Filesz {
			if _, err := segment.ReadAt(code[:], int64(begin-segment.Vaddr)); err != nil {
				return false
			}
		}
	}
	if code[3] == 0xe8 {
		return true
	}
	for _, n := range []int{2, 3, 4, 6, 7} {
		if at := len(code) - n; code[at] == 0xff && code[at+1]>>3&7 == 2 {
			return true
		}
	}
	return false
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
	cmd.Stdin = bytes.NewReader(d.data)
	var faults bytes.Buffer
	cmd.Stderr = &faults
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("unwind: %v: %s", err, faults.String())
	}
	stacks := make(map[string]*theirStack)
	for line := range strings.Lines(string(out)) {
		text, beyond := strings.CutSuffix(strings.TrimSpace(line), " beyond")
		text, below := strings.CutSuffix(text, " below")
		if stacks[text] == nil {
			stacks[text] = &theirStack{}
		}
		stacks[text].n++
		stacks[text].beyond = stacks[text].beyond || beyond
		stacks[text].below = stacks[text].below || below
	}
	return stacks
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
