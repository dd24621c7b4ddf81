package debugfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elfsym"
)

// TestPlaces puts a debug file, made by objcopy, into each place where it may
// lie. eu-unstrip says that it belongs to the executable.
func TestPlaces(t *testing.T) {
	path := build(t, "1")
	id := buildIDOf(t, path)
	executable, debug := split(t, path)
	tool(t, "elfutils", "eu-unstrip", executable, debug, "-o", filepath.Join(t.TempDir(), "whole"))
	for _, where := range []string{
		place(id), "bin/program.debug", "bin/.debug/program.debug", "usr/lib/debug/bin/program.debug",
	} {
		for _, container := range []bool{true, false} {
			theirs, ours := newFolder(t, t.TempDir()), newFolder(t, t.TempDir())
			root := ours
			if container {
				root = theirs
			}
			root.put(t, debug, where)
			set := find(t, executable, Config{}, theirs, ours)
			if set.Debug == nil || set.Path != "/"+where || set.Reason != "" || set.Alternate != nil || set.Mini != nil {
				t.Errorf("%s: %+v", where, set)
				continue
			}
			if !HasDebugInfo(set.Debug) || set.Debug.BuildID() != id || !set.Stripped() {
				t.Errorf("%s: not the debug file", where)
			}
			checkNames(t, set, path)
		}
	}
}

// checkNames looks up every function that nm finds in the program before it
// was stripped.
func checkNames(t *testing.T, set *Set, path string) {
	t.Helper()
	table, err := elfsym.New(set.Executable, elfsym.Config{More: set.Symbols()})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for line := range strings.Lines(tool(t, "binutils", "nm", "--defined-only", path)) {
		f := strings.Fields(line)
		if len(f) != 3 || f[2] != "hidden" && f[2] != "exported" && f[2] != "main" {
			continue
		}
		address, err := parseHex(f[0])
		if err != nil {
			t.Fatal(err)
		}
		lines, ok := table.Resolve(address + 1)
		if !ok || lines[0].Function.SystemName != f[2] {
			t.Errorf("%#x is %v, nm says %s", address, lines, f[2])
		}
		found++
	}
	if found != 3 {
		t.Errorf("nm knows %d of the functions", found)
	}
}

// TestContainerFirst has two files that are right: the process's own is taken.
func TestContainerFirst(t *testing.T) {
	path := build(t, "1")
	executable, debug := split(t, path)
	theirs, ours := newFolder(t, t.TempDir()), newFolder(t, t.TempDir())
	theirs.put(t, debug, "bin/program.debug")
	ours.put(t, debug, place(buildIDOf(t, path)))
	if set := find(t, executable, Config{}, theirs, ours); set.Path != "/bin/program.debug" {
		t.Errorf("path is %s", set.Path)
	}
}

