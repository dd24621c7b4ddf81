package debugfile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

func parseHex(s string) (uint64, error) { return strconv.ParseUint(s, 16, 64) }

// image makes a 64-bit executable of sections alone.
func image(t testing.TB, sections map[string][]byte) (*staccato.Mapping, *elffile.File) {
	t.Helper()
	names := bytes.NewBuffer([]byte{0})
	var content bytes.Buffer
	headers := []elf.Section64{{}}
	add := func(name string, kind elf.SectionType, b []byte) {
		headers = append(headers, elf.Section64{Name: uint32(names.Len()), Type: uint32(kind), Off: uint64(64 + content.Len()), Size: uint64(len(b))})
		names.WriteString(name + "\x00")
		content.Write(b)
	}
	for name, b := range sections {
		add(name, elf.SHT_PROGBITS, b)
	}
	names.WriteString(".shstrtab\x00")
	text := bytes.Clone(names.Bytes())
	add("", elf.SHT_STRTAB, text)
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Shoff: uint64(64 + content.Len()),
		Ehsize: 64, Shentsize: 64, Shnum: uint16(len(headers)), Shstrndx: uint16(len(headers) - 1)}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	for _, part := range []any{h, content.Bytes(), headers} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	m := &staccato.Mapping{Path: "/bin/program", File: bytes.NewReader(b.Bytes()), BuildID: "0123456789abcdef"}
	f, err := elffile.Open(m.File)
	if err != nil {
		t.Fatal(err)
	}
	return m, f
}

// asked is a root that has nothing and remembers what was asked for.
type asked []string

func (a *asked) Open(path string) (staccato.OpenFile, error) {
	*a = append(*a, path)
	return nil, fs.ErrNotExist
}

func debuglink(name string) []byte {
	b := append([]byte(name), 0)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return append(b, 1, 2, 3, 4)
}

// What strangers write into links asks for no paths but those of debug files.
func TestBadLinks(t *testing.T) {
	const byID = "/usr/lib/debug/.build-id/01/23456789abcdef.debug"
	for _, test := range []struct {
		name    string
		section []byte
		paths   []string
		want    string
	}{
		{"sound", debuglink("x.debug"), []string{byID, "/bin/x.debug", "/bin/.debug/x.debug", "/usr/lib/debug/bin/x.debug"}, "no debug file found"},
		{"a path", debuglink("../etc/passwd"), []string{byID}, "not the name of a file"},
		{"an absolute path", debuglink("/etc/passwd"), []string{byID}, "not the name of a file"},
		{"the root", debuglink("/"), []string{byID}, "not the name of a file"},
		{"upwards", debuglink(".."), []string{byID}, "not the name of a file"},
		{"here", debuglink("."), []string{byID}, "not the name of a file"},
		{"itself", debuglink("program"), []string{byID, "/bin/.debug/program", "/usr/lib/debug/bin/program"}, "no debug file found"},
		{"without a name", debuglink(""), []string{byID}, "no debug file found"},
		{"without an end", []byte("xxxxxxxx"), []string{byID}, "malformed"},
		{"without a CRC", []byte("xxx\x00"), []string{byID}, "malformed"},
		{"empty", nil, []string{byID}, "malformed"},
		{"long", debuglink(strings.Repeat("x", maxLink)), []string{byID}, "more than"},
	} {
		m, f := image(t, map[string][]byte{".gnu_debuglink": test.section})
		root := &asked{}
		m.Roots = []staccato.Root{root}
		set := Find(m, f, Config{})
		if !slices.Equal(*root, test.paths) || !strings.Contains(set.Reason, test.want) {
			t.Errorf("%s: asked for %q, reason %q; want %q", test.name, *root, set.Reason, test.want)
		}
	}
}

func TestBadAlternates(t *testing.T) {
	for name, section := range map[string][]byte{
		"no build ID": []byte("name\x00"), "no name": []byte("\x00aaaaaaaaaaaaaaaa"), "no end": []byte("name"),
		"a long build ID": append([]byte("name\x00"), make([]byte, 65)...), "empty": nil,
	} {
		m, f := image(t, map[string][]byte{".gnu_debugaltlink": section, ".debug_info": {0}})
		root := &asked{}
		m.Roots = []staccato.Root{root}
		if set := Find(m, f, Config{}); len(*root) != 0 || !strings.Contains(set.Reason, "malformed") {
			t.Errorf("%s: asked for %q, reason %q", name, *root, set.Reason)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add(debuglink("x.debug"), []byte("../../.dwz/common\x00aaaaaaaaaaaaaaaa"), []byte("\xfd7zXZ\x00"), "0123456789")
	f.Fuzz(func(t *testing.T, link, alternate, mini []byte, buildID string) {
		m, file := image(t, map[string][]byte{".gnu_debuglink": link, ".gnu_debugaltlink": alternate, ".gnu_debugdata": mini})
		m.BuildID = buildID
		root := &asked{}
		m.Roots = []staccato.Root{root}
		set := Find(m, file, Config{})
		defer set.Close()
		if set.Debug != nil || set.Alternate != nil || set.Reason == "" {
			t.Fatalf("%+v", set)
		}
		for _, p := range *root {
			if !path.IsAbs(p) || p != path.Clean(p) || !strings.HasPrefix(p, "/bin/") && !strings.HasPrefix(p, debugDir+"/") {
				t.Fatalf("asked for %q", p)
			}
		}
	})
}
