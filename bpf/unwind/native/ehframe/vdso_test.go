package ehframe

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

// TestVDSO compares the rows of the vDSO, read from this process's memory, with
// llvm-dwarfdump's.
func TestVDSO(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vdso")
	if err := os.WriteFile(path, vdso(t), 0o600); err != nil {
		t.Fatal(err)
	}
	compare(t, path, ".eh_frame")
	withoutSections(t, path)
}

// vdso returns the image that the kernel has mapped.
func vdso(t testing.TB) []byte {
	t.Helper()
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		t.Fatal(err)
	}
	const sysinfoEHDR = 33
	for ; len(auxv) >= 16; auxv = auxv[16:] {
		if binary.LittleEndian.Uint64(auxv) != sysinfoEHDR {
			continue
		}
		memory, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Close()
		image := make([]byte, 64<<10)
		n, err := memory.ReadAt(image, int64(binary.LittleEndian.Uint64(auxv[8:])))
		if n == 0 { // an error alone says where it ends
			t.Fatalf("read vDSO: %v", err)
		}
		return image[:n]
	}
	t.Fatal("this process has no vDSO")
	return nil
}

// TestWithoutSections finds the frames of a library as if it had no section
// headers.
func TestWithoutSections(t *testing.T) {
	withoutSections(t, library(t, "gcc", "libc.so.6"))
}

// withoutSections reads the frames that PT_GNU_EH_FRAME leads to, up to the end
// of what is loaded with them, and compares with the section's rows.
func withoutSections(t *testing.T, path string) {
	t.Helper()
	want, total := count(t, open(t, path, ".eh_frame"))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	s := Section{Arch: AMD64, Open: true}
	if f.Machine == elf.EM_AARCH64 {
		s.Arch = ARM64
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_GNU_EH_FRAME {
			if s.Address, err = FrameAddress(b[p.Off:p.Off+p.Filesz], p.Vaddr); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && s.Address >= p.Vaddr && s.Address < p.Vaddr+p.Filesz {
			s.Data = b[p.Off+s.Address-p.Vaddr : p.Off+p.Filesz]
		}
	}
	got, n := count(t, s)
	if n != total || total == 0 {
		t.Fatalf("%d rows, %d in the section", n, total)
	}
	for row, n := range want {
		if got[row] != n {
			t.Errorf("%s: %d times, %d in the section", format(row), got[row], n)
		}
	}
}
