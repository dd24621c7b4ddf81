package elfsym

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

func run(t testing.TB, pkg, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install it with apt-get install %s", name, pkg)
	}
	out, err := exec.Command(path, args...).Output()
	if err != nil {
		t.Fatalf("run %s %q: %v", name, args, err)
	}
	return out
}

// cProgram builds the C++ test program.
func cProgram(t testing.TB, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	run(t, "g++", "g++", slices.Concat([]string{"-O1", "-o", out, "testdata/program.cc"}, flags)...)
	return out
}

func read(t testing.TB, path string, config Config) (*Table, error) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := elffile.Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return New(file, config)
}

// wanted is a function symbol as readelf prints it.
type wanted struct {
	start, size uint64
	global      bool
	name        string
}

// readelf returns the function symbols of a file.
func readelf(t testing.TB, path string) []wanted {
	t.Helper()
	var all []wanted
	in := bufio.NewScanner(bytes.NewReader(run(t, "binutils", "readelf", "-sW", path)))
	for in.Scan() {
		// Num: Value Size Type Bind Vis Ndx Name
		f := strings.Fields(in.Text())
		if len(f) < 8 || f[3] != "FUNC" && f[3] != "IFUNC" || f[6] == "UND" {
			continue
		}
		start, err := strconv.ParseUint(f[1], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		size, err := strconv.ParseUint(f[2], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(f[7], "@")
		all = append(all, wanted{start, size, f[4] == "GLOBAL", name})
	}
	if len(all) == 0 {
		t.Fatalf("readelf knows no functions in %s", path)
	}
	return all
}

// TestAgainstReadelf looks up addresses in each function that readelf lists.
// The answer must be a function that covers the address, none that covers it
// may start later, and it must be global when there is a global one.
func TestAgainstReadelf(t *testing.T) {
	libc := "/lib/x86_64-linux-gnu/libc.so.6"
	if _, err := os.Stat(libc); err != nil {
		libc = "/lib/aarch64-linux-gnu/libc.so.6"
	}
	python, err := filepath.Glob("/usr/bin/python3.[0-9]*[0-9]")
	if err != nil || len(python) == 0 {
		t.Fatal("python3 is missing: install it with apt-get install python3")
	}
	program := cProgram(t)
	static := cProgram(t, "-static")
	stripped := cProgram(t, "-s", "-rdynamic")
	for _, path := range []string{libc, python[0], program, static, stripped} {
		t.Run(filepath.Base(path), func(t *testing.T) {
			table, err := read(t, path, Config{})
			if err != nil {
				t.Fatal(err)
			}
			symbols := readelf(t, path)
			for _, s := range symbols {
				for _, at := range []uint64{0, s.size / 2, s.size - 1} {
					if s.size > 0 {
						check(t, table, symbols, s.start+at)
					} else if at == 0 {
						check(t, table, symbols, s.start)
					}
				}
			}
			t.Logf("%d functions, %d ranges, %d bytes", len(symbols), table.Len(), table.Size())
		})
	}
}

func check(t *testing.T, table *Table, symbols []wanted, address uint64) {
	t.Helper()
	lines, ok := table.Resolve(address)
	if !ok {
		t.Errorf("%#x has no name", address)
		return
	}
	got := lines[0].Function.Name
	start, global, sized := uint64(0), false, false
	var names []string
	for _, s := range symbols {
		covers := address >= s.start && address < s.start+s.size
		if covers && (!sized || s.start > start) {
			start, global, sized, names = s.start, false, true, nil
		}
		if (covers && s.start == start || !sized && s.size == 0 && address == s.start) && (s.global || !global) {
			if s.global && !global {
				names, global = nil, true
			}
			names = append(names, s.name)
		}
	}
	if !slices.Contains(names, got) {
		t.Errorf("%#x is %s, readelf says %q", address, got, names)
	}
}

// address returns where nm says a symbol is.
func address(t *testing.T, path, name string) uint64 {
	t.Helper()
	for _, line := range strings.Split(string(run(t, "binutils", "nm", path)), "\n") {
		if f := strings.Fields(line); len(f) == 3 && f[2] == name {
			v, err := strconv.ParseUint(f[0], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("nm does not know %s", name)
	return 0
}

func TestRules(t *testing.T) {
	path := cProgram(t, "-rdynamic")
	stripped := path + ".stripped"
	run(t, "binutils", "strip", "--strip-all", "-o", stripped, path)
	outer, noSize, framed := address(t, path, "outer"), address(t, path, "no_size"), address(t, path, "framed")
	for _, test := range []struct {
		why      string
		address  uint64
		want     string // "" for no name
		stripped string
	}{
		{"global before weak, and the shorter name", address(t, path, "global_function"), "global_alias", "global_alias"},
		{"before the function inside", outer + 1, "outer", "outer"},
		{"the function inside", outer + 2, "inner", "inner"},
		{"after the function inside", outer + 3, "outer", "outer"},
		{"a label without size does not split a function", outer + 4, "outer", "outer"},
		{"a symbol without size names its own address", noSize, "no_size", "no_size"},
		{"and the next, when all functions are known", noSize + 1, "no_size", ""},
		{"code that is described has an end", framed + 1, "framed", "framed"},
		{"and no name behind it", framed + 2, "", ""},
		{"a local function ends it", framed + 3, "hidden", ""},
		{"data has no name", address(t, path, "data_start"), "", ""},
		{"nor has what lies before everything", 1, "", ""},
	} {
		for _, file := range []struct{ path, want string }{{path, test.want}, {stripped, test.stripped}} {
			table, err := read(t, file.path, Config{})
			if err != nil {
				t.Fatal(err)
			}
			lines, ok := table.Resolve(test.address)
			if got := name(lines); got != file.want || ok != (file.want != "") {
				t.Errorf("%s: %#x of %s is %q, want %q", test.why, test.address, file.path, got, file.want)
			}
		}
	}
}
