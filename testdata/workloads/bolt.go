package workloads

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// ForBOLT is what a program has to be built with so that [BOLT] can rewrite it.
const ForBOLT = "-Wl,--emit-relocs"

// By its own name, since it looks for what instrumented programs need beside itself.
const bolt = "/usr/lib/llvm-19/bin/llvm-bolt"

// BOLT has the optimizer of that name rewrite a program, and returns the path of the
// result, which goes away with the test. The old code stays, beside the new.
func BOLT(t testing.TB, program string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), filepath.Base(program))
	cmd := exec.Command(bolt, append([]string{program, "-o", out, "-update-debug-sections"}, flags...)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("rewrite %s (package bolt-19): %v\n%s", filepath.Base(program), err, text)
	}
	return out
}

// Scattered has [BOLT] divide each function at random places and put the parts
// anywhere.
var Scattered = []string{"-lite=0", "-split-functions", "-split-strategy=randomN", "-split-all-cold", "-split-eh", "-reorder-functions=random", "-reorder-blocks=reverse"}

// ByProfile has [BOLT] put apart what a run of the program with these arguments does
// not need, and leave alone what it does not call at all.
func ByProfile(t testing.TB, program string, args ...string) []string {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "profile")
	counting := BOLT(t, program, "-instrument", "-instrumentation-file="+profile)
	if text, err := exec.Command(counting, args...).CombinedOutput(); err != nil {
		t.Fatalf("run %s: %v\n%s", filepath.Base(program), err, text)
	}
	return []string{"-data", profile, "-split-functions", "-split-all-cold", "-split-eh", "-reorder-functions=hfsort", "-reorder-blocks=ext-tsp"}
}
