package elfsym

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

func name(lines []staccato.Line) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0].Function.SystemName
}

// TestFlatten compares the ranges with a search of all symbols.
func TestFlatten(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var symbols []symbol
		for at := uint64(0); at < 60; at += 1 + r.Uint64N(8) {
			symbols = append(symbols, symbol{start: at, size: r.Uint64N(30), name: uint32(at)})
		}
		ranges := flatten(symbols)
		for address := range uint64(100) {
			want, covered := uint32(math.MaxUint32), false
			for _, s := range symbols {
				if address >= s.start && address < s.start+s.size {
					want, covered = s.name, true
				}
			}
			for _, s := range symbols {
				if !covered && s.size == 0 && address == s.start {
					want = s.name
				}
			}
			got, hits := uint32(math.MaxUint32), 0
			for _, x := range ranges {
				if address >= x.start && address < limitOf(x) {
					got = x.name
					hits++
				}
			}
			if got != want || hits > 1 {
				t.Fatalf("%v: address %d is in %d (%d ranges), want %d", symbols, address, got, hits, want)
			}
		}
		if !slices.IsSortedFunc(ranges, func(a, b symbol) int { return int(a.start) - int(b.start) }) {
			t.Fatalf("%v: ranges are not in order: %v", symbols, ranges)
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{"memcpy@@GLIBC_2.14": "memcpy", "f@V1": "f", "plain": "plain", "@odd": "@odd"} {
		if got := withoutVersion(in); got != want {
			t.Errorf("withoutVersion(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]bool{"$x": true, "$d": true, "$d.17": true, "$xrv64i2p0": true, "$": false, "$xyz": false, "main": false} {
		if got := isMappingSymbol(in); got != want {
			t.Errorf("isMappingSymbol(%q) = %v, want %v", in, got, want)
		}
	}
}

// image makes a 64-bit shared object with one executable segment at 0x1000 and
// one symbol table.
func image(symbols []elf.Sym64, names string) []byte {
	const headers, sections = 64 + 56, 3
	var b bytes.Buffer
	le := binary.LittleEndian
	table, text := uint64(headers), uint64(headers+len(symbols)*24)
	shoff := text + uint64(len(names))
	ehdr := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Phoff: 64, Shoff: shoff,
		Ehsize: 64, Phentsize: 56, Phnum: 1, Shentsize: 64, Shnum: sections}
	copy(ehdr.Ident[:], "\x7fELF\x02\x01\x01")
	for _, part := range []any{
		ehdr,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Vaddr: 0x1000, Memsz: 0x1000},
		symbols, []byte(names),
		[]elf.Section64{{},
			{Type: uint32(elf.SHT_SYMTAB), Off: table, Size: text - table, Link: 2, Entsize: 24},
			{Type: uint32(elf.SHT_STRTAB), Off: text, Size: uint64(len(names))}},
	} {
		if err := binary.Write(&b, le, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func function(name uint32, start, size uint64) elf.Sym64 {
	return elf.Sym64{Name: name, Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC), Shndx: 1, Value: start, Size: size}
}

func TestHostile(t *testing.T) {
	long := "\x00" + strings.Repeat("x", 2*maxName) + "\x00"
	many := make([]elf.Sym64, 5000)
	for i := range many {
		many[i] = function(uint32(i+1), 0x1000+uint64(i%0x1000), 1)
	}
	tests := []struct {
		name    string
		file    []byte
		config  Config
		address uint64
		want    string // a name, or what the error says
	}{
		{"sane", image([]elf.Sym64{function(1, 0x1010, 4)}, "\x00f\x00"), Config{}, 0x1012, "f"},
		{"size beyond the end of memory", image([]elf.Sym64{function(1, 0x1010, math.MaxUint64)}, "\x00f\x00"), Config{}, 0x1fff, "f"},
		{"name outside of the table", image([]elf.Sym64{function(9, 0x1010, 4)}, "\x00f\x00"), Config{}, 0, "no symbols"},
		{"name without an end", image([]elf.Sym64{function(1, 0x1010, 4)}, "\x00f"), Config{}, 0, "no symbols"},
		{"name too long", image([]elf.Sym64{function(1, 0x1010, 4), function(uint32(maxName)+5, 0x1020, 1)}, long), Config{}, 0x1020, strings.Repeat("x", maxName-4)},
		{"outside of the code", image([]elf.Sym64{function(1, 0x5000, 4)}, "\x00f\x00"), Config{}, 0, "no symbols"},
		{"names that overlap", image(many, long[:maxName]+"\x00"), Config{Limit: 1 << 20}, 0, "exceeds the memory limit"},
		{"too many symbols", image(many, long), Config{Limit: 10_000}, 0, "exceeds the memory limit"},
		{"left out", image([]elf.Sym64{function(1, 0x1010, 4)}, "\x00f\x00"), Config{SkipStart: 0x1000, SkipLimit: 0x1011}, 0, "no symbols"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file, err := elffile.Open(bytes.NewReader(test.file))
			if err != nil {
				t.Fatal(err)
			}
			table, err := New(file, test.config)
			if err != nil {
				if !strings.Contains(err.Error(), test.want) {
					t.Errorf("error is %q, want %q", err, test.want)
				}
				return
			}
			lines, _ := table.Resolve(test.address)
			if got := name(lines); got != test.want {
				t.Errorf("%#x is %.40q, want %.40q", test.address, got, test.want)
			}
		})
	}
}

// TestEveryOrder checks that the order of symbols in the file does not matter.
func TestEveryOrder(t *testing.T) {
	symbols := []elf.Sym64{function(1, 0x1010, 4), function(3, 0x1010, 4), function(6, 0x1010, 4), function(9, 0x1010, 2)}
	names := "\x00b\x00_a\x00bb\x00a\x00"
	for range 100 {
		rand.Shuffle(len(symbols), func(i, j int) { symbols[i], symbols[j] = symbols[j], symbols[i] })
		file, err := elffile.Open(bytes.NewReader(image(symbols, names)))
		if err != nil {
			t.Fatal(err)
		}
		table, err := New(file, Config{})
		if err != nil {
			t.Fatal(err)
		}
		if lines, _ := table.Resolve(0x1010); name(lines) != "b" {
			t.Fatalf("name is %q, want b", name(lines))
		}
	}
}

func FuzzNew(f *testing.F) {
	f.Add(image([]elf.Sym64{function(1, 0x1010, 4), function(3, 0x1012, 0)}, "\x00f\x00g@@V\x00"), uint64(0x1012))
	f.Add(image(nil, ""), uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, address uint64) {
		file, err := elffile.Open(bytes.NewReader(b))
		if err != nil {
			return
		}
		table, err := New(file, Config{Limit: 1 << 20})
		if err != nil {
			return
		}
		if table.Size() > 1<<20 {
			t.Errorf("table has %d bytes", table.Size())
		}
		previous := uint64(0)
		for _, r := range table.ranges {
			if r.start < previous || r.size == 0 {
				t.Fatalf("range %+v after %#x", r, previous)
			}
			previous = r.start + uint64(r.size) - 1
			if lines, ok := table.Resolve(r.start); !ok || name(lines) == "" {
				t.Fatalf("%#x has no name", r.start)
			}
		}
		table.Resolve(address)
	})
}

func BenchmarkResolve(b *testing.B) {
	table, err := read(b, cProgram(b, "-static"), Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Resolve(table.ranges[i*7919%len(table.ranges)].start)
	}
}

func BenchmarkNew(b *testing.B) {
	content, err := os.ReadFile(cProgram(b, "-static"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		file, err := elffile.Open(bytes.NewReader(content))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := New(file, Config{}); err != nil {
			b.Fatal(err)
		}
	}
}
