package unwind

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// A file like the vDSO of arm64 has rules though it has no call frame information.
func TestVDSOOfARM64(t *testing.T) {
	dir := t.TempDir()
	source, path := filepath.Join(dir, "vdso.c"), filepath.Join(dir, "vdso.so")
	err := os.WriteFile(source, []byte(`
int __kernel_leaf(int n) { return n + 1; }
__attribute__((noinline)) static int other(volatile int *p) { return *p; }
int __kernel_framed(int n) { volatile int a[30]; a[n] = n; return other(a) + a[n / 2]; }
__asm__(".text\n.global __kernel_rt_sigreturn\n.type __kernel_rt_sigreturn, %function\nnop\n"
	"__kernel_rt_sigreturn: mov x8, #139\nsvc #0\n.size __kernel_rt_sigreturn, .-__kernel_rt_sigreturn");
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("aarch64-linux-gnu-gcc", "-O2", "-nostdlib", "-shared", "-fPIC", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-o", path, source).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f := elfOf(t, path)
	if section := f.Section(".eh_frame"); section != nil {
		t.Fatalf("it has call frame information: %+v", section.SectionHeader)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	s := openFile(t, path)
	leaf := frameAt{fp: unknown}
	framed := 0
	for _, symbol := range symbols {
		for at := symbol.Value; at < symbol.Value+symbol.Size; at += 4 {
			rule := s.Rule(at)
			switch {
			case symbol.Name == "__kernel_rt_sigreturn" && rule == native.Signal,
				symbol.Name == "__kernel_leaf" && rule == leaf.rule(ehframe.ARM64),
				symbol.Name == "__kernel_framed" && rule == leaf.rule(ehframe.ARM64):
			case symbol.Name == "__kernel_framed" && rule != (native.Rule{}) && rule != native.Other:
				framed++
			default:
				t.Errorf("%s, at %#x: %+v", symbol.Name, at, rule)
			}
		}
		if symbol.Name == "__kernel_rt_sigreturn" {
			// In the system call a thread is behind it.
			for _, at := range []uint64{symbol.Value - 1, symbol.Value + symbol.Size} {
				if s.Rule(at) != native.Signal {
					t.Errorf("at %#x, beside %s: %+v", at, symbol.Name, s.Rule(at))
				}
			}
		}
	}
	if len(symbols) != 3 || framed < 5 {
		t.Errorf("%d functions, %d instructions with a frame", len(symbols), framed)
	}
}
