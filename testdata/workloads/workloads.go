// Package workloads builds small programs with known behaviour for tests to
// profile. README.md lists them.
package workloads

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Build compiles a program and returns the path of its executable, which goes
// away with the test. The source is a file (c/split.c, cpp/templates.cc) or
// the folder of a Go program (go/chain), below the folder of this package.
// Flags go to the compiler behind those in README.md, or to go build.
func Build(t testing.TB, source string, flags ...string) string {
	t.Helper()
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		t.Fatal("find the workloads: the test was built without file names")
	}
	path := filepath.Join(filepath.Dir(here), filepath.FromSlash(source))
	out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(source), filepath.Ext(source)))

	// Debug information lets tests compare with tools that read it. Frame
	// pointers are on; -fomit-frame-pointer among the flags turns them off.
	common := append([]string{"-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fno-omit-frame-pointer", "-pthread"}, flags...)
	var cmd *exec.Cmd
	switch filepath.Ext(source) {
	case ".c":
		cmd = exec.Command("gcc", append(common, "-o", out, path)...)
	case ".cc":
		cmd = exec.Command("g++", append(append([]string{"-std=c++17"}, common...), "-o", out, path)...)
	case "":
		cmd = exec.Command("go", append(append([]string{"build", "-o", out}, flags...), ".")...)
		cmd.Dir = path
	default:
		t.Fatalf("build %s: how is it compiled?", source)
	}
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, output)
	}
	return out
}
