package dwarf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
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

// compile makes a program of testdata/calls.cc.
func compile(t testing.TB, compiler string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "program")
	pkg, _, _ := strings.Cut(compiler, "+")
	run(t, pkg, compiler, slices.Concat([]string{"-O2", "-o", out, "testdata/calls.cc"}, flags)...)
	return out
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

// tell returns what the units say about the functions of calls.cc, one line per
// scope, and checks what holds for all files.
func tell(t testing.TB, r *Reader) []string {
	t.Helper()
	var told []string
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(told)
			return told
		}
		if err != nil {
			t.Fatal(err)
		}
		check(t, u)
		for i := range u.Scopes {
			s := &u.Scopes[i]
			if !strings.HasSuffix(s.Function.File, "calls.cc") {
				continue
			}
			line := fmt.Sprintf("%s declared in line %d", s.Function.Name, s.Function.Line)
			if s.Parent >= 0 {
				line += fmt.Sprintf(", called by %s in line %d of %s",
					u.Scopes[s.Parent].Function.Name, s.CallLine, filepath.Base(u.File(s.CallFile)))
			}
			told = append(told, line)
		}
	}
}

// check looks for what no unit may have.
func check(t testing.TB, u *Unit) {
	t.Helper()
	for i, s := range u.Scopes {
		if int(s.Parent) >= i || s.Parent < -1 || s.Function == nil {
			t.Fatalf("scope %d: %+v", i, s)
		}
		if s.FirstRange < 0 || s.FirstRange >= s.LimitRange || int(s.LimitRange) > len(u.Ranges) {
			t.Fatalf("scope %d: %+v of %d ranges", i, s, len(u.Ranges))
		}
	}
	for _, r := range u.Ranges {
		if r.Start >= r.Limit {
			t.Fatalf("range %+v", r)
		}
	}
	ended := true
	for i, r := range u.Rows {
		if !ended && r.Address <= u.Rows[i-1].Address {
			t.Fatalf("row %+v after %+v", r, u.Rows[i-1])
		}
		if ended && r.File == NoFile {
			t.Fatal("empty sequence")
		}
		ended = r.File == NoFile
	}
	if !ended {
		t.Fatal("sequence without an end")
	}
}

// The functions of calls.cc and their calls, as the source has them.
var wanted = []string{
	"_Z5outeri declared in line 17",
	"_ZN5shape4sizeEv declared in line 10, called by _Z5outeri in line 18 of calls.cc",
	"_Z5innerii declared in line 4, called by _ZN5shape4sizeEv in line 11 of calls.cc",
	"main declared in line 22",
}

// TestDialects reads the same program in all the ways in which compilers and
// tools write it down.
func TestDialects(t *testing.T) {
	for _, test := range []struct {
		name, compiler string
		flags          []string
	}{
		{"gcc 2", "g++", []string{"-gdwarf-2"}},
		{"gcc 3", "g++", []string{"-gdwarf-3"}},
		{"gcc 4", "g++", []string{"-gdwarf-4"}},
		{"gcc 5", "g++", []string{"-gdwarf-5"}},
		{"gcc 64-bit", "g++", []string{"-gdwarf-5", "-gdwarf64"}},
		{"gcc types apart", "g++", []string{"-g", "-fdebug-types-section"}},
		{"gcc functions apart", "g++", []string{"-g", "-ffunction-sections", "-Wl,--gc-sections"}},
		{"gcc at link time", "g++", []string{"-g", "-flto"}},
		{"gcc zlib", "g++", []string{"-g", "-DLARGE", "-Wl,--compress-debug-sections=zlib"}},
		{"gcc zstd", "g++", []string{"-g", "-DLARGE", "-Wl,--compress-debug-sections=zstd"}},
		{"clang 4", "clang++-19", []string{"-gdwarf-4"}},
		{"clang 5", "clang++-19", []string{"-gdwarf-5"}},
		{"clang static", "clang++-19", []string{"-gdwarf-5", "-static"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := open(t, compile(t, test.compiler, test.flags...))
			r, err := Open(file, nil, Config{})
			if err != nil {
				t.Fatal(err)
			}
			told := tell(t, r)
			for _, line := range wanted {
				if !slices.Contains(told, line) {
					t.Errorf("missing: %s\ntold:\n%s", line, strings.Join(told, "\n"))
				}
			}
		})
	}
}

// TestShared reads a program whose information is partly in a second file,
// which other programs share.
func TestShared(t *testing.T) {
	first, second := compile(t, "g++", "-g"), compile(t, "g++", "-g", "-DSECOND")
	r, err := Open(open(t, first), nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	whole := tell(t, r)

	shared := filepath.Join(t.TempDir(), "shared")
	run(t, "dwz", "dwz", "-m", shared, first, second)
	file := open(t, first)
	if file.Section(".gnu_debugaltlink") == nil {
		t.Fatal("dwz has put nothing into the shared file")
	}
	if r, err = Open(file, open(t, shared), Config{}); err != nil {
		t.Fatal(err)
	}
	if told := tell(t, r); !slices.Equal(told, whole) {
		t.Errorf("with the second file:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(whole, "\n"))
	}
	if r, err = Open(file, nil, Config{}); err != nil {
		t.Fatal(err)
	}
	if told := tell(t, r); slices.Equal(told, whole) {
		t.Error("without the second file all is told as well: it is not used")
	}
}

// TestPages reads a large program with little memory: page by page.
func TestPages(t *testing.T) {
	file := open(t, compile(t, "g++", "-g", "-DLARGE"))
	r, err := Open(file, nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	whole := tell(t, r)
	if r, err = Open(file, nil, Config{Limit: 4 * int64(r.main.info.size)}); err != nil {
		t.Fatal(err)
	}
	if r.main.info.data != nil || r.main.str.data != nil {
		t.Fatalf("%d and %d bytes are all in memory", r.main.info.size, r.main.str.size)
	}
	if told := tell(t, r); !slices.Equal(told, whole) {
		t.Errorf("page by page:\n%s\nwant:\n%s", strings.Join(told, "\n"), strings.Join(whole, "\n"))
	}
}

func TestTooLarge(t *testing.T) {
	file := open(t, compile(t, "g++", "-g", "-Wl,--compress-debug-sections=zlib"))
	r, err := Open(file, nil, Config{Limit: 4 << 10})
	if err == nil {
		_, err = r.Next()
	}
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("4 KiB are enough: %v", err)
	}
}

func TestNothing(t *testing.T) {
	if _, err := Open(open(t, compile(t, "g++", "-s")), nil, Config{}); !errors.Is(err, ErrNoDebugInfo) {
		t.Errorf("error is %v", err)
	}
}
