package symbolizer

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/staccato-profiler/staccato"
)

// content is a file in memory that can be closed.
type content struct {
	*bytes.Reader
	mu     sync.Mutex
	closed bool
}

func (c *content) ReadAt(b []byte, at int64) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, os.ErrClosed
	}
	return c.Reader.ReadAt(b, at)
}

func (c *content) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func mapping(t testing.TB, path string) *staccato.Mapping {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return &staccato.Mapping{Path: path, File: &content{Reader: bytes.NewReader(b)}}
}

func names(f *staccato.Frame) string {
	var out []string
	for _, l := range f.Lines {
		out = append(out, l.Function.Name)
	}
	return strings.Join(out, "<")
}

// run returns what a program prints.
func run(t testing.TB, pkg, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: install it with apt-get install %s", name, pkg)
	}
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("run %s %q: %v", name, args, err)
	}
	return string(out)
}

// addressOf returns where nm says a symbol is.
func addressOf(t testing.TB, path, name string, args ...string) uint64 {
	t.Helper()
	for line := range strings.Lines(run(t, "binutils", "nm", append(args, path)...)) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == name {
			v, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("nm does not know %s in %s", name, path)
	return 0
}

//go:noinline
func capture(pcs []uintptr) int { return runtime.Callers(1, pcs) }

func captureInlined(pcs []uintptr) int { return capture(pcs) }

// TestAgainstRuntime names this test's own stack and compares it with what the
// Go runtime says.
func TestAgainstRuntime(t *testing.T) {
	pcs := make([]uintptr, 100)
	pcs = pcs[:captureInlined(pcs)]
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	m := mapping(t, exe)
	var frames []*staccato.Frame
	for _, pc := range pcs {
		frames = append(frames, &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: uint64(pc), Return: true})
	}
	s := New(Config{})
	s.Symbolize(frames)
	// Go's runtime lists an inlined call as a return address of its own, whose
	// innermost function it is.
	var got, want []string
	for i, f := range frames {
		if f.Kind != staccato.KindGo || len(f.Lines) == 0 {
			t.Fatalf("frame %d is of kind %s and has lines %v", i, f.Kind, f.Lines)
		}
		l := f.Lines[0]
		got = append(got, fmt.Sprintf("%s %s:%d", l.Function.Name, l.Function.File, l.Line))
	}
	for all, more := runtime.CallersFrames(pcs), true; more; {
		var f runtime.Frame
		f, more = all.Next()
		want = append(want, fmt.Sprintf("%s %s:%d", f.Function, f.File, f.Line))
	}
	if !slices.Equal(got, want) || !strings.Contains(strings.Join(want, "\n"), "captureInlined") {
		t.Errorf("got %q, the runtime says %q", got, want)
	}
	if why := s.Reason(m); why != "" {
		t.Errorf("reason is %q", why)
	}
}

// program builds a small C++ program.
func program(t testing.TB, flags ...string) string {
	t.Helper()
	source, out := filepath.Join(t.TempDir(), "p.cc"), filepath.Join(t.TempDir(), "p")
	text := "namespace space { int __attribute__((noinline)) work(int x) { __asm__(\"\"); return x + 1; } }\n" +
		"int main(int n, char **) { return space::work(n); }\n"
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "g++", "g++", append(flags, "-O1", "-o", out, source)...)
	return out
}

func TestNative(t *testing.T) {
	path := program(t)
	m := mapping(t, path)
	work, main := addressOf(t, path, "_ZN5space4workEi"), addressOf(t, path, "main")
	first := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: work}
	again := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: work + 1}
	returned := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: main, Return: true}
	outside := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: 1}
	named := &staccato.Frame{Mapping: m, Address: main, Lines: []staccato.Line{{Function: &staccato.Function{Name: "kept"}}}}
	var done []*staccato.Mapping
	s := New(Config{Done: func(m *staccato.Mapping) { done = append(done, m) }})
	if s.Built(m) {
		t.Error("built before the first frame")
	}
	s.Symbolize([]*staccato.Frame{first, again, returned, outside, named})
	m.File.(*content).close()
	later := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: main}
	s.Symbolize([]*staccato.Frame{later})

	if got := names(first); got != "space::work" || first.Lines[0].Function.SystemName != "_ZN5space4workEi" {
		t.Errorf("function is %q, %q", got, first.Lines[0].Function.SystemName)
	}
	if first.Kind != staccato.KindNative {
		t.Errorf("kind is %s", first.Kind)
	}
	if len(again.Lines) != 1 || first.Lines[0].Function != again.Lines[0].Function {
		t.Error("equal functions are not the same")
	}
	if got := names(returned); got == "main" || got == "" && work+1 == main {
		t.Errorf("return address at the start of main is %q", got)
	}
	if outside.Lines != nil {
		t.Errorf("address 1 is %q", names(outside))
	}
	if names(named) != "kept" {
		t.Errorf("frame with lines became %q", names(named))
	}
	if names(later) != "main" {
		t.Errorf("after the file was closed, main is %q", names(later))
	}
	if len(done) != 1 || done[0] != m || !s.Built(m) {
		t.Errorf("done was called for %v", done)
	}
}

