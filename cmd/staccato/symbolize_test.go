package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/input"
)

// inlining builds a program and returns its path and an address in a function
// that is inlined into another.
func inlining(t *testing.T) (path, address string) {
	t.Helper()
	dir := t.TempDir()
	source, path := filepath.Join(dir, "p.cc"), filepath.Join(dir, "p")
	text := `namespace space {
inline __attribute__((always_inline)) void inlined() {
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
}
__attribute__((noinline)) void outer() { inlined(); }
}
int main() { space::outer(); }
`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "g++", "-O2", "-g", "-o", path, source)
	for line := range strings.Lines(tool(t, "nm", path)) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "_ZN5space5outerEv" {
			at, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return path, "0x" + strconv.FormatUint(at+5, 16)
		}
	}
	t.Fatal("nm does not know space::outer")
	return "", ""
}

func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("run %s %q: %v", name, args, err)
	}
	return string(out)
}

// symbolize runs the command with an index directory of its own.
func symbolize(t *testing.T, stdin string, args ...string) (a testApp, code int) {
	t.Helper()
	a = newTestApp(t)
	a.stdin = strings.NewReader(stdin)
	return a, a.run(append([]string{"symbolize", "--index-dir", filepath.Join(t.TempDir(), "index")}, args...))
}

func TestSymbolize(t *testing.T) {
	path, address := inlining(t)
	want := "space::inlined\n" + path + ".cc:3:2\nspace::outer\n" + path + ".cc:5:49\n\n??\n??:0:0\n\n"
	a, code := symbolize(t, "", path, address, "0x1")
	if code != 0 || a.out.String() != want || a.err.String() != "" {
		t.Errorf("code %d, stderr %q, printed:\n%s\nwant:\n%s", code, a.err, a.out, want)
	}
	for _, stdin := range []string{address + "\n\n  1\r\n", strings.ToUpper(address) + "\n1"} {
		a, code = symbolize(t, stdin, path)
		if code != 0 || a.out.String() != want {
			t.Errorf("%q from standard input: code %d, printed:\n%s", stdin, code, a.out)
		}
	}
	a, code = symbolize(t, "", "--demangle", "none", path, address)
	if code != 0 || !strings.Contains(a.out.String(), "\n_ZN5space5outerEv\n") {
		t.Errorf("mangled: code %d, printed:\n%s", code, a.out)
	}
}

// TestSymbolizeAsLLVM prints the same bytes as llvm-symbolizer.
func TestSymbolizeAsLLVM(t *testing.T) {
	path, address := inlining(t)
	want := tool(t, "llvm-symbolizer-19", "--obj="+path, "--no-demangle", address, "0x1")
	a, code := symbolize(t, "", "--demangle", "none", path, address, "0x1")
	if got := a.out.String(); code != 0 || got != want {
		t.Errorf("code %d, printed:\n%s\nwant:\n%s", code, got, want)
	}
}

func TestSymbolizeJSON(t *testing.T) {
	path, address := inlining(t)
	a, code := symbolize(t, "", "--json", path, address, "0x1")
	lines := strings.Split(strings.TrimSpace(a.out.String()), "\n")
	if code != 0 || len(lines) != 2 {
		t.Fatalf("code %d, printed:\n%s", code, a.out)
	}
	var got jsonAddress
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatal(err)
	}
	want := jsonFrame{Column: 49, FileName: path + ".cc", FunctionName: "space::outer", Line: 5, StartLine: 5}
	if got.Address != address || len(got.Symbol) != 2 || got.Symbol[1] != want {
		t.Errorf("printed %s, want %+v as second", lines[0], want)
	}
	if want := `{"Address":"0x1","Symbol":[]}`; lines[1] != want {
		t.Errorf("printed %s, want %s", lines[1], want)
	}
}

