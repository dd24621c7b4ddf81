package unwind

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
)

// TestGoAgainstDWARF compares the rules of Go's code with the .debug_frame that
// Go's linker writes, also where the program is stripped of it.
func TestGoAgainstDWARF(t *testing.T) {
	for _, arch := range []string{"amd64", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "chain")
			for _, flags := range []string{"-s -w", ""} { // the second stays
				cmd := exec.Command("go", "build", "-ldflags="+flags, "-o", path+flags, ".")
				cmd.Dir = "../../testdata/workloads/go/chain"
				cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0")
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
			f := elfOf(t, path)
			stripped := elfOf(t, path+"-s -w")
			if stripped.Section(".debug_frame") != nil || text(stripped) != text(f) {
				t.Fatal("the stripped program is another, or not stripped")
			}
			compareGo(t, openFile(t, path+"-s -w"), f)
		})
	}
}

// text is where a program's code is.
func text(f *elf.File) [2]uint64 {
	s := f.Section(".text")
	return [2]uint64{s.Addr, s.Size}
}

func compareGo(t *testing.T, s *Source, f *elf.File) {
	if s.golang == nil || len(s.cfi) != 0 {
		t.Fatal("the rules are not from Go's tables")
	}
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(symbols, func(a, b elf.Symbol) int { return cmp.Compare(a.Value, b.Value) })
	nameOf := func(address uint64) string {
		i, found := slices.BinarySearchFunc(symbols, address, func(s elf.Symbol, address uint64) int { return cmp.Compare(s.Value, address) })
		if !found {
			return ""
		}
		return strings.TrimSuffix(symbols[i].Name, ".abi0")
	}
	frames := framesOf(t, f, ".debug_frame")
	r, err := ehframe.NewReader(frames)
	if err != nil {
		t.Fatal(err)
	}
	var chunks [][]chunkRow
	for _, p := range f.Progs {
		for at := uint64(len(chunks)) * native.ChunkSize; at < p.Off+p.Filesz; at += native.ChunkSize {
			rows, err := s.Rows(at, native.ChunkSize)
			if err != nil {
				t.Fatal(err)
			}
			chunks = append(chunks, rows)
		}
	}
	section := f.Section(".text")
	for address := section.Addr; address < section.Addr+section.Size; address++ {
		offset := address - section.Addr + section.Offset
		if got, want := ruleOf(chunks[offset/native.ChunkSize], uint32(offset%native.ChunkSize)), s.Rule(address); got != want {
			t.Fatalf("%#x: %+v in its chunk, %+v by itself", address, got, want)
		}
	}
	equal, except := 0, map[string]int{}
	for {
		fde, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := nameOf(fde.Start)
		isSpecial := s.golang.special([]byte(name)) != ordinary
		err = r.Rows(fde, func(row ehframe.Row) {
			if row.Rule.CFA.Kind != ehframe.CFARegister {
				t.Fatalf("%s: %+v", name, row)
			}
			size := row.Rule.CFA.Offset
			if frames.Arch == ehframe.AMD64 {
				size -= 8
			}
			want := native.AboveStack(size, frames.Arch)
			if size < 0 {
				want = native.Rule{} // the function has given up its frame, and does not return
			}
			switch got := s.Rule(row.PC); {
			case got == want:
				equal++
			case isSpecial && got != (native.Rule{}):
				except[name]++
			default:
				t.Errorf("%s, at %#x: %+v, want %+v", name, row.PC, got, want)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows are equal; special are %v", equal, except)
	if equal < 5000 {
		t.Errorf("%d rows are equal", equal)
	}
	for _, name := range []string{"goexit", "mstart", "mcall", "systemstack", "asmcgocall", "morestack"} {
		if except["runtime."+name] == 0 {
			t.Errorf("%s is not special", name)
		}
	}
}

func TestSpecials(t *testing.T) {
	for name, want := range specials {
		if got := (&goCode{arch: ehframe.AMD64}).special([]byte(name)); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, want := range specialsOfARM64 {
		if got := (&goCode{arch: ehframe.ARM64}).special([]byte(name)); got != want {
			t.Errorf("%s is %v on arm64, want %v", name, got, want)
		}
	}
}

// Go's runtime calls functions of its own before and after it has gone to another stack
// to call C.
func TestLeavesStack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "chain")
	cmd := exec.Command("go", "build", "-o", path, ".")
	cmd.Dir = "../../testdata/workloads/go/chain"
	cmd.Env = append(os.Environ(), "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	symbols, err := elfOf(t, path).Symbols()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(symbols, func(s elf.Symbol) bool { return s.Name == "runtime.asmcgocall.abi0" })
	if i < 0 {
		t.Fatal("there is no runtime.asmcgocall")
	}
	s := openFile(t, path)
	var got []bool // behind each call: on the other stack
	code := make([]byte, symbols[i].Size)
	if err := s.golang.file.ReadAddress(code, symbols[i].Value); err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(code); at += 4 {
		if w := binary.LittleEndian.Uint32(code[at:]); w>>26 == 0x25 || w&0xfffffc1f == 0xd63f0000 { // bl, blr
			got = append(got, s.Rule(symbols[i].Value+uint64(at)) == native.CallsC(16))
		}
	}
	// gosave_systemstack_switch and save_g; the C function and save_g; the C function,
	// where it was on the thread's stack before.
	if want := []bool{false, false, true, true, true}; !slices.Equal(got, want) {
		t.Errorf("on the other stack at calls: %v, want %v", got, want)
	}
}

// Functions that go to another stack are like others before they have a frame,
// and when they have taken it down.
func TestSpecially(t *testing.T) {
	frame, leaf := native.AboveStack(8, ehframe.AMD64), native.AboveStack(0, ehframe.AMD64)
	switched := native.FramePointer(8, ehframe.AMD64)
	armFrame, armLeaf := native.AboveStack(32, ehframe.ARM64), native.AboveStack(0, ehframe.ARM64)
	for _, test := range []struct {
		arch    ehframe.Arch
		special special
		code    []int // addresses and sizes
		want    []row
	}{
		{ehframe.AMD64, switching, []int{10, 0, 11, 8, 60, 0, 61, 8, 70, 0},
			[]row{{10, leaf}, {11, frame}, {14, switched}, {60, leaf}, {61, switched}, {70, leaf}}},
		{ehframe.AMD64, switching, []int{10, 0}, []row{{10, switched}}},
		{ehframe.AMD64, switching, []int{10, 0, 20, 8, 30, -1}, []row{{10, leaf}, {20, frame}, {23, switched}, {30, switched}}},
		{ehframe.AMD64, outermost, []int{10, 0, 14, 8}, []row{{10, native.Stop}}},
		{ehframe.AMD64, leaving, []int{10, 0, 14, 8}, []row{{10, leaf}, {14, frame}, {17, native.Stop}}},
		{ehframe.AMD64, restoring, []int{10, 0, 14, 0}, []row{{9, native.Signal}}},
		{ehframe.AMD64, restoring, []int{0, 0}, []row{{0, native.Signal}}},
		{ehframe.AMD64, growing, []int{10, 0, 14, 8}, []row{{10, native.Goroutine(ehframe.AMD64)}}},
		{ehframe.AMD64, injected, []int{10, 0, 14, 8, 30, -1},
			[]row{{10, native.Injected(0, ehframe.AMD64)}, {14, native.Injected(8, ehframe.AMD64)}, {30, native.Other}}},
		{ehframe.ARM64, switching, []int{16, 0, 20, 32, 60, 0},
			[]row{{16, armLeaf}, {20, armFrame}, {28, native.FramePointer(32, ehframe.ARM64)}, {60, armLeaf}}},
		{ehframe.ARM64, callingC, []int{16, 0, 20, 16, 60, 0}, []row{{16, armLeaf}, {20, native.AboveStack(16, ehframe.ARM64)}, {28, native.CallsC(16)}, {60, armLeaf}}},
		{ehframe.ARM64, calledByC, []int{16, 0, 20, 32, 60, 0}, []row{{16, armLeaf}, {20, armFrame}, {28, native.CalledByC(32)}, {60, armLeaf}}},
	} {
		var got []row
		var pieces []gopclntab.Piece
		for i := 0; i < len(test.code); i += 2 {
			pieces = append(pieces, gopclntab.Piece{Address: uint64(test.code[i]), Size: int32(test.code[i+1])})
		}
		c := &goCode{arch: test.arch}
		c.specially(pieces, test.special, 100, func(address uint64, rule native.Rule) { got = append(got, row{address, rule}) })
		if !slices.Equal(got, test.want) {
			t.Errorf("%v of %v: %v, want %v", test.special, test.code, got, test.want)
		}
	}
}