func TestReasons(t *testing.T) {
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, bytes.Repeat([]byte("hello "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := mapping(t, text)
	closed.File.(*content).close()
	static := program(t, "-static")
	for _, test := range []struct {
		name    string
		mapping *staccato.Mapping
		limit   int64
		want    string
	}{
		{"text", mapping(t, text), 0, "not an ELF file"},
		{"stripped", mapping(t, program(t, "-s", "-static")), 0, "no symbols"},
		{"closed", closed, 0, "file already closed"},
		{"too large", mapping(t, static), 2000, "symbol table exceeds the memory limit"},
		{"no file", &staccato.Mapping{Reason: "no permission"}, 0, "no permission"},
		{"fine", mapping(t, static), 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := New(Config{MemoryLimit: test.limit})
			s.Symbolize([]*staccato.Frame{{Mapping: test.mapping, Address: 0x1000}})
			got := s.Reason(test.mapping)
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("reason is %q, want %q", got, test.want)
			}
		})
	}
	if got := New(Config{}).Reason(nil); got != "" {
		t.Errorf("reason for no mapping is %q", got)
	}
}

// TestVDSO names a function of the code that the kernel maps into processes.
func TestVDSO(t *testing.T) {
	image := vdso(t)
	path := filepath.Join(t.TempDir(), "vdso")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	name := map[string]string{"amd64": "__vdso_clock_gettime", "arm64": "__kernel_clock_gettime"}[runtime.GOARCH]
	f := &staccato.Frame{
		Mapping: &staccato.Mapping{Path: staccato.VDSOPath, File: bytes.NewReader(image)},
		Address: addressOf(t, path, name, "-D", "--without-symbol-versions") + 1,
	}
	New(Config{}).Symbolize([]*staccato.Frame{f})
	if names(f) != name {
		t.Errorf("%#x is %q, want %s", f.Address, names(f), name)
	}
}

func vdso(t *testing.T) []byte {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(maps)) {
		var start, end int64
		if !strings.Contains(line, "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			t.Fatal(err)
		}
		memory, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Close()
		image := make([]byte, end-start)
		if _, err := io.ReadFull(io.NewSectionReader(memory, start, end-start), image); err != nil {
			t.Fatal(err)
		}
		return image
	}
	t.Fatal("this process has no vDSO")
	return nil
}

// TestMixed names Go and C functions of one program.
func TestMixed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mixed")
	cmd := exec.Command("go", "build", "-ldflags=-linkmode=external", "-o", path, ".")
	cmd.Dir = "gopclntab/testdata/program"
	cmd.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build test program: %v\n%s", err, out)
	}
	m := mapping(t, path)
	goFrame := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: addressOf(t, path, "main.main")}
	cFrame := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: addressOf(t, path, "_start")}
	s := New(Config{Done: func(*staccato.Mapping) { t.Error("a Go program's file was done with") }})
	s.Symbolize([]*staccato.Frame{goFrame, cFrame})
	if names(goFrame) != "main.main" || goFrame.Kind != staccato.KindGo || goFrame.Lines[0].Line == 0 {
		t.Errorf("%s frame %q, line %+v", goFrame.Kind, names(goFrame), goFrame.Lines)
	}
	if names(cFrame) != "_start" || cFrame.Kind != staccato.KindNative {
		t.Errorf("%s frame %q", cFrame.Kind, names(cFrame))
	}
	if size := s.Stats().Bytes; size > 512<<10 {
		t.Errorf("the program's table takes %d bytes", size)
	}
	m.File.(*content).close()
	other := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: addressOf(t, path, "runtime.goexit.abi0")}
	if s.Symbolize([]*staccato.Frame{other}); !strings.Contains(s.Reason(m), os.ErrClosed.Error()) {
		t.Errorf("frame %q of a closed file, reason %q", names(other), s.Reason(m))
	}
}

func TestKernel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kallsyms")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	frame := func() *staccato.Frame {
		return &staccato.Frame{Kind: staccato.KindKernel, Mapping: &staccato.Mapping{Path: staccato.KernelPath}, Address: 0xffffffff81000010}
	}
	m := frame().Mapping
	s := New(Config{Kallsyms: path})

	write("0000000000000000 T do_work\n")
	hidden := frame()
	s.Symbolize([]*staccato.Frame{hidden})
	if hidden.Lines != nil || !strings.Contains(s.Reason(m), "kptr_restrict") {
		t.Errorf("frame is %q, reason %q", names(hidden), s.Reason(m))
	}

	write("ffffffff81000000 T do_work\n")
	if err := s.Refresh(); err != nil {
		t.Fatal(err)
	}
	f := frame()
	s.Symbolize([]*staccato.Frame{f})
	if names(f) != "do_work" || f.Kind != staccato.KindKernel || s.Reason(m) != "" {
		t.Errorf("%s frame is %q, reason %q", f.Kind, names(f), s.Reason(m))
	}

	write("ffffffff81000000 T do_work\nffffffff81000010 t new_program\t[bpf]\n")
	if err := s.Refresh(); err != nil {
		t.Fatal(err)
	}
	f = frame()
	s.Symbolize([]*staccato.Frame{f})
	if names(f) != "new_program" {
		t.Errorf("after a refresh frame is %q", names(f))
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := s.Refresh(); err == nil {
		t.Error("no error without a list")
	}
	f = frame()
	s.Symbolize([]*staccato.Frame{f})
	if names(f) != "new_program" {
		t.Errorf("after a refresh that failed frame is %q", names(f))
	}
}
