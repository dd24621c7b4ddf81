package unwind

import (
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// What is read from instructions is what the compiler says of them.
func TestCodeAgainstFrames(t *testing.T) {
	compiler, err := exec.Command("gcc", "-print-prog-name=cc1").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		library(t, "gcc", "libc.so.6"), library(t, "gcc", "libLLVM-19.so"), strings.TrimSpace(string(compiler)),
		library(t, "aarch64-linux-gnu-gcc", "libc.so.6"),
	} {
		compareCode(t, path)
	}
}

func compareCode(t *testing.T, path string) {
	f := elfOf(t, path)
	s := openFile(t, path)
	arch := archs[f.Machine]
	text := f.Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	r, err := ehframe.NewReader(framesOf(t, f, ".eh_frame"))
	if err != nil {
		t.Fatal(err)
	}
	var equal, unknown, torn, other, functions int
	var wants []ehframe.Row
	for functions < 20_000 {
		fde, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size := fde.Limit - fde.Start
		// What compilers have put elsewhere, and hand-written code, do not begin as functions do.
		if fde.Start < text.Addr || fde.Limit > text.Addr+text.Size || size > maxCode {
			continue
		}
		wants = wants[:0]
		s.cfi[0].Rows(fde.Start, fde.Limit, func(r ehframe.Row) { wants = append(wants, r) })
		if !agree(entered(arch), wants[0].Rule, arch) {
			continue
		}
		functions++
		w := codeWalk{arch: arch, code: code[fde.Start-text.Addr:][:size], known: make([]visit, size)}
		if w.follow(); w.torn {
			torn++
			continue
		}
		at, bad := 0, false
		for i, want := range wants {
			end := int(size)
			if i+1 < len(wants) {
				end = int(wants[i+1].PC - fde.Start)
			}
			for ; at < end; at++ {
				switch v := w.known[at]; {
				case v.size == 0:
				case v.frame.rule(arch) == native.Rule{}:
					unknown++
				case agree(v.frame, want.Rule, arch):
					equal++
				default:
					if other++; other < 20 && !bad {
						t.Logf("%s: function %#x, at %#x: %+v, want %+v", path, fde.Start, fde.Start+uint64(at), v.frame, want.Rule)
					}
					bad = true
				}
			}
		}
	}
	t.Logf("%s: %d functions, %d torn: %d instructions equal, %d unknown, %d other", path, functions, torn, equal, unknown, other)
	// Hand-written code has rules for more than where the frame is.
	mostUnknown := equal / 500
	if arch == ehframe.ARM64 {
		mostUnknown = equal / 20 // the return address may be saved alone
	}
	if functions < 3000 || torn > functions/20 || unknown > mostUnknown || other > equal/500 {
		t.Errorf("%s: %d functions, %d torn: %d instructions equal, %d unknown, %d other", path, functions, torn, equal, unknown, other)
	}
}

// agree says whether a frame is that of a rule. Rules do not say that the end of a
// function has popped the frame pointer.
func agree(f frameAt, r ehframe.Rule, arch ehframe.Arch) bool {
	if r.CFA.Kind != ehframe.CFARegister {
		return false
	}
	isSaved := f.saved > 0 && r.FP == ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: -f.saved} ||
		f.saved > 0 && !f.lost && r.FP.Kind == ehframe.Same || // it is in its place, and in the register
		f.saved == 0 && !f.lost && (r.FP.Kind == ehframe.Same || r.FP.Kind == ehframe.AtCFA && -r.FP.Offset > f.sp) ||
		f.saved == 0 && f.lost
	if arch == ehframe.ARM64 {
		// What was just taken back is in its place, too.
		isSaved = f.saved == 0 && !f.lost || f.saved > 0 && r.RA == ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: 8 - f.saved}
	}
	switch r.CFA.Register {
	case registers[arch][0]:
		return f.sp == r.CFA.Offset && isSaved
	case registers[arch][1]:
		return (f.fp == r.CFA.Offset || f.fp == unknown) && isSaved
	}
	return false
}

// registers are the numbers of stack pointer and frame pointer.
var registers = map[ehframe.Arch][2]uint8{ehframe.AMD64: {7, 6}, ehframe.ARM64: {31, 29}}
