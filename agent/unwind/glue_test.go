package unwind

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

var (
	leafRule  = native.AboveStack(0, ehframe.AMD64)
	movedRule = native.FromCFI(ehframe.Rule{
		CFA: ehframe.CFARule{Kind: ehframe.CFARegister, Register: 7, Offset: 16},
		RA:  ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: -8},
	}, ehframe.AMD64)
)

func TestGlue(t *testing.T) {
	for _, test := range []struct {
		code  string
		moved uint64 // offset from which on the stack pointer is moved; 0: no such function
	}{
		{"\x48\x83\xec\x08\x48\x8b\x05\xc5\x2f\x00\x00\x48\x85\xc0\x74\x02\xff\xd0\x48\x83\xc4\x08\xc3", 4},
		{"\xf3\x0f\x1e\xfa\x48\x83\xec\x08\x90\x48\x83\xc4\x08\xc3", 8},
		{"\x50\x90\x58\xc3", 1},
		{"\x50\x58\xc3", 1},
		{"", 0},
		{"\x50", 0},
		{"\xc3", 0},
		{"\x48\x83\xec\x08", 0},
		{"\x48\x83\xec\x18\x90\x48\x83\xc4\x18\xc3", 0},
		{"\x48\x83\xec\x08\x48\x83\xc4\x08\xc3\x90", 0},
	} {
		var want []row
		end := 0x1000 + uint64(len(test.code))
		if test.moved > 0 {
			want = []row{{0x1000, leafRule}, {0x1000 + test.moved, movedRule}, {end - 1, leafRule}, {address: end}}
		}
		if got := glue([]byte(test.code), 0x1000); !slices.Equal(got, want) {
			t.Errorf("%x: %+v, want %+v", test.code, got, want)
		}
	}
	if got := glue([]byte("\x50\x58\xc3"), ^uint64(0)-1); got != nil {
		t.Errorf("at the end of all addresses: %+v", got)
	}
}

// The C compiler's own files have these functions.
func TestInitAndFini(t *testing.T) {
	path := filepath.Join(t.TempDir(), "library.so")
	cmd := exec.Command("gcc", "-shared", "-fPIC", "-O2", "-x", "c", "-o", path, "-")
	cmd.Stdin = strings.NewReader("int f(int x) { return x + 1; }\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, f := openFile(t, path), elfOf(t, path)
	for _, name := range []string{".init", ".fini"} {
		section := f.Section(name)
		rules := map[native.Rule]int{}
		for at := range section.Size {
			rules[s.Rule(section.Addr+at)]++
		}
		if len(rules) != 2 || rules[leafRule] < 5 || rules[movedRule] < 4 {
			t.Errorf("%s of %d bytes: %v", name, section.Size, rules)
		}
		if got := s.Rule(section.Addr + section.Size); got == leafRule || got == movedRule {
			t.Errorf("behind %s: %+v", name, got)
		}
	}
}
