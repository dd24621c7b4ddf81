package index

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/elfsym"
	"github.com/staccato-profiler/staccato/testdata/symbolizers"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

func run(t testing.TB, pkg, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: install it with apt-get install %s", name, pkg)
	}
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("run %s %q: %v\n%s", name, args, err, out)
	}
}

// compiled has the programs made so far.
var compiled = map[string]string{}

var folder string // that they are in

func TestMain(m *testing.M) {
	var err error
	if folder, err = os.MkdirTemp("", "index"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(folder)
	os.Exit(code)
}

// compile makes a program with much inlining. It must not be changed.
func compile(t testing.TB, compiler string, flags ...string) string {
	t.Helper()
	name := strings.ReplaceAll(strings.Join(append([]string{compiler}, flags...), " "), "/", "_")
	if path := compiled[name]; path != "" {
		return path
	}
	t.Setenv("CXX", compiler)
	path := filepath.Join(folder, name)
	if err := workloads.Compile(path, "cpp/mixed.cc", flags...); err != nil {
		t.Fatal(err)
	}
	compiled[name] = path
	return path
}

// copied returns a copy of a program.
func copied(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t testing.TB, path string) *elffile.File {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := elffile.OpenDebug(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// source is a program with all its symbols.
func source(t testing.TB, path string) Source {
	t.Helper()
	file := open(t, path)
	symbols, err := elfsym.New(file, elfsym.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return Source{Debug: file, Symbols: symbols}
}

func build(t testing.TB, s Source) []byte {
	t.Helper()
	data, err := Build(s, "key", 256<<20)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, data []byte) *Index {
	t.Helper()
	x, err := Parse(data, "key")
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func frames(lines []staccato.Line) []symbolizers.Frame {
	var all []symbolizers.Frame
	for _, l := range lines {
		all = append(all, symbolizers.Frame{Function: l.Function.SystemName, File: l.Function.File, Line: int(l.Line), Column: int(l.Column)})
	}
	if all == nil {
		all = []symbolizers.Frame{{}}
	}
	return all
}

// TestAgainstLLVM asks llvm-symbolizer about random addresses of programs with
// much inlining.
func TestAgainstLLVM(t *testing.T) {
	for _, test := range []struct {
		name, compiler string
		flags          []string
		bolt           []string
	}{
		{name: "gcc", compiler: "g++", flags: []string{"-O3"}},
		{name: "gcc 4", compiler: "g++", flags: []string{"-gdwarf-4"}},
		{name: "clang", compiler: "clang++-19", flags: []string{"-O3"}},
		{name: "only lines", compiler: "clang++-19", flags: []string{"-gline-tables-only"}},
		{name: "folded functions", compiler: "clang++-19", flags: []string{"-ffunction-sections", "-fuse-ld=gold", "-Wl,--icf=all"}},
		{name: "dropped functions", compiler: "g++", flags: []string{"-ffunction-sections", "-Wl,--gc-sections", "-Wl,-z,noseparate-code"}},
		{name: "scattered by BOLT", compiler: "g++", flags: []string{workloads.ForBOLT}, bolt: workloads.Scattered},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := compile(t, test.compiler, test.flags...)
			if test.bolt != nil {
				path = workloads.BOLT(t, path, test.bolt...)
			}
			x := parse(t, build(t, source(t, path)))
			againstLLVM(t, path, x, 5000, test.bolt != nil)
		})
	}
}

// againstLLVM compares an index with llvm-symbolizer, at n random addresses of a
// program, which BOLT may have rewritten.
func againstLLVM(t *testing.T, path string, x *Index, n int, bolt bool) {
	t.Helper()
	symbols, err := symbolizers.Symbols(path)
	if err != nil {
		t.Fatal(err)
	}
	addresses := symbolizers.Addresses(symbols, n, 1)
	theirs, err := symbolizers.LLVM(path, addresses)
	if err != nil {
		t.Fatal(err)
	}
	var ours [][]symbolizers.Frame
	inlined, noLine := 0, 0
	for i, a := range addresses {
		lines, _ := x.Resolve(a)
		ours = append(ours, frames(lines))
		inlined += max(len(lines)-1, 0)
		if bolt && theirs[i][0].Line == 0 {
			// BOLT's line tables have holes, and its .debug_aranges an end in the
			// middle, where llvm-symbolizer stops.
			noLine++
			ours[i], theirs[i] = symbolizers.Outermost(ours[i]), symbolizers.Outermost(theirs[i])
		}
	}
	if noLine*50 > len(addresses) {
		t.Errorf("llvm-symbolizer knows no line of %d addresses", noLine)
	}
	c, err := symbolizers.Compare(symbols, addresses, ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%v, %d inlined calls", c.Count, inlined)
	if c.Count[symbolizers.Depth]+c.Count[symbolizers.Inner]+c.Count[symbolizers.Places] > 0 || c.Count[symbolizers.Outer]*200 > len(addresses) {
		t.Errorf("%d are wrong: %v", c.Wrong(), c.Example)
	}
	if inlined < n/5 {
		t.Errorf("only %d inlined calls", inlined)
	}
}

// TestShared puts a part of two programs' debugging information into a file
// that they share. It must not make any difference.
func TestShared(t *testing.T) {
	path, other := copied(t, compile(t, "g++", "-O3")), copied(t, compile(t, "g++", "-O3"))
	whole := build(t, source(t, path))
	shared := filepath.Join(t.TempDir(), "shared")
	run(t, "dwz", "dwz", "-m", shared, path, other)
	s := source(t, path)
	if s.Debug.Section(".gnu_debugaltlink") == nil {
		t.Fatal("dwz has put nothing into the shared file")
	}
	without := parse(t, build(t, s))
	s.Alt = open(t, shared)
	if with := build(t, s); !bytes.Equal(with, whole) {
		t.Errorf("%d bytes with the second file differ from %d of the whole", len(with), len(whole))
	}
	// Without it there are fewer names, but no wrong ones.
	all := parse(t, whole)
	symbols, err := symbolizers.Symbols(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range symbolizers.Addresses(symbols, 5000, 1) {
		known, _ := all.Resolve(a)
		lines, ok := without.Resolve(a)
		if !ok || len(lines) > len(known) {
			t.Fatalf("%#x: %v, with the second file %v", a, frames(lines), frames(known))
		}
		for _, l := range lines[:len(lines)-1] { // the last may have another symbol's name
			if !strings.Contains(names(known), l.Function.Name) {
				t.Fatalf("%#x: %s, with the second file %s", a, names(lines), names(known))
			}
		}
	}
}

func names(lines []staccato.Line) string {
	text := ""
	for _, l := range lines {
		text += l.Function.Name + "<"
	}
	return text
}

// TestLimit makes an index with more and less memory. What is taken, garbage
// included, must stay within the limit, whether it is enough or not.
func TestLimit(t *testing.T) {
	s := source(t, compile(t, "g++", "-O3"))
	enough, tooLittle := 0, 0
	for _, limit := range []int64{1 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20} {
		stop, peak := make(chan struct{}), make(chan int64)
		runtime.GC()
		before := heap()
		go func() {
			most := int64(0)
			for {
				select {
				case <-stop:
					peak <- most
					return
				case <-time.After(100 * time.Microsecond):
					most = max(most, heap()-before)
				}
			}
		}()
		data, err := Build(s, "key", limit)
		close(stop)
		took := <-peak
		t.Logf("limit %d MiB: %.1f MiB, %d bytes, %v", limit>>20, float64(took)/(1<<20), len(data), err)
		switch {
		case err == nil:
			enough++
		case errors.Is(err, ErrTooLarge):
			tooLittle++
		default:
			t.Error(err)
		}
		// The collector does not begin before there are 4 MiB, and takes its time.
		if took > max(limit, 6<<20) {
			t.Errorf("it takes %d bytes, the limit is %d", took, limit)
		}
	}
	if enough == 0 || tooLittle == 0 {
		t.Errorf("%d limits are enough and %d are not", enough, tooLittle)
	}
}

// heap is the memory of objects, garbage included, in bytes.
func heap() int64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}

// TestSize makes sure that an index is small.
func TestSize(t *testing.T) {
	path := compile(t, "g++", "-O3")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data := build(t, source(t, path))
	t.Logf("%d bytes of %d", len(data), info.Size())
	if int64(len(data))*5 > info.Size() {
		t.Errorf("%d bytes are more than a fifth of the file's %d", len(data), info.Size())
	}
}

// BenchmarkBuild and BenchmarkResolve are of the C++ program.
func BenchmarkBuild(b *testing.B) {
	s := source(b, compile(b, "g++", "-O3"))
	b.ReportAllocs()
	for b.Loop() {
		build(b, s)
	}
}

func BenchmarkResolve(b *testing.B) {
	path := compile(b, "g++", "-O3")
	x := parse(b, build(b, source(b, path)))
	symbols, err := symbolizers.Symbols(path)
	if err != nil {
		b.Fatal(err)
	}
	addresses := symbolizers.Addresses(symbols, 10000, 1)
	b.ReportAllocs()
	for b.Loop() {
		for _, a := range addresses {
			x.Resolve(a)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(addresses)), "ns/address")
}
