package unwind

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// ruleOf is what the rows of a chunk say of an offset in it.
func ruleOf(rows []chunkRow, offset uint32) native.Rule {
	i, found := slices.BinarySearchFunc(rows, offset, func(r chunkRow, offset uint32) int { return int(r.Offset) - int(offset) })
	if !found {
		i--
	}
	return rows[i].Rule
}

// Rules at any address of real libraries, one by one and for whole chunks, are
// those of their .eh_frame at the address that the program headers give.
func TestSource(t *testing.T) {
	for _, path := range []string{
		library(t, "gcc", "libc.so.6"), library(t, "gcc", "ld-linux-x86-64.so.2"),
		library(t, "gcc", "libcrypto.so.3"), library(t, "gcc", "libLLVM-19.so"),
		library(t, "aarch64-linux-gnu-gcc", "libc.so.6"),
	} {
		t.Run(path, func(t *testing.T) {
			s, f := openFile(t, path), elfOf(t, path)
			frames := framesOf(t, f, ".eh_frame")
			table, err := ehframe.NewTable(frames)
			if err != nil {
				t.Fatal(err)
			}
			parsed := func(address uint64) (rule native.Rule) {
				table.Rows(address, address+1, func(r ehframe.Row) { rule = native.FromCFI(r.Rule, frames.Arch) })
				return rule
			}
			var size uint64
			for _, p := range f.Progs {
				size = max(size, p.Off+p.Filesz)
			}
			var chunks [][]chunkRow
			for at := uint64(0); at < size; at += native.ChunkSize {
				rows, err := s.Rows(at, uint32(min(native.ChunkSize, size-at)))
				if err != nil {
					t.Fatal(err)
				}
				checkRows(t, rows, uint32(min(native.ChunkSize, size-at)))
				chunks = append(chunks, rows)
			}
			ruled, padding := 0, 0
			for range 100_000 {
				offset := rand.Uint64N(size)
				got := ruleOf(chunks[offset/native.ChunkSize], uint32(offset%native.ChunkSize))
				address, isCode := addressOf(f, offset)
				if in(f, address, ".init") || in(f, address, ".fini") {
					continue // see TestInitAndFini
				}
				if !isCode {
					if got != (native.Rule{}) {
						t.Fatalf("at offset %#x, which is no code, there is %+v", offset, got)
					}
					continue
				}
				want := parsed(address)
				if want == (native.Rule{}) && address >= s.outermost.start && address < s.outermost.limit {
					want = native.Stop
				}
				if one := s.Rule(address); one != want {
					t.Fatalf("at %#x: %+v, want %+v", address, one, want)
				}
				switch {
				case got == want:
					ruled++
				case want == native.Rule{} && slices.ContainsFunc([]uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, func(back uint64) bool {
					return parsed(address-back) == got
				}):
					padding++ // the row before goes on
				default:
					t.Fatalf("at %#x in its chunk: %+v, want %+v", address, got, want)
				}
			}
			t.Logf("%d places, and %d in padding", ruled, padding)
			if ruled < 10_000 || padding > ruled/2 {
				t.Errorf("%d places, and %d in padding", ruled, padding)
			}
		})
	}
}

// in says whether an address lies in a section.
func in(f *elf.File, address uint64, name string) bool {
	s := f.Section(name)
	return s != nil && address >= s.Addr && address < s.Addr+s.Size
}

// addressOf is the ELF address of a file offset in executable memory.
func addressOf(f *elf.File, offset uint64) (uint64, bool) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && offset >= p.Off && offset < p.Off+p.Filesz {
			return offset - p.Off + p.Vaddr, true
		}
	}
	return 0, false
}

// checkRows fails unless rows are such as native.Store takes.
func checkRows(t *testing.T, rows []chunkRow, size uint32) {
	t.Helper()
	if len(rows) == 0 || rows[0].Offset != 0 {
		t.Fatalf("the first of %d rows is not at 0", len(rows))
	}
	for i := 1; i < len(rows); i++ {
		if rows[i].Offset <= rows[i-1].Offset || rows[i].Rule == rows[i-1].Rule || rows[i].Offset >= size {
			t.Fatalf("of %d bytes, row %d is %+v after %+v", size, i, rows[i], rows[i-1])
		}
	}
}

