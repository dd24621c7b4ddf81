package unwind

import (
	"cmp"
	"debug/elf"
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
	var chunks [][]native.Row
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
		_, isSpecial := special[name]
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
			case isSpecial:
				except[name]++
				if got == (native.Rule{}) || got == want && size > 0 {
					t.Errorf("%s, at %#x: %+v", name, row.PC, got)
				}
			case got != want:
				t.Errorf("%s, at %#x: %+v, want %+v", name, row.PC, got, want)
			default:
				equal++
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d rows are equal; special are %v", equal, except)
	if equal < 5000 || len(except) < 5 {
		t.Errorf("%d rows are equal; special are %v", equal, except)
	}
}

// Functions that go to another stack are like others before they have a frame,
// and when they have taken it down.
func TestSpecially(t *testing.T) {
	for _, test := range []struct {
		size int32
		code []change
		want []change
	}{
		{sizeFramePointer, []change{{10, 0}, {11, 8}, {60, 0}, {61, 8}, {70, 0}}, []change{{10, 0}, {11, sizeFramePointer}, {60, 0}, {61, sizeFramePointer}, {70, 0}}},
		{sizeFramePointer, []change{{10, 0}}, []change{{10, sizeFramePointer}}},
		{sizeFramePointer, []change{{10, 0}, {20, 8}, {30, sizeUnknown}}, []change{{10, 0}, {20, sizeFramePointer}, {30, sizeFramePointer}}},
		{sizeOutermost, []change{{10, 0}, {14, 8}}, []change{{10, sizeOutermost}, {14, sizeOutermost}}},
		{sizeLeft, []change{{10, 0}, {14, 8}}, []change{{10, 0}, {14, sizeLeft}}},
		{sizeSignal, []change{{10, 0}, {14, 0}}, []change{{9, sizeSignal}}},
		{sizeSignal, []change{{0, 0}}, []change{{0, sizeSignal}}},
		{sizeSignal, nil, nil},
		{sizeGoroutine, []change{{10, 0}, {14, 8}}, []change{{10, sizeGoroutine}}},
	} {
		if got := specially(slices.Clone(test.code), test.size); !slices.Equal(got, test.want) {
			t.Errorf("%v of %v: %v, want %v", test.size, test.code, got, test.want)
		}
	}
}