// TestAnotherBuild has debug files that are not the executable's: none is
// taken, and the reason says so.
func TestAnotherBuild(t *testing.T) {
	path := build(t, "1")
	id := buildIDOf(t, path)
	executable, debug := split(t, path)
	twin := build(t, "2")
	_, twinDebug := split(t, twin)

	// The twin with its CRC in the executable, as if it had been built wrongly.
	linked := filepath.Join(t.TempDir(), "program")
	tool(t, "binutils", "objcopy", "--strip-all", "--add-gnu-debuglink="+twinDebug, path, linked)
	// The right file, with a byte more.
	longer := filepath.Join(t.TempDir(), "longer")
	b, err := os.ReadFile(debug)
	if err == nil {
		err = os.WriteFile(longer, append(b, 0), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	without := filepath.Join(t.TempDir(), "without")
	tool(t, "binutils", "objcopy", "--remove-section=.note.gnu.build-id", debug, without)
	// Neither has a build ID: the CRC decides.
	bare := build(t, "1", "-Wl,--build-id=none")
	bareExecutable, bareDebug := split(t, bare)
	bareTwin := build(t, "2", "-Wl,--build-id=none")
	_, bareTwinDebug := split(t, bareTwin)

	for _, test := range []struct {
		name, executable, debug, at string
		want                        string // reason, "" when the file is right
	}{
		{"the twin by build ID", executable, twinDebug, place(id), "is of another build, with build ID " + buildIDOf(t, twin)},
		{"the twin by name", executable, twinDebug, "bin/program.debug", "is of another build, with build ID"},
		{"the twin with its CRC", linked, twinDebug, "bin/program.debug", "is of another build, with build ID"},
		{"another CRC", executable, longer, "bin/program.debug", "is of another build, with CRC"},
		{"no build ID", executable, without, place(id), "has no build ID"},
		{"text", executable, "/etc/passwd", place(id), "cannot be read: not an ELF file"},
		{"nothing", executable, debug, "elsewhere", "no debug file found"},
		{"by CRC alone", bareExecutable, bareDebug, "bin/.debug/program.debug", ""},
		{"by CRC alone, the twin", bareExecutable, bareTwinDebug, "bin/.debug/program.debug", "is of another build, with CRC"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := newFolder(t, t.TempDir())
			root.put(t, test.debug, test.at)
			set := find(t, test.executable, Config{}, root)
			if (set.Debug == nil) != (test.want != "") || !strings.Contains(set.Reason, test.want) || (set.Reason == "") != (test.want == "") {
				t.Errorf("debug file %v, reason %q, want %q", set.Debug, set.Reason, test.want)
			}
			t.Logf("reason: %s", set.Reason)

			// The right one is found all the same, in the next root.
			next := newFolder(t, t.TempDir())
			next.put(t, debug, place(id))
			if test.executable == executable {
				if set := find(t, executable, Config{}, root, next); set.Debug == nil || set.Path != "/"+place(id) {
					t.Errorf("with the right one: %+v", set)
				}
			}
		})
	}
}

func TestAnotherProcessor(t *testing.T) {
	const id = "-Wl,--build-id=0x0123456789"
	executable, _ := split(t, build(t, "1", id))
	arm := filepath.Join(t.TempDir(), "arm")
	source := filepath.Join(t.TempDir(), "program.c")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	compiler, pkg := "aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"
	if strings.HasPrefix(tool(t, "gcc", "gcc", "-dumpmachine"), "aarch64") {
		compiler, pkg = "x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu"
	}
	tool(t, pkg, compiler, "-g", id, "-DVALUE=1", "-o", arm, source)
	root := newFolder(t, t.TempDir())
	root.put(t, arm, place("0123456789"))
	if set := find(t, executable, Config{}, root); set.Debug != nil || !strings.Contains(set.Reason, "another processor") {
		t.Errorf("%+v", set)
	}
}

// An executable with debug information needs no other file.
func TestWhole(t *testing.T) {
	path := build(t, "1")
	if set := find(t, path, Config{}); set.Debug != nil || set.Reason != "" || set.Stripped() || len(set.Symbols()) > 0 {
		t.Errorf("%+v", set)
	}
}

func TestNothingToFindBy(t *testing.T) {
	path := build(t, "1", "-s", "-Wl,--build-id=none")
	if set := find(t, path, Config{}, newFolder(t, t.TempDir())); set.Reason != "no build ID to find a debug file by" {
		t.Errorf("%+v", set)
	}
}

// TestAlternate has two programs whose debug files share a third, as dwz makes
// it.
func TestAlternate(t *testing.T) {
	one, two := build(t, "1"), build(t, "2")
	executable, debug := split(t, one)
	_, other := split(t, two)
	dir := t.TempDir()
	common := filepath.Join(dir, "common")
	for _, test := range []struct {
		name string // that dwz writes into the debug files
		at   string
	}{
		{"/usr/lib/debug/.dwz/common", "usr/lib/debug/.dwz/common"},
		{"../../.dwz/common", "usr/lib/debug/.dwz/common"},
		{"../shared/common", "usr/lib/debug/.build-id/shared/common"},
		{"/somewhere/else", "by build ID"},
	} {
		a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
		tool(t, "coreutils", "cp", debug, a)
		tool(t, "coreutils", "cp", other, b)
		tool(t, "dwz", "dwz", "-m", common, "-M", test.name, a, b)
		commonID := buildIDOf(t, common)
		at := test.at
		if at == "by build ID" {
			at = place(commonID)
		}
		root := newFolder(t, t.TempDir())
		root.put(t, a, place(buildIDOf(t, one)))
		root.put(t, common, at)
		set := find(t, executable, Config{}, root)
		if set.Debug == nil || set.Alternate == nil || set.Reason != "" || set.Alternate.BuildID() != commonID {
			t.Errorf("%s: %+v", test.name, set)
		}
		// Of another run of dwz, or none at all.
		root.put(t, other, at)
		if set := find(t, executable, Config{}, root); set.Debug == nil || set.Alternate != nil || !strings.Contains(set.Reason, "/"+at+" is of another build") {
			t.Errorf("%s, another file: %+v", test.name, set)
		}
		if err := os.Remove(filepath.Join(root.dir, at)); err != nil {
			t.Fatal(err)
		}
		if set := find(t, executable, Config{}, root); set.Debug == nil || set.Alternate != nil || set.Reason != "shared debug file "+test.name+" not found" {
			t.Errorf("%s, no file: %+v", test.name, set)
		}
	}
}

// A whole program, too, may share debug information with others.
func TestAlternateOfExecutable(t *testing.T) {
	one, two := build(t, "1"), build(t, "2")
	common := filepath.Join(t.TempDir(), "common")
	tool(t, "dwz", "dwz", "-m", common, "-M", "../lib/common", one, two)
	root := newFolder(t, t.TempDir())
	root.put(t, common, "lib/common")
	if set := find(t, one, Config{}, root); set.Debug != nil || set.Alternate == nil || set.Reason != "" {
		t.Errorf("%+v", set)
	}
}

// TestSplit has debug information in a .dwo file, and in one .dwp.
func TestSplit(t *testing.T) {
	dir := t.TempDir()
	source, out := filepath.Join(dir, "program.c"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "gcc", "gcc", "-g", "-gsplit-dwarf", "-DVALUE=1", "-c", "-o", out+".o", source)
	tool(t, "gcc", "gcc", "-o", out, out+".o")
	root, ours := newFolder(t, t.TempDir()), newFolder(t, t.TempDir())
	set := find(t, out, Config{}, root, ours)
	if set.Reason != "" || set.Package != nil {
		t.Errorf("%+v", set)
	}
	ours.put(t, out+".dwo", "src/program.dwo")
	if _, _, err := set.OpenObject("/src/program.dwo"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("outside of the program's root: %v", err)
	}
	root.put(t, out+".dwo", "src/program.dwo")
	root.put(t, source, "src/program.c")
	f, closer, err := set.OpenObject("/src/program.dwo")
	if err != nil || f.Section(".debug_info.dwo") == nil {
		t.Fatalf("%v: %+v", err, f)
	}
	closer.Close()
	if _, _, err := set.OpenObject("/src/program.c"); err == nil || !strings.Contains(err.Error(), "/src/program.c cannot be read: not an ELF file") {
		t.Errorf("no ELF file: %v", err)
	}

	for _, test := range []struct {
		root *folder
		path string
		want bool
	}{
		{ours, "bin/program.dwp", false}, {ours, "usr/lib/debug/bin/program.dwp", true},
		{root, "usr/lib/debug/bin/program.dwp", true}, {root, "bin/program.dwp", true},
	} {
		test.root.put(t, out+".dwo", test.path)
		if set := find(t, out, Config{}, root, ours); set.Package != nil != test.want || set.Reason != "" {
			t.Errorf("with %s: %+v", test.path, set)
		}
		if err := os.Remove(filepath.Join(test.root.dir, test.path)); err != nil {
			t.Error(err)
		}
	}
}

// fetcher is a Fetcher for tests.
type fetcher map[string]func(later func()) (staccato.OpenFile, error)

func (f fetcher) Fetch(buildID string, later func()) (staccato.OpenFile, error) {
	if answer := f[buildID]; answer != nil {
		return answer(later)
	}
	return nil, fs.ErrNotExist
}

func TestFetcher(t *testing.T) {
	path := build(t, "1")
	id := buildIDOf(t, path)
	executable, debug := split(t, path)
	twin := build(t, "2")
	root := newFolder(t, "/")
	give := func(file string) func(func()) (staccato.OpenFile, error) {
		return func(func()) (staccato.OpenFile, error) { return root.Open(file) }
	}
	set := find(t, executable, Config{Fetcher: fetcher{id: give(debug)}}, root)
	if set.Debug == nil || set.Reason != "" {
		t.Errorf("%+v", set)
	}
	checkNames(t, set, path)
	if set := find(t, executable, Config{Fetcher: fetcher{id: give(twin)}}, root); set.Debug != nil || !strings.Contains(set.Reason, "from a server is of another build") {
		t.Errorf("another file: %+v", set)
	}
	if set := find(t, executable, Config{Fetcher: fetcher{}}, root); set.Reason != "no debug file found" {
		t.Errorf("no file: %+v", set)
	}
	called := 0
	pending := fetcher{id: func(later func()) (staccato.OpenFile, error) { later(); return nil, ErrPending }}
	if set := find(t, executable, Config{Fetcher: pending, Later: func() { called++ }}, root); set.Reason != "debug file being asked for" || called != 1 {
		t.Errorf("pending: %+v", set)
	}
	failing := fetcher{id: func(func()) (staccato.OpenFile, error) { return nil, errors.New("too large") }}
	if set := find(t, executable, Config{Fetcher: failing}, root); set.Reason != "debug file too large" {
		t.Errorf("failing: %+v", set)
	}
}