// The code at a program's entry has no callers; call frame information does not
// always say so.
func TestEntry(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	source := filepath.Join(t.TempDir(), "start.s")
	if err := os.WriteFile(source, []byte(`
	.text
	.skip 100, 0x90
	.globl _start
_start:
	nop
	.skip 1000, 0x90
	.section .note.GNU-stack,"",@progbits
`), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-nostdlib", "-static", "-Wl,--no-eh-frame-hdr", "-o", path, source).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Open(bytes.NewReader(b)); !errors.Is(err, ErrNoRows) {
		t.Fatalf("%+v, %v", s, err)
	}
	// With any call frame information of other code:
	source2 := filepath.Join(t.TempDir(), "more.c")
	if err := os.WriteFile(source2, []byte("int more(int x) { return x + 1; }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-nostdlib", "-static", "-o", path, source, source2).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := openFile(t, path)
	f := elfOf(t, path)
	for offset, want := range map[uint64]native.Rule{
		^uint64(0): {}, 0: native.Stop, 1: native.Stop, maxEntry - 1: native.Stop, maxEntry: {},
	} {
		if got := s.Rule(f.Entry + offset); got != want {
			t.Errorf("%d bytes behind the entry: %+v, want %+v", int64(offset), got, want)
		}
	}
}

// While the kernel handles the system call by which signal handlers return, a thread is
// behind it, where call frame information ends.
func TestReturningFromSignal(t *testing.T) {
	path := library(t, "gcc", "libc.so.6")
	s := openFile(t, path)
	text := elfOf(t, path).Section(".text")
	code, err := text.Data()
	if err != nil {
		t.Fatal(err)
	}
	restorer := []byte{0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05} // mov $15, %rax; syscall
	at := bytes.Index(code, restorer)
	if at < 0 {
		t.Fatal("libc does not return from signal handlers")
	}
	for offset, want := range map[int]bool{-2: false, -1: true, 0: true, len(restorer): true, len(restorer) + 1: false} {
		if got := s.Rule(text.Addr + uint64(at+offset)); (got == native.Signal) != want {
			t.Errorf("%d bytes from its begin: %+v", offset, got)
		}
	}
}

// Call frame information for debuggers is all that some code has.
func TestDebugFrame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "library.so")
	cmd := exec.Command("gcc", "-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-nostdlib", "-x", "c", "-o", path, "-")
	cmd.Stdin = bytes.NewReader([]byte("int g(int); int f(int x) { return g(x) + g(x + 1); }\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, f := openFile(t, path), elfOf(t, path)
	frames := framesOf(t, f, ".debug_frame")
	table, err := ehframe.NewTable(frames)
	if err != nil {
		t.Fatal(err)
	}
	start, limit := table.Range()
	n := 0
	table.Rows(start, limit, func(r ehframe.Row) {
		want := native.FromCFI(r.Rule, frames.Arch)
		if got := s.Rule(r.PC); got != want || want == (native.Rule{}) {
			t.Errorf("at %#x: %+v, want %+v", r.PC, got, want)
		}
		n++
	})
	if n < 4 {
		t.Errorf("%d rows", n)
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"no ELF":        []byte("#!/bin/sh\n"),
		"32-bit":        changed(small(), 4, 1),
		"other machine": changed(small(), 18, byte(elf.EM_RISCV)),
	} {
		if s, err := Open(bytes.NewReader(b)); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
	if s, err := Open(bytes.NewReader(small())); err != nil || s.Rule(0x1010) == (native.Rule{}) {
		t.Errorf("the file itself: %v", err)
	}
	if _, err := Open(failing{bytes.NewReader(small())}); err == nil {
		t.Error("no error of a file that cannot be read")
	}
}

// failing is a file on a broken disk.
type failing struct{ *bytes.Reader }

func (failing) ReadAt([]byte, int64) (int, error) { return 0, io.ErrUnexpectedEOF }

// fill is checked against what it says it does, address by address.
func TestFill(t *testing.T) {
	const limit = 60
	rules := []native.Rule{{}, native.Stop, native.FramePointer(8, ehframe.AMD64), native.AboveStack(8, ehframe.AMD64)}
	random := func() (rows []row) {
		for at := uint64(10); at < limit; at += uint64(rand.IntN(12)) {
			rows = append(rows, row{at, rules[rand.IntN(len(rules))]})
		}
		return rows
	}
	at := func(rows []row, address uint64) (rule native.Rule) {
		for _, r := range rows {
			if r.address <= address {
				rule = r.rule
			}
		}
		return rule
	}
	for range 20_000 {
		first, second := random(), random()
		first = fill(first, []row{{address: 10}}, limit) // without two at an address
		got := fill(first, second, limit)
		for address := uint64(10); address < limit; address++ {
			want := at(first, address)
			if want == (native.Rule{}) {
				want = at(second, address)
			}
			if at(got, address) != want {
				t.Fatalf("at %d: %+v\nof %+v\nand %+v", address, got, first, second)
			}
		}
		for i := range got {
			if got[i].address >= limit || i > 0 && (got[i].address <= got[i-1].address || got[i].rule == got[i-1].rule) {
				t.Fatalf("row %d of %+v", i, got)
			}
		}
	}
	one := []row{{10, native.Stop}}
	if got := fill(nil, one, limit); !slices.Equal(got, one) {
		t.Errorf("%+v", got)
	}
	if got := fill(one, nil, limit); !slices.Equal(got, one) {
		t.Errorf("%+v", got)
	}
}
