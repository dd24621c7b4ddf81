package index

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/symbolizer/dwarf"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/testdata/symbolizers"
)

// compileSplit makes a program of two objects whose debugging information is
// mostly in .dwo files, all in a folder.
func compileSplit(t *testing.T, compiler, version string) string {
	t.Helper()
	name := compiler + " split " + version
	if path := compiled[name]; path != "" {
		return path
	}
	dir := filepath.Join(folder, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	link := []string{"-o", program, "-pthread"}
	for object, main := range map[string]string{"mixed": "main", "server": "other"} {
		out := filepath.Join(dir, object+".o")
		source := filepath.Join("../../testdata/workloads/cpp", object+".cc")
		run(t, compiler, compiler, "-std=c++17", "-O2", "-g", "-gdwarf-"+version, "-gsplit-dwarf", "-Dmain="+main, "-c", "-o", out, source)
		link = append(link, out)
	}
	run(t, compiler, compiler, link...)
	compiled[name] = program
	return program
}

// openObject opens .dwo files.
func openObject(path string) (*elffile.File, io.Closer, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := elffile.OpenDebug(bytes.NewReader(b))
	return f, io.NopCloser(nil), err
}

// What was split off gives the same names as what llvm-symbolizer finds there, in
// one file per object or in one of all.
func TestSplit(t *testing.T) {
	for _, compiler := range []string{"g++", "clang++-19"} {
		for _, version := range []string{"4", "5"} {
			t.Run(compiler+" "+version, func(t *testing.T) {
				path := compileSplit(t, compiler, version)
				s := source(t, path)
				s.Split.Open = openObject
				objects := build(t, s)
				x := parse(t, objects)
				if what, missed := x.Missed(); what != "" || missed != "" {
					t.Errorf("missed %q, %q", what, missed)
				}
				againstLLVM(t, path, x, 10000, false)

				// The tool of binutils knows no version 5. With gcc's server.dwo of that
				// version LLVM's never ends, so that stays outside of the package.
				args := []string{"timeout", "60", "llvm-dwp-19", "-e", path}
				switch {
				case compiler == "g++" && version == "4":
					args = []string{"dwp", "-e", path}
				case compiler == "g++":
					args = []string{"timeout", "60", "llvm-dwp-19", filepath.Join(filepath.Dir(path), "mixed.dwo")}
				}
				run(t, "binutils llvm-19", args[0], append(args[1:], "-o", path+".dwp")...)
				opened := 0
				s.Split = dwarf.Split{Package: open(t, path+".dwp"), Open: func(path string) (*elffile.File, io.Closer, error) {
					opened++
					return openObject(path)
				}}
				if packaged := build(t, s); !bytes.Equal(packaged, objects) {
					t.Errorf("%d bytes of the package differ from %d of the objects", len(packaged), len(objects))
				}
				if outside := compiler == "g++" && version == "5"; opened > 0 != outside {
					t.Errorf("%d files of objects were opened", opened)
				}
			})
		}
	}
}

// Where a file is missing, or belongs to another build, there are lines, and names
// of symbols.
func TestSplitMissed(t *testing.T) {
	for _, version := range []string{"4", "5"} {
		path, other := compileSplit(t, "g++", version), compileSplit(t, "clang++-19", version)
		missing := filepath.Join(filepath.Dir(path), "mixed.dwo")
		for _, test := range []struct{ what, want, path string }{
			{"not there", "split debug information " + missing + " not found", missing},
			{"of another build", "split debug information " + missing + " is of another build", ""},
			{"not to be opened", "split debug information mixed.dwo: " + fs.ErrPermission.Error(), ""},
			{"no ELF file", "split debug information not an ELF file", ""},
		} {
			s := source(t, path)
			s.Split.Open = func(path string) (*elffile.File, io.Closer, error) {
				if path != missing {
					return openObject(path)
				}
				switch test.what {
				case "not there":
					return nil, nil, fs.ErrNotExist
				case "of another build":
					return openObject(strings.Replace(path, filepath.Dir(path), filepath.Dir(other), 1))
				case "not to be opened":
					return nil, nil, fmt.Errorf("mixed.dwo: %w", fs.ErrPermission)
				}
				return openObject("split_test.go")
			}
			x := parse(t, build(t, s))
			if what, missed := x.Missed(); what != test.want || missed != test.path {
				t.Errorf("%s, version %s: missed %q, %q, want %q, %q", test.what, version, what, missed, test.want, test.path)
			}
			lines, ok := x.Resolve(function(t, path, "_ZL10order_keysv") + 1)
			if !ok || len(lines) != 1 || lines[0].Function.SystemName != "_ZL10order_keysv" || !strings.HasSuffix(lines[0].Function.File, "/mixed.cc") || lines[0].Line == 0 {
				t.Errorf("%s, version %s: a function without more is %v", test.what, version, frames(lines))
			}
			lines, ok = x.Resolve(function(t, path, "_ZN4siteL5serveEi") + 1)
			if !ok || lines[0].Function.StartLine == 0 {
				t.Errorf("%s, version %s: a function of the other object is %v", test.what, version, frames(lines))
			}
		}
	}
}

// function returns the address of a function's symbol.
func function(t *testing.T, path, name string) uint64 {
	t.Helper()
	symbols, err := symbolizers.Symbols(path)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(symbols, func(s symbolizers.Symbol) bool { return strings.HasPrefix(s.Name, name) })
	if i < 0 {
		t.Fatalf("no function %s", name)
	}
	return symbols[i].Start
}
