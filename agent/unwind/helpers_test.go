package unwind

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// library returns the path of a library that the compiler links.
func library(t testing.TB, compiler, name string) string {
	t.Helper()
	out, err := exec.Command(compiler, "-print-file-name="+name).Output()
	path := strings.TrimSpace(string(out))
	if err != nil || path == name {
		t.Fatalf("%s has no %s: run testdata/install-deps.sh: %v", compiler, name, err)
	}
	return path
}

func openFile(t testing.TB, path string) *Source {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Open(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// chunkRow says that a rule holds from an offset in a chunk on, up to the next row.
type chunkRow struct {
	Offset uint32
	Rule   native.Rule
}

// Rows are the rows of a chunk's table.
func (s *Source) Rows(offset uint64, size uint32) (rows []chunkRow, err error) {
	err = s.rows(offset, size, func(offset uint32, rule *native.Rule) {
		if n := len(rows); n > 0 && rows[n-1].Offset == offset {
			rows = rows[:n-1]
		}
		if n := len(rows); n == 0 || rows[n-1].Rule != *rule {
			rows = append(rows, chunkRow{offset, *rule})
		}
	})
	return rows, err
}

// elfOf reads a file with Go's own package.
func elfOf(t testing.TB, path string) *elf.File {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

var archs = map[elf.Machine]ehframe.Arch{elf.EM_X86_64: ehframe.AMD64, elf.EM_AARCH64: ehframe.ARM64}

// framesOf returns a section of call frame information.
func framesOf(t testing.TB, f *elf.File, name string) ehframe.Section {
	t.Helper()
	section := f.Section(name)
	if section == nil {
		t.Fatalf("there is no %s", name)
	}
	data, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	return ehframe.Section{Arch: archs[f.Machine], Data: data, Address: section.Addr, Debug: name == ".debug_frame"}
}
