package ehframe

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompilers compares the rows of functions that each compiler has compiled
// with llvm-dwarfdump's, and checks that they have what the test is about.
func TestCompilers(t *testing.T) {
	for _, test := range []struct {
		compile, link string
		section       string
		about         []string // what llvm-dwarfdump prints
	}{
		{"gcc -O2", "gcc", ".eh_frame", []string{`"zR"`, "def_cfa_expression: DW_OP_breg6 RBP-8, DW_OP_deref", "expression: RBP DW_OP_breg6"}},
		{"gcc -O0", "gcc", ".eh_frame", []string{"expression: RBX DW_OP_breg6"}},
		{"clang-19 -O2", "gcc", ".eh_frame", []string{"def_cfa: RSP +8"}},
		{"gcc -O2 -g -fno-asynchronous-unwind-tables", "gcc", ".debug_frame", []string{`""`, "def_cfa_expression: DW_OP_breg6 RBP-8, DW_OP_deref"}},
		{"clang-19 -O2 -gdwarf-5 -fno-asynchronous-unwind-tables", "gcc", ".debug_frame", []string{"Version:               4"}},
		{"aarch64-linux-gnu-gcc -O2", "aarch64-linux-gnu-gcc", ".eh_frame", []string{"CFA=W29"}},
		{"aarch64-linux-gnu-gcc -O2 -mbranch-protection=pac-ret+leaf", "aarch64-linux-gnu-gcc", ".eh_frame", []string{`"zR"`, "negate_ra_state"}},
		{"aarch64-linux-gnu-gcc -O2 -mbranch-protection=pac-ret+leaf+b-key", "aarch64-linux-gnu-gcc", ".eh_frame", []string{`"zRB"`, "negate_ra_state"}},
		{"clang-19 --target=aarch64-linux-gnu -O2 -mbranch-protection=pac-ret+leaf+b-key", "aarch64-linux-gnu-gcc", ".eh_frame", []string{`"zRB"`, "negate_ra_state", "remember_state"}},
		{"clang-19 --target=aarch64-linux-android31 -O2 -march=armv8.5-a+memtag -fsanitize=memtag-stack", "aarch64-linux-gnu-gcc", ".eh_frame", []string{`"zRG"`}},
		{"aarch64-linux-gnu-gcc -O2 -g -fno-unwind-tables -fno-asynchronous-unwind-tables", "aarch64-linux-gnu-gcc", ".debug_frame", []string{`""`, "CFA=W29"}},
	} {
		t.Run(test.compile, func(t *testing.T) {
			dir := t.TempDir()
			object, path := filepath.Join(dir, "functions.o"), filepath.Join(dir, "functions.so")
			command := strings.Fields(test.compile)
			command = append(command, "-c", "-fPIC", "-fno-inline", "-fomit-frame-pointer", "-o", object, "testdata/functions.c")
			run(t, command...)
			run(t, test.link, "-shared", "-nostdlib", "-o", path, object)
			printed := run(t, "llvm-dwarfdump-19", "--eh-frame", "--debug-frame", path)
			for _, text := range test.about {
				if !strings.Contains(printed, text) {
					t.Errorf("llvm-dwarfdump does not print %q", text)
				}
			}
			compare(t, path, test.section)
		})
	}
}

// run runs a command and returns what it prints.
func run(t testing.TB, command ...string) string {
	t.Helper()
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s is missing or failed: run testdata/install-deps.sh: %v\n%s", command[0], err, out)
	}
	return string(out)
}
