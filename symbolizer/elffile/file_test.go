package elffile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestAgainstDebugELF compares the headers of a real program with those the
// standard library reads.
func TestAgainstDebugELF(t *testing.T) {
	for _, name := range []string{"/proc/self/exe", sharedObject(t)} {
		b, err := os.ReadFile(name)
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
		if got.Type != want.Type || got.Machine != want.Machine || len(got.Sections) != len(want.Sections) {
			t.Fatalf("%s: %v %v %d sections", name, got.Type, got.Machine, len(got.Sections))
		}
		for i, s := range want.Sections {
			g := got.Sections[i]
			if g.Name != s.Name || g.Type != s.Type || g.Flags != s.Flags || g.Addr != s.Addr || g.Offset != s.Offset || g.Link != s.Link {
				t.Errorf("%s: section %+v, want %+v", name, g, s.SectionHeader)
			}
			if s.Type == elf.SHT_PROGBITS && s.Flags&elf.SHF_ALLOC != 0 && s.Size > 0 {
				data, err := s.Data()
				if err != nil {
					t.Fatal(err)
				}
				loaded := make([]byte, len(data))
				if err := got.ReadAddress(loaded, s.Addr); err != nil || !bytes.Equal(loaded, data) {
					t.Errorf("%s: memory of %s differs: %v", name, s.Name, err)
				}
			}
			if g.Flags&elf.SHF_EXECINSTR != 0 && !got.Executable(g.Addr) {
				t.Errorf("%s: %s is not executable", name, g.Name)
			}
		}
	}
}

func sharedObject(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
	if err != nil {
		t.Fatalf("gcc is missing: install it with apt-get install gcc: %v", err)
	}
	return strings.TrimSpace(string(out))
}

// small is a file of one segment and one section.
func small() []byte {
	var b bytes.Buffer
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Phoff: 64, Shoff: 64 + 56,
		Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: 2, Shstrndx: 1}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	for _, part := range []any{h,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Off: 0, Vaddr: 0x1000, Filesz: 100, Memsz: 200},
		[]elf.Section64{{}, {Name: 1, Type: uint32(elf.SHT_STRTAB), Off: 248, Size: 6}},
		[]byte("\x00name\x00")} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// noted is a file whose only section is a note.
func noted(name string, content []byte) []byte {
	var note bytes.Buffer
	for _, part := range []any{[]uint32{uint32(len(name)), uint32(len(content)), noteGNUBuildID}, []byte(name), content} {
		if err := binary.Write(&note, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	b := append(small(), note.Bytes()...)
	le := binary.LittleEndian
	header := b[120+64:]
	le.PutUint32(header[4:], uint32(elf.SHT_NOTE))
	le.PutUint64(header[24:], uint64(len(b)-note.Len()))
	le.PutUint64(header[32:], uint64(note.Len()))
	le.PutUint16(b[62:], 0) // no names
	return b
}

func TestBuildID(t *testing.T) {
	long := bytes.Repeat([]byte{0xab}, maxBuildID)
	for _, test := range []struct {
		file []byte
		want string
	}{
		{noted("GNU\x00", []byte{1, 2, 3, 0xff}), "010203ff"},
		{noted("GNU\x00", []byte{1, 2, 3}), "010203"}, // the last needs no padding
		{noted("GNU\x00", long), strings.Repeat("ab", maxBuildID)},
		{noted("GNU\x00", append(long, 0, 0, 0, 0)), ""},
		{noted("GNU\x00", nil), ""},
		{noted("XYZ\x00", []byte{1, 2, 3, 4}), ""},
		{small(), ""},
	} {
		f, err := Open(bytes.NewReader(test.file))
		if err != nil {
			t.Fatal(err)
		}
		if got := f.BuildID(); got != test.want {
			t.Errorf("build ID %q, want %q", got, test.want)
		}
	}
	// What readelf says of real files is compared in package debugfile.
}

func TestBadFiles(t *testing.T) {
	change := func(at int, value ...byte) []byte {
		b := small()
		copy(b[at:], value)
		return b
	}
	for _, test := range []struct {
		name string
		file []byte
		want string
	}{
		{"empty", nil, "not an ELF file"},
		{"text", []byte("#!/bin/sh\necho hello, world\n"), "not an ELF file"},
		{"magic only", []byte("\x7fELF"), "not an ELF file"},
		{"cut off", small()[:40], "unexpected EOF"},
		{"cut off after the identification", small()[:16], "unexpected EOF"},
		{"big-endian", change(5, 2), "big-endian"},
		{"class", change(4, 3), "unknown class"},
		{"object file", change(16, 1), "cannot be executed"},
		{"size of program headers", change(54, 55), "program headers"},
		{"program headers beyond the end", change(32, 0xff, 0xff), "program headers"},
		{"program headers at a negative offset", change(39, 0xff), "program headers"},
		{"too many program headers", change(56, 0xff, 0xff), "program headers"},
		{"sections beyond the end", change(60, 200), "section headers"},
		{"more sections than any file has", change(120+32, 0, 0, 0, 0, 1), ""},
		{"segment that wraps around", change(64+40, bytes.Repeat([]byte{0xff}, 8)...), "segment of"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := Open(bytes.NewReader(test.file))
			if test.want == "" {
				if err != nil {
					t.Errorf("error is %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v, want %q", err, test.want)
			}
		})
	}
	// The number of sections may be in the first section.
	b := change(120+32, 0, 0, 0, 0, 1)
	b[60] = 0
	if _, err := Open(bytes.NewReader(b)); err == nil || !strings.Contains(err.Error(), "sections") {
		t.Errorf("error is %v", err)
	}
}

func TestNoData(t *testing.T) {
	f, err := Open(bytes.NewReader(small()))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []Section{{Type: elf.SHT_NOBITS, Size: 1 << 40}, {Type: elf.SHT_PROGBITS, Flags: elf.SHF_COMPRESSED}} {
		if _, err := f.Data(&s, 1<<50); !errors.Is(err, ErrNoData) {
			t.Errorf("%+v: error is %v, want ErrNoData", s, err)
		}
	}
	if _, err := f.Data(&Section{Type: elf.SHT_PROGBITS, Size: 10}, 9); err == nil {
		t.Error("no error beyond the limit")
	}
	if err := f.ReadAddress(make([]byte, 8), 0x1000+96); err == nil {
		t.Error("no error for memory that the file does not have")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(small())
	wide := small()
	wide[4] = 1
	f.Add(wide)
	f.Add(noted("GNU\x00", []byte{1, 2, 3, 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := Open(bytes.NewReader(b))
		if err != nil {
			return
		}
		for i := range file.Sections {
			s := &file.Sections[i]
			if data, err := file.Data(s, 1<<20); err == nil && len(data) > len(b) {
				t.Fatalf("%d bytes of data in a file of %d", len(data), len(b))
			}
			file.Section(s.Name)
		}
		if id := file.BuildID(); len(id) > 2*maxBuildID {
			t.Fatalf("build ID of %d digits", len(id))
		}
		for _, s := range file.Segments {
			file.Executable(s.Start)
			if err := file.ReadAddress(make([]byte, 16), s.Start); err == nil && len(b) < 16 {
				t.Fatal("read more than there is")
			}
		}
	})
}
