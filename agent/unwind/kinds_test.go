package unwind

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// rowsOf are all rows of a file.
func rowsOf(t *testing.T, content []byte) (all []chunkRow) {
	t.Helper()
	s, err := Open(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	if s.Fault() != nil {
		t.Error(s.Fault())
	}
	for at := 0; at < len(content); at += native.ChunkSize {
		rows, err := s.Rows(uint64(at), uint32(min(native.ChunkSize, len(content)-at)))
		if err != nil {
			t.Error(err)
		}
		all = append(all, rows...)
	}
	return all
}

// A file without section headers has the rows that it has with them. Only _init
// and _fini are told by their sections.
func TestWithoutSections(t *testing.T) {
	for _, path := range []string{library(t, "gcc", "libc.so.6"), library(t, "gcc", "libLLVM-19.so"), library(t, "aarch64-linux-gnu-gcc", "libc.so.6")} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := openFile(t, path)
		want.glue = nil
		copy(content[40:48], make([]byte, 8)) // e_shoff
		copy(content[60:64], make([]byte, 4)) // e_shnum, e_shstrndx
		got, err := Open(bytes.NewReader(content))
		if err != nil || got.Fault() != nil {
			t.Fatalf("%s: %v, %v", path, err, got.Fault())
		}
		n := 0
		for at := 0; at < len(content); at += native.ChunkSize {
			size := uint32(min(native.ChunkSize, len(content)-at))
			has, err := got.Rows(uint64(at), size)
			if err != nil {
				t.Error(err)
			}
			should, _ := want.Rows(uint64(at), size)
			if !slices.Equal(has, should) {
				t.Errorf("%s, %#x: %d rows, want %d", path, at, len(has), len(should))
			}
			n += len(has)
		}
		if n < 5_000 {
			t.Errorf("%s: %d rows", path, n)
		}
	}
}

// A .debug_frame that is compressed says what it says when it is not.
func TestCompressedFrames(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "main.c")
	if err := os.WriteFile(source, []byte("int f(int *); int g(int n) { int a[9]; a[n] = n; return f(a) + n; }\nint f(int *a) { return a[3]; } int main(int n, char **v) { return g(n); }"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "plain")
	run := func(name string, args ...string) {
		t.Helper()
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", name, err, out)
		}
	}
	// Without tables for exceptions, compilers put the frames among what debuggers read.
	run("gcc", "-O1", "-g", "-fno-inline", "-fno-asynchronous-unwind-tables", "-o", plain, source)
	content, err := os.ReadFile(plain)
	if err != nil {
		t.Fatal(err)
	}
	want := rowsOf(t, content)
	for _, kind := range []string{"zlib", "zstd"} {
		path := filepath.Join(dir, kind)
		run("llvm-objcopy-19", "--compress-debug-sections="+kind, plain, path)
		if s := elfOf(t, path).Section(".debug_frame"); s == nil || s.Flags&elf.SHF_COMPRESSED == 0 {
			t.Fatalf("%s: .debug_frame is %+v", kind, s)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := rowsOf(t, content); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", kind, got, want)
		}
		run("llvm-objcopy-19", "--remove-section=.debug_frame", plain, path)
		if content, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if without := rowsOf(t, content); len(without) >= len(want) {
			t.Errorf("%d rows without .debug_frame, %d with", len(without), len(want))
		}
	}
}

// sparse is a file that is nearly all holes.
type sparse struct {
	parts map[uint64][]byte
	size  int64
	read  int64 // bytes
}

func (s *sparse) Size() int64 { return s.size }

func (s *sparse) ReadAt(b []byte, offset int64) (int, error) {
	n := int(min(int64(len(b)), max(s.size-offset, 0)))
	s.read += int64(n)
	clear(b[:n])
	for at, part := range s.parts {
		from, to := max(int64(at), offset), min(int64(at)+int64(len(part)), offset+int64(n))
		if from < to {
			copy(b[from-offset:], part[from-int64(at):to-int64(at)])
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// A program of 3 GiB of code costs as much memory as its frames are long.
func TestLargeFile(t *testing.T) {
	const code, framesAt = 3 << 30, 1<<20 + 3<<30
	var f frames
	cie := f.cie(1)
	for i := range uint32(10_000) {
		f.fde(cie, 1<<20+i*(code/10_000), 64, 0x41, 0x0e, 16)
	}
	names := []byte("\x00.names\x00.eh_frame\x00")
	size := uint64(f.Len())
	file := &sparse{size: framesAt + 1<<20, parts: map[uint64][]byte{framesAt: f.Bytes(), framesAt + size: names}}
	file.parts[0] = elfFile(
		[]elf.Prog64{{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Off: 1 << 20, Vaddr: 1 << 20, Filesz: code, Memsz: code}},
		[]elf.Section64{{}, {Name: 1, Type: uint32(elf.SHT_STRTAB), Off: framesAt + size, Size: uint64(len(names))},
			{Name: 8, Type: uint32(elf.SHT_PROGBITS), Off: framesAt, Addr: framesAt, Size: size}}, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, err := Open(file)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for offset := uint64(0); offset < framesAt; offset += native.ChunkSize {
		rows, err := s.Rows(offset, native.ChunkSize)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Rule != (native.Rule{}) {
				found++
			}
		}
	}
	runtime.ReadMemStats(&after)
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("%d rows, %d bytes of %d read, %d bytes allocated", found, file.read, file.size, allocated)
	if found != 20_000 || allocated > 16<<20 || file.read > 2<<20 {
		t.Errorf("%d rows, %d bytes read, %d allocated", found, file.read, allocated)
	}
	// The same of 4 GiB of frames: refused in words.
	file.size = 16 << 30
	binary.LittleEndian.PutUint64(file.parts[0][64+56+2*64+32:], 4<<30)
	if _, err := Open(file); err == nil || err == ErrNoRows {
		t.Errorf("4 GiB of frames: %v", err)
	} else {
		t.Log(err)
	}
}
