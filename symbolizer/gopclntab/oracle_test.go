package gopclntab

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

var toolchains = flag.String("toolchains", "local", "comma-separated versions of Go, as GOTOOLCHAIN names them, whose tables are tested")

// build compiles the test program and returns its path.
func build(t testing.TB, toolchain, name string, env []string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", slices.Concat([]string{"build", "-o", out}, args, []string{"."})...)
	cmd.Dir = "testdata/program"
	cmd.Env = append(append(os.Environ(), "GOTOOLCHAIN="+toolchain, "GOENV=off", "GOFLAGS=", "GOROOT="), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build test program: %v\n%s", err, b)
	}
	if toolchain != "local" {
		if version, err := exec.Command("go", "version", out).Output(); err != nil || !strings.Contains(string(version), toolchain) {
			t.Fatalf("program was built by %s, not %s: %v", version, toolchain, err)
		}
	}
	return out
}

// tool returns the first of the named programs that is installed.
func tool(t testing.TB, pkg string, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: install it with apt-get install %s", names[0], pkg)
	return ""
}

func open(t testing.TB, path string) *elffile.File {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elffile.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func readTable(t testing.TB, path string) *Table {
	t.Helper()
	table, err := New(open(t, path), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if !table.Inlined() {
		t.Fatal("inlined calls were not found")
	}
	return table
}

// llvm returns what llvm-symbolizer reads from DWARF for each address. It is
// nil where DWARF knows nothing. The lines where functions begin are left out
// unless startLines is set.
func llvm(t testing.TB, path string, addresses []uint64, startLines bool) [][]string {
	t.Helper()
	cmd := exec.Command(tool(t, "llvm-19", "llvm-symbolizer-19", "llvm-symbolizer"), "--obj="+path, "--output-style=JSON")
	var in strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&in, "%#x\n", a)
	}
	cmd.Stdin, cmd.Stderr = strings.NewReader(in.String()), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run llvm-symbolizer: %v", err)
	}
	var all [][]string
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var answer struct {
			Symbol []struct {
				FunctionName, FileName string
				Line, StartLine        int64
			}
		}
		if err := decoder.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, s := range answer.Symbol {
			if s.FileName == "" {
				break
			}
			// The linker's symbol names end in the calling convention where
			// a function has code for both.
			name := strings.TrimSuffix(s.FunctionName, ".abi0")
			// DWARF has a directory even for files that are none.
			file := strings.TrimPrefix(s.FileName, "./")
			line := fmt.Sprintf("%s %s:%d", name, file, s.Line)
			if startLines {
				line += fmt.Sprintf(" from %d", s.StartLine)
			}
			lines = append(lines, line)
		}
		all = append(all, lines)
	}
	if len(all) != len(addresses) {
		t.Fatalf("llvm-symbolizer answered %d of %d addresses", len(all), len(addresses))
	}
	return all
}

func resolve(table *Table, address uint64) []string {
	lines, _ := table.Resolve(address)
	return format(lines)
}

func format(lines []staccato.Line) []string {
	var out []string
	for _, l := range lines {
		line := fmt.Sprintf("%s %s:%d", l.Function.Name, l.Function.File, l.Line)
		if l.Function.StartLine > 0 {
			line += fmt.Sprintf(" from %d", l.Function.StartLine)
		}
		out = append(out, line)
	}
	return out
}

func randomAddresses(table *Table, n int) []uint64 {
	r := rand.New(rand.NewPCG(1, 2))
	start, limit := table.Range()
	addresses := make([]uint64, n)
	for i := range addresses {
		addresses[i] = start + r.Uint64N(limit-start)
	}
	return addresses
}

// TestAgainstDWARF compares random addresses with what llvm-symbolizer reads
// from the same program's DWARF.
func TestAgainstDWARF(t *testing.T) {
	// llvm-symbolizer does not know the compression of Go 1.18 and before.
	const uncompressed = "-ldflags=-compressdwarf=false"
	kinds := []struct {
		name string
		env  []string
		args []string
	}{
		{"static", []string{"CGO_ENABLED=0"}, []string{uncompressed}},
		{"pie", []string{"CGO_ENABLED=0"}, []string{"-buildmode=pie", uncompressed}},
		{"external pie", nil, []string{"-buildmode=pie", "-ldflags=-linkmode=external -compressdwarf=false"}},
		{"arm64 pie", []string{"CGO_ENABLED=0", "GOARCH=arm64"}, []string{"-buildmode=pie", uncompressed}},
	}
	for _, toolchain := range strings.Split(*toolchains, ",") {
		for _, kind := range kinds {
			t.Run(toolchain+" "+kind.name, func(t *testing.T) {
				path := build(t, toolchain, "program", kind.env, kind.args...)
				table := readTable(t, path)
				compare(t, table, path)
				stripped := path + ".stripped"
				if out, err := exec.Command(tool(t, "llvm-19", "llvm-strip-19", "llvm-strip"), "-o", stripped, path).CombinedOutput(); err != nil {
					t.Fatalf("strip: %v\n%s", err, out)
				}
				same(t, table, readTable(t, stripped))
			})
		}
	}
}

func compare(t *testing.T, table *Table, path string) {
	addresses := randomAddresses(table, 10_000)
	known, equal, inlined := 0, 0, 0
	for i, want := range llvm(t, path, addresses, table.header.startLine > 0) {
		if want == nil {
			continue // padding between functions
		}
		known++
		if len(want) > 1 {
			inlined++
		}
		if got := resolve(table, addresses[i]); slices.EqualFunc(got, want, like) {
			equal++
		} else if known-equal <= 5 {
			t.Logf("%#x:\n got %q\nwant %q", addresses[i], got, want)
		}
	}
	t.Logf("%d of %d equal, %d inlined, %d bytes", equal, known, inlined, table.Size())
	if table.Size() > table.whole+(tablePages+callPages)*pageSize+64<<10 {
		t.Errorf("the table takes %d bytes", table.Size())
	}
	if known < len(addresses)/2 || inlined < known/10 {
		t.Errorf("llvm-symbolizer knows %d of %d addresses, %d of them inlined: too few for a test", known, len(addresses), inlined)
	}
	if equal*100 < known*99 {
		t.Errorf("%d of %d addresses are like DWARF, want 99 %%", equal, known)
	}
}

// like reports whether a line is DWARF's, which does not say where some
// functions begin.
func like(got, want string) bool {
	if known, ok := strings.CutSuffix(want, " from 0"); ok {
		got, _, _ = strings.Cut(got, " from ")
		want = known
	}
	return got == want
}

// same checks that two tables give the same answers.
func same(t *testing.T, a, b *Table) {
	t.Helper()
	for _, address := range randomAddresses(a, 10_000) {
		if x, y := resolve(a, address), resolve(b, address); !slices.Equal(x, y) {
			t.Fatalf("%#x: %q and, stripped, %q", address, x, y)
		}
	}
}

// TestStripped checks that a program linked without symbols and DWARF reads
// like the one with.
func TestStripped(t *testing.T) {
	env := []string{"CGO_ENABLED=0"}
	same(t, readTable(t, build(t, "local", "full", env)), readTable(t, build(t, "local", "stripped", env, "-ldflags=-s -w")))
}
