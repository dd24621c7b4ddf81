// Package workloads builds small programs with known behaviour for tests to
// profile. README.md lists them.
package workloads

import (
	"os"
	"path/filepath"
	"testing"
)

// Prebuilt is the environment variable that names a folder of workloads that
// are built already, for machines without compilers; see [Name].
const Prebuilt = "STACCATO_WORKLOADS"

// Build compiles a program and returns the path of its executable, which goes
// away with the test. The source is a file (c/split.c, cpp/templates.cc) or
// the folder of a Go program (go/chain), below the folder of this package.
// Flags go to the compiler behind those in README.md, or to go build.
func Build(t testing.TB, source string, flags ...string) string {
	t.Helper()
	if dir := os.Getenv(Prebuilt); dir != "" {
		path := filepath.Join(dir, Name(source, flags...))
		if _, err := os.Stat(path); err != nil {
			t.Fatalf("find prebuilt workload: %v", err)
		}
		return path
	}
	out := filepath.Join(t.TempDir(), Name(source))
	if err := Compile(out, source, flags...); err != nil {
		t.Fatal(err)
	}
	return out
}
