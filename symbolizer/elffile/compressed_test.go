package elffile

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestUncompressed reads the debug sections of a program that a compiler has
// compressed in each way, as the standard library does.
func TestUncompressed(t *testing.T) {
	source := filepath.Join(t.TempDir(), "main.c")
	if err := os.WriteFile(source, []byte("int main(void) { return 0; }"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"none", "zlib", "zstd"} {
		path := filepath.Join(t.TempDir(), kind)
		if out, err := exec.Command("gcc", "-g3", "-o", path, source).CombinedOutput(); err != nil {
			t.Fatalf("gcc: %v: %s", err, out)
		}
		if kind != "none" {
			if out, err := exec.Command("llvm-objcopy-19", "--compress-debug-sections="+kind, path).CombinedOutput(); err != nil {
				t.Fatalf("llvm-objcopy-19: %v: %s", err, out)
			}
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		want, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		compressed := 0
		for i, s := range want.Sections {
			if !strings.HasPrefix(s.Name, ".debug_") {
				continue
			}
			data, err := s.Data()
			if err != nil {
				t.Fatal(err)
			}
			if s.Flags&elf.SHF_COMPRESSED != 0 {
				compressed++
			}
			plain, err := got.Uncompressed(&got.Sections[i], math.MaxUint32)
			if err != nil || !bytes.Equal(plain, data) {
				t.Errorf("%s, %s: %d bytes, want %d: %v", kind, s.Name, len(plain), len(data), err)
			}
			if size, err := got.UncompressedSize(&got.Sections[i]); err != nil || size != uint64(len(data)) {
				t.Errorf("%s, %s: said to have %d bytes, want %d: %v", kind, s.Name, size, len(data), err)
			}
			if _, err := got.Uncompressed(&got.Sections[i], uint64(len(data)-1)); err == nil {
				t.Errorf("%s, %s: more than the limit is no error", kind, s.Name)
			}
		}
		if (compressed > 0) != (kind != "none") {
			t.Errorf("%s: %d sections are compressed", kind, compressed)
		}
	}
}

// TestUncompressedHostile reads sections that are not what they say.
func TestUncompressedHostile(t *testing.T) {
	var bomb bytes.Buffer
	w := zlib.NewWriter(&bomb)
	io.CopyN(w, zeros{}, 64<<20)
	w.Close()
	for _, test := range []struct {
		name    string
		kind    uint32
		size    uint64
		data    []byte
		problem string
	}{
		{"says little and is much", 1, 100, bomb.Bytes(), "its size is not"},
		{"says much and is little", 1, 65 << 20, bomb.Bytes(), "its size is not"},
		{"says more than the limit", 1, 1 << 40, bomb.Bytes(), "more than"},
		{"cut off", 1, 64 << 20, bomb.Bytes()[:bomb.Len()/2], "unexpected EOF"},
		{"unknown", 3, 100, bomb.Bytes(), "unknown type 3"},
		{"no zlib", 1, 100, []byte("nothing"), "zlib"},
		{"no zstd", 2, 100, []byte("nothing that is long enough"), "magic number"},
		// A window of 2 GiB: exponent 21, in a frame of one raw block.
		{"zstd with a large window", 2, 100, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 21 << 3, 1, 0, 0}, "window"},
		{"nothing", 2, 100, nil, "its size is not"},
	} {
		content := binary.LittleEndian.AppendUint32(nil, test.kind)
		content = append(content, 0, 0, 0, 0)
		content = binary.LittleEndian.AppendUint64(content, test.size)
		content = append(append(content, make([]byte, 8)...), test.data...)
		f := &File{Wide: true, content: bytes.NewReader(content)}
		s := &Section{Name: "it", Type: elf.SHT_PROGBITS, Flags: elf.SHF_COMPRESSED, Size: uint64(len(content))}
		if b, err := f.Uncompressed(s, 128<<20); err == nil || !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%s: %d bytes, %v, want %q", test.name, len(b), err, test.problem)
		}
		s.Size = 20
		if _, err := f.Uncompressed(s, 128<<20); err == nil {
			t.Errorf("%s, header cut off: no error", test.name)
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

func FuzzUncompressed(f *testing.F) {
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	io.CopyN(w, zeros{}, 1000)
	w.Close()
	f.Add(uint32(elf.COMPRESS_ZLIB), uint64(1000), packed.Bytes())
	f.Add(uint32(elf.COMPRESS_ZSTD), uint64(1), []byte{0x28, 0xb5, 0x2f, 0xfd, 0x20, 1, 9, 0, 0, 'x'})
	f.Fuzz(func(t *testing.T, kind uint32, size uint64, data []byte) {
		content := binary.LittleEndian.AppendUint32(nil, kind)
		content = binary.LittleEndian.AppendUint64(append(content, 0, 0, 0, 0), size)
		content = append(append(content, make([]byte, 8)...), data...)
		file := &File{Wide: true, content: bytes.NewReader(content)}
		s := &Section{Type: elf.SHT_PROGBITS, Flags: elf.SHF_COMPRESSED, Size: uint64(len(content))}
		if b, err := file.Uncompressed(s, 1<<20); err == nil && (uint64(len(b)) != size || size > 1<<20) {
			t.Fatalf("%d bytes, promised were %d", len(b), size)
		}
	})
}
