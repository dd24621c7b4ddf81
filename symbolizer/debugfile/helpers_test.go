package debugfile

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// folder is a root for tests that counts what is open.
type folder struct {
	dir  string
	open int
}

func newFolder(t testing.TB, dir string) *folder {
	r := &folder{dir: dir}
	t.Cleanup(func() {
		if r.open != 0 {
			t.Errorf("%d files are left open", r.open)
		}
	})
	return r
}

type folderFile struct {
	*bytes.Reader
	of *folder
}

func (f folderFile) Close() error { f.of.open--; return nil }

func (r *folder) Open(path string) (staccato.OpenFile, error) {
	b, err := os.ReadFile(filepath.Join(r.dir, path))
	if err != nil {
		return nil, err
	}
	r.open++
	return folderFile{bytes.NewReader(b), r}, nil
}

// put copies a file to a path of the root.
func (r *folder) put(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(filepath.Join(r.dir, to)), 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(r.dir, to), b, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tool runs a program that tests need, and returns what it prints.
func tool(t testing.TB, pkg, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: install it with apt-get install %s", name, pkg)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

const text = `
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
static int __attribute__((noinline)) hidden(int x) { __asm__(""); return x + VALUE; }
int __attribute__((noinline)) exported(int x) { __asm__(""); return hidden(x) + 1; }
int main(int argc, char **argv) { (void)argv; return exported(argc); }
`

// build compiles the test program with debug information.
func build(t testing.TB, value string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	source, out := filepath.Join(dir, "program.c"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "gcc", "gcc", append([]string{"-g", "-O1", "-rdynamic", "-Wl,--build-id", "-DVALUE=" + value, "-o", out, source}, flags...)...)
	return out
}

// split makes a stripped executable, and its debug file beside it, which is
// named like it with ".debug".
func split(t testing.TB, path string) (executable, debug string) {
	t.Helper()
	executable, debug = filepath.Join(t.TempDir(), "program"), path+".debug"
	tool(t, "binutils", "objcopy", "--only-keep-debug", path, debug)
	tool(t, "binutils", "objcopy", "--strip-all", "--add-gnu-debuglink="+debug, path, executable)
	return executable, debug
}

// open returns an executable as if a process had mapped it at a path.
func open(t testing.TB, file, path string, roots ...staccato.Root) (*staccato.Mapping, *elffile.File) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m := &staccato.Mapping{Path: path, File: bytes.NewReader(b), Roots: roots}
	f, err := elffile.Open(m.File)
	if err != nil {
		t.Fatal(err)
	}
	m.BuildID = f.BuildID()
	return m, f
}

// find searches for the files of an executable that a process had mapped at
// /bin/program.
func find(t testing.TB, executable string, config Config, roots ...staccato.Root) *Set {
	t.Helper()
	m, f := open(t, executable, "/bin/program", roots...)
	set := Find(m, f, config)
	t.Cleanup(set.Close)
	return set
}

// buildIDOf asks readelf.
func buildIDOf(t testing.TB, path string) string {
	t.Helper()
	_, after, ok := strings.Cut(tool(t, "binutils", "readelf", "-n", path), "Build ID: ")
	if !ok {
		t.Fatalf("readelf knows no build ID of %s", path)
	}
	id, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(id)
}

// place is where a debug file lies by its build ID.
func place(id string) string { return "usr/lib/debug/.build-id/" + id[:2] + "/" + id[2:] + ".debug" }
