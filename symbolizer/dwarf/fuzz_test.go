package dwarf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// sections are those that a fuzzed file has, in this order.
var sections = []string{
	".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_line_str",
	".debug_ranges", ".debug_rnglists", ".debug_addr", ".debug_str_offsets",
	".debug_info.dwo", ".debug_abbrev.dwo", ".debug_str.dwo", ".debug_rnglists.dwo", ".debug_str_offsets.dwo",
	".debug_cu_index",
}

// pack joins the sections of files: each after its length in 4 bytes.
func pack(t testing.TB, paths ...string) []byte {
	t.Helper()
	var packed []byte
	for _, name := range sections {
		var data []byte
		for _, path := range paths {
			file := open(t, path)
			if s := file.Section(name); s != nil {
				var err error
				if data, err = file.Uncompressed(s, 1<<30); err != nil {
					t.Fatal(err)
				}
			}
		}
		packed = binary.LittleEndian.AppendUint32(packed, uint32(len(data)))
		packed = append(packed, data...)
	}
	return packed
}

// image makes an ELF file of packed sections, with code at all addresses.
func image(packed []byte) []byte {
	le := binary.LittleEndian
	names := []byte("\x00.names\x00")
	var data []byte
	headers := make([]byte, 64) // the null section
	const start = 64 + 56
	add := func(name uint32, content []byte) {
		h := make([]byte, 64)
		le.PutUint32(h, name)
		le.PutUint32(h[4:], 1) // PROGBITS
		le.PutUint64(h[24:], uint64(start+len(data)))
		le.PutUint64(h[32:], uint64(len(content)))
		headers = append(headers, h...)
		data = append(data, content...)
	}
	for _, name := range sections {
		if len(packed) < 4 {
			break
		}
		size := min(int(le.Uint32(packed)), len(packed)-4)
		add(uint32(len(names)), packed[4:4+size])
		names = append(append(names, name...), 0)
		packed = packed[4+size:]
	}
	add(1, names)
	file := make([]byte, start)
	copy(file, "\x7fELF\x02\x01\x01")
	le.PutUint16(file[16:], 3) // DYN
	le.PutUint16(file[18:], 62)
	le.PutUint64(file[32:], 64)
	le.PutUint64(file[40:], uint64(start+len(data)))
	le.PutUint16(file[54:], 56)
	le.PutUint16(file[56:], 1)
	le.PutUint16(file[58:], 64)
	le.PutUint16(file[60:], uint16(len(headers)/64))
	le.PutUint16(file[62:], uint16(len(headers)/64-1))
	le.PutUint32(file[64:], 1)        // LOAD
	le.PutUint32(file[68:], 5)        // readable, executable
	le.PutUint64(file[64+40:], 1<<40) // size in memory
	return append(append(file, data...), headers...)
}

// packSplit packs a program with the .dwo file that is the rest of it, or that with
// the package of it.
func packSplit(t testing.TB, version string) (object, packaged []byte) {
	t.Helper()
	path := compile(t, "clang++-19", "-gdwarf-"+version, "-gsplit-dwarf")
	objects, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.dwo"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%q: %v", objects, err)
	}
	run(t, "llvm-19", "llvm-dwp-19", "-e", path, "-o", path+".dwp")
	return pack(t, path, objects[0]), pack(t, path, path+".dwp")
}

// FuzzReader reads a file of any content: with room for all of it and page by
// page, alone and as its own supplementary file. What it has split off is in
// itself.
func FuzzReader(f *testing.F) {
	for _, flags := range [][]string{{"-gdwarf-4"}, {"-gdwarf-5"}, {"-gdwarf-5", "-gdwarf64"}} {
		f.Add(pack(f, compile(f, "g++", flags...)), true)
	}
	clang := pack(f, compile(f, "clang++-19", "-g"))
	f.Add(clang, true)
	f.Add(clang, false)
	for _, version := range []string{"4", "5"} {
		object, packaged := packSplit(f, version)
		f.Add(object, true)
		f.Add(packaged, true)
	}
	f.Fuzz(func(t *testing.T, packed []byte, alone bool) {
		file, err := elffile.Open(bytes.NewReader(image(packed)))
		if err != nil {
			t.Fatal(err)
		}
		alt := file
		if alone {
			alt = nil
		}
		split := Split{Open: func(string) (*elffile.File, io.Closer, error) { return file, io.NopCloser(nil), nil }}
		if file.Section(".debug_cu_index") != nil {
			split.Package = file
		}
		for _, limit := range []int64{0, 64 << 10} {
			r, err := Open(file, alt, Config{Limit: limit, Split: split})
			if err != nil {
				continue
			}
			for {
				u, err := r.Next()
				if errors.Is(err, io.EOF) || errors.Is(err, ErrTooLarge) {
					break
				}
				if err != nil {
					continue
				}
				check(t, u)
				if r.Memory() > r.limit {
					t.Fatalf("%d bytes are more than the limit", r.Memory())
				}
				for _, s := range u.Scopes {
					u.File(s.CallFile)
				}
			}
		}
	})
}

// TestImage makes sure that what is fuzzed is what is in files.
func TestImage(t *testing.T) {
	path := compile(t, "g++", "-g")
	b := image(pack(t, path))
	out := t.TempDir() + "/image"
	if err := os.WriteFile(out, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(open(t, out), nil, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if told := tell(t, r); len(told) < len(wanted) {
		t.Errorf("told: %q", told)
	}
	for _, version := range []string{"4", "5"} {
		object, packaged := packSplit(t, version)
		for i, packed := range [][]byte{object, packaged} {
			file, err := elffile.Open(bytes.NewReader(image(packed)))
			if err != nil {
				t.Fatal(err)
			}
			split := Split{Open: func(string) (*elffile.File, io.Closer, error) { return file, io.NopCloser(nil), nil }}
			if i == 1 {
				split = Split{Package: file}
			}
			if r, err = Open(file, nil, Config{Split: split}); err != nil {
				t.Fatal(err)
			}
			if told := tell(t, r); len(told) < len(wanted) {
				t.Errorf("version %s, %d: told: %q", version, i, told)
			}
		}
	}
}
