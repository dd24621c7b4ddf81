package gopclntab

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

const (
	base     = 0x100000 // address of the image's first byte
	textBase = 0x401000
)

// image is a small Go program as a file of the layout of Go 1.20 and later,
// with one function, main.outer, of 64 bytes. main.inner is inlined into it in
// bytes 16 to 31.
type image struct {
	functions      uint64 // as the header states
	entry, limit   uint32 // relative to the text
	parent, name   uint32 // of the inlined call
	inlined, lines []byte // tables of values
}

func newImage() image {
	return image{
		functions: 1, limit: 64, name: 12, parent: 8,
		inlined: []byte{0, 16, 2, 16, 1, 32, 0},    // -1 for 16 bytes, 0 for 16, -1 for 32
		lines:   []byte{22, 16, 20, 16, 19, 32, 0}, // line 10, 20, 10
	}
}

func (im image) bytes() []byte {
	le := binary.LittleEndian
	names := []byte("\x00main.outer\x00main.inner\x00")
	files := []byte("main.go\x00")
	values := slices.Concat([]byte{0}, []byte{2, 64, 0}, im.lines, im.inlined)
	fileAt, lineAt, callAt := uint32(1), uint32(4), uint32(4+len(im.lines))
	record := make([]byte, 0, 80)
	for _, v := range []uint32{im.entry, 1, 0, 0, 0, fileAt, lineAt, 3, 0, 7} {
		record = le.AppendUint32(record, v)
	}
	record = append(record, 0, 0, 0, 4) // number of function data
	for _, v := range []uint32{0, 0, callAt, ^uint32(0), ^uint32(0), ^uint32(0), 0} {
		record = le.AppendUint32(record, v)
	}
	table := le.AppendUint32(nil, im.entry)
	table = le.AppendUint32(table, 12)
	table = append(le.AppendUint32(table, im.limit), record...)
	tree := make([]byte, 4)
	tree = le.AppendUint32(tree, im.name)
	tree = le.AppendUint32(tree, im.parent)
	tree = le.AppendUint32(tree, 3)

	// The header ends with the offsets of the parts, then come the parts.
	parts := [][]byte{names, make([]byte, 4), files, values, table}
	at := uint64(headerSize)
	header := append(le.AppendUint32(nil, magic120), 0, 0, 1, 8)
	for _, v := range []uint64{im.functions, 1, 0} {
		header = le.AppendUint64(header, v)
	}
	var offsets []uint64
	for _, p := range parts {
		offsets = append(offsets, at)
		header = le.AppendUint64(header, at)
		at += uint64(len(p))
	}
	pclntab := slices.Concat(append([][]byte{header}, parts...)...)

	const tableAt = 64 + 56
	moduleAt := uint64(tableAt + len(pclntab) + len(tree))
	words := make([]uint64, moduleWords)
	words[wordHeader] = base + tableAt
	for i, word := range []int{wordNames, wordUnits, wordFiles, wordValues, wordTable} {
		words[word] = base + tableAt + offsets[i]
		words[word+1] = uint64(len(parts[i]))
	}
	words[wordFunctions], words[wordFunctions+1] = words[wordTable], im.functions+1
	words[wordFirstEntry], words[wordLastLimit] = textBase+uint64(im.entry), textBase+uint64(im.limit)
	words[wordCalls] = base + tableAt + uint64(len(pclntab))

	sectionNames := "\x00" + moduleSection + "\x00"
	namesAt := moduleAt + 8*moduleWords
	shoff := namesAt + uint64(len(sectionNames))
	ehdr := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Phoff: 64, Shoff: shoff,
		Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: 4, Shstrndx: 3}
	copy(ehdr.Ident[:], "\x7fELF\x02\x01\x01")
	alloc := uint64(elf.SHF_ALLOC)
	var b bytes.Buffer
	for _, part := range []any{
		ehdr,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R), Vaddr: base, Filesz: shoff, Memsz: shoff},
		pclntab, tree, words, []byte(sectionNames),
		[]elf.Section64{{},
			{Type: uint32(elf.SHT_PROGBITS), Flags: alloc, Addr: base + tableAt, Off: tableAt, Size: moduleAt - tableAt},
			{Name: 1, Type: uint32(elf.SHT_PROGBITS), Flags: alloc, Addr: base + moduleAt, Off: moduleAt, Size: 8 * moduleWords},
			{Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(sectionNames))}},
	} {
		if err := binary.Write(&b, le, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func parse(b []byte, limit int64) (*Table, error) {
	file, err := elffile.Open(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return New(file, Config{Limit: limit})
}

func TestImage(t *testing.T) {
	outer := []string{"main.outer main.go:10 from 7"}
	both := []string{"main.inner main.go:20 from 3", "main.outer main.go:10 from 7"}
	endless := bytes.Repeat([]byte{2, 0, 1, 0}, 4<<20)
	for _, test := range []struct {
		name   string
		change func(*image)
		at     uint64
		want   []string
		err    string
	}{
		{"before the call", func(*image) {}, 15, outer, ""},
		{"in the call", func(*image) {}, 16, both, ""},
		{"last byte of the call", func(*image) {}, 31, both, ""},
		{"after the call", func(*image) {}, 32, outer, ""},
		{"after the function", func(*image) {}, 64, nil, ""},
		{"call inlined into itself", func(im *image) { im.parent = 16 }, 16, nil, ""},
		{"caller outside of the function", func(im *image) { im.parent = 64 }, 16, []string{"main.outer :0 from 7"}, ""},
		{"call without a name", func(im *image) { im.name = 1 << 30 }, 16, []string{"main.outer :0 from 7"}, ""},
		{"values that never end", func(im *image) { im.inlined = endless }, 16, nil, ""},
		{"values cut off", func(im *image) { im.lines = im.lines[:1]; im.inlined = nil }, 40, []string{"main.outer :0 from 7"}, ""},
		{"more functions than bytes", func(im *image) { im.functions = 1 << 40 }, 0, nil, "no Go line table"},
		{"so many functions that sizes overflow", func(im *image) { im.functions = 1 << 61 }, 0, nil, "no Go line table"},
		{"no functions", func(im *image) { im.functions = 0 }, 0, nil, "no Go line table"},
		{"function that ends before it starts", func(im *image) { im.entry = 100 }, 0, nil, "module data not found"},
	} {
		t.Run(test.name, func(t *testing.T) {
			im := newImage()
			test.change(&im)
			table, err := parse(im.bytes(), 0)
			if err != nil {
				if test.err == "" || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("error is %q, want %q", err, test.err)
				}
				return
			}
			if test.err != "" {
				t.Fatalf("no error, want %q", test.err)
			}
			start := time.Now()
			lines, _ := table.Resolve(textBase + test.at)
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v", took)
			}
			if len(lines) > maxDepth+1 {
				t.Errorf("%d lines", len(lines))
			}
			if got := format(lines); test.want != nil && !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestStartLines(t *testing.T) {
	table, err := parse(newImage().bytes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	lines, _ := table.Resolve(textBase + 16)
	if len(lines) != 2 || lines[0].Function.StartLine != 3 || lines[1].Function.StartLine != 7 {
		t.Errorf("start lines are wrong: %+v", lines)
	}
}

// A table keeps pages, and no more of the file: what it cannot read any more, it says.
func TestMemory(t *testing.T) {
	content := &cut{ReaderAt: bytes.NewReader(newImage().bytes())}
	content.size = content.ReaderAt.(*bytes.Reader).Size()
	file, err := elffile.Open(content)
	if err != nil {
		t.Fatal(err)
	}
	table, err := New(file, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := table.Resolve(textBase); !ok || table.Err() != nil {
		t.Errorf("no name: %v", table.Err())
	}
	for i := range table.data.slots {
		table.data.slots[i].number = 0 // as if other pages had taken its place
	}
	content.failed = io.ErrUnexpectedEOF
	if lines, ok := table.Resolve(textBase); ok || !errors.Is(table.Err(), io.ErrUnexpectedEOF) {
		t.Errorf("name %q, error %v, of a file that was cut short", format(lines), table.Err())
	}
}

// cut is a file that cannot be read any more at some time.
type cut struct {
	io.ReaderAt
	size   int64
	failed error
}

func (c *cut) Size() int64 { return c.size }

func (c *cut) ReadAt(b []byte, offset int64) (int, error) {
	if c.failed != nil {
		return 0, c.failed
	}
	return c.ReaderAt.ReadAt(b, offset)
}

func FuzzNew(f *testing.F) {
	f.Add(newImage().bytes(), uint64(16))
	cycle := newImage()
	cycle.parent = 16
	f.Add(cycle.bytes(), uint64(20))
	f.Fuzz(func(t *testing.T, b []byte, at uint64) {
		start := time.Now()
		table, err := parse(b, 1<<20)
		if err != nil {
			return
		}
		if table.Size() > 1<<20 {
			t.Errorf("table has %d bytes", table.Size())
		}
		first, limit := table.Range()
		last, pieces := first, 0
		err = table.Frames(first, limit, func(f *Frame) {
			if f.Entry < last || f.Limit <= f.Entry {
				t.Fatalf("a function from %#x to %#x behind %#x", f.Entry, f.Limit, last)
			}
			for _, p := range f.Pieces {
				if p.Address < last || p.Address >= f.Limit || p.Size < -1 {
					t.Fatalf("%+v of a function from %#x to %#x, behind %#x", p, f.Entry, f.Limit, last)
				}
				last = p.Address
			}
			pieces += len(f.Pieces)
		})
		if pieces > maxPieces {
			t.Fatalf("%d pieces, %v", pieces, err)
		}
		for _, address := range []uint64{at, textBase + at, first, first + (limit-first)/2, limit} {
			lines, ok := table.Resolve(address)
			if ok != (len(lines) > 0) || len(lines) > maxDepth+1 {
				t.Fatalf("%#x has %d lines", address, len(lines))
			}
			for _, l := range lines {
				if l.Function.Name == "" || l.Line < 0 || l.Function.StartLine < 0 {
					t.Fatalf("%#x has line %+v of %+v", address, l, l.Function)
				}
			}
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("took %v", took)
		}
	})
}

func BenchmarkResolve(b *testing.B) {
	table := readTable(b, build(b, "local", "program", []string{"CGO_ENABLED=0"}))
	addresses := randomAddresses(table, 10_000)
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; b.Loop(); i++ {
		table.Resolve(addresses[i%len(addresses)])
	}
}

func BenchmarkNew(b *testing.B) {
	file := open(b, build(b, "local", "program", []string{"CGO_ENABLED=0"}))
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		if _, err := New(file, Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