func TestSymbolizeErrors(t *testing.T) {
	path, _ := inlining(t)
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		stdin, args string
		code        int
		says        string
	}{
		{"", "", exitUsage, "at least 1 arg"},
		{"", path + " main", exitUsage, `"main" is no address`},
		{"1\nmain\n", path, exitFailure, `line 2: "main" is no address`},
		{"0x\n", path, exitFailure, `line 1: "0x" is no address`},
		{"1\n10000000000000000", path, exitFailure, `line 2: "10000000000000000" is no address`},
		{strings.Repeat("0", 1<<20), path, exitFailure, "read addresses: "},
		{"", "--demangle much " + path + " 1", exitUsage, "--demangle much"},
		{"", "-o x.pb.gz " + path + " 1", exitUsage, "-o is for profiles"},
		{"", "-o x.txt " + path, exitUsage, "x.txt"},
		{"", "-o x.pb.gz " + text, exitFailure, "unrecognized profile format"},
		{"", "/none 1", exitFailure, "no such file"},
		{"", text + " 1", exitFailure, "not an ELF file"},
		{"", "/dev/null 1", exitFailure, "not a regular file"},
	} {
		a, code := symbolize(t, test.stdin, strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(a.err.String(), test.says) || a.out.String() != "" {
			t.Errorf("%s: code %d, want %d; stderr %q, stdout %q", test.args, code, test.code, a.err, a.out)
		}
		if left := files(t); len(left) > 0 {
			t.Errorf("%s: files %v are left", test.args, left)
		}
	}
}

// TestSymbolizeProfile names what a profiler without symbols wrote.
func TestSymbolizeProfile(t *testing.T) {
	path, address := inlining(t)
	at, err := strconv.ParseUint(address[2:], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	id := ""
	for line := range strings.Lines(tool(t, "readelf", "-n", path)) {
		if _, found, ok := strings.Cut(line, "Build ID: "); ok {
			id = strings.TrimSpace(found)
		}
	}
	// The code of small programs is where it is in the file.
	const base = 0x7f0000000000
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}},
		Mapping: []*profile.Mapping{
			{ID: 1, Start: base + 0x1000, Limit: base + 0x2000, Offset: 0x1000, File: path, BuildID: id},
			{ID: 2, Start: base + 0x11000, Limit: base + 0x12000, Offset: 0x1000, File: path, BuildID: "0123"},
			{ID: 3, Start: base + 0x21000, Limit: base + 0x22000, Offset: 0x1000, File: path},
		},
		Function: []*profile.Function{{ID: 7, Name: "known"}},
	}
	for i, m := range p.Mapping {
		p.Location = append(p.Location, &profile.Location{ID: uint64(i + 1), Mapping: m, Address: m.Start - 0x1000 + at})
	}
	known := &profile.Location{ID: 4, Mapping: p.Mapping[0], Address: base + 0x1001, Line: []profile.Line{{Function: p.Function[0]}}}
	p.Location = append(p.Location, known)
	p.Sample = []*profile.Sample{{Location: p.Location, Value: []int64{1}}}

	in := filepath.Join(t.TempDir(), "in.pb.gz")
	f, err := os.Create(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Write(f); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	a, code := symbolize(t, "", "-o", "out.pb.gz", in)
	if code != 0 {
		t.Fatalf("code %d: %s", code, a.err)
	}
	named, err := a.readProfile("out.pb.gz", input.Auto)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range named.Location {
		var names []string
		for _, line := range l.Line {
			names = append(names, line.Function.Name+":"+strconv.FormatInt(line.Line, 10))
		}
		got = append(got, strings.Join(names, "<"))
	}
	if want := "space::inlined:3<space::outer:5,,,known:0"; strings.Join(got, ",") != want {
		t.Errorf("frames are %q, want %s", got, want)
	}
	for _, says := range []string{"Named 1 location.", "has another build ID", "no build ID for it", "Saved out.pb.gz"} {
		if !strings.Contains(a.err.String(), says) {
			t.Errorf("%q is not in stderr: %s", says, a.err)
		}
	}
	if f := named.Location[0].Line[1].Function; f.SystemName != "_ZN5space5outerEv" || f.Filename != path+".cc" || f.StartLine != 5 {
		t.Errorf("function %+v", f)
	}
}
