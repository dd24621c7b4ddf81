package native

import (
	"cmp"
	"debug/elf"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/tabletest"
)

var files = flag.String("files", "", "comma-separated ELF files whose rules to look up besides the usual ones")

// TestKernelAgainstParser looks up in the kernel what the parser says: at each
// row, a byte before, around the end of each FDE and each KiB, and anywhere.
func TestKernelAgainstParser(t *testing.T) {
	var paths []string
	for _, name := range []string{"libc.so.6", "libstdc++.so.6", "libcrypto.so.3", "libLLVM-19.so", "ld-linux-x86-64.so.2"} {
		paths = append(paths, library(t, "gcc", name))
	}
	paths = append(paths, library(t, "aarch64-linux-gnu-gcc", "libc.so.6"))
	if *files != "" {
		paths = append(paths, strings.Split(*files, ",")...)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) { lookUpAll(t, path) })
	}
}

// library returns the path of a library that the compiler links.
func library(t testing.TB, compiler, name string) string {
	t.Helper()
	out, err := exec.Command(compiler, "-print-file-name="+name).Output()
	path := strings.TrimSpace(string(out))
	if err != nil || path == name {
		t.Fatalf("%s has no %s: run testdata/install-deps.sh: %v", compiler, name, err)
	}
	return path
}

func lookUpAll(t *testing.T, path string) {
	section, code := openFrames(t, path)
	s, k := openStore(t, 64<<20)
	chunks := loadAll(t, s, section, code)
	p := parse(t, section)
	n, found, padding := 0, 0, 0
	flush := func() {
		for _, q := range k.run(t, n) {
			address := chunks[q.chunk] + uint64(q.offset)
			want, where := p.rule(address)
			switch {
			case q.found == tabletest.Found && q.rule == want.words():
				found++
			case q.found == tabletest.FoundNothing && want == Rule{}:
			case q.found == tabletest.FoundNothing && where == between:
				padding++ // at the start of a chunk no row goes on over it
			default:
				t.Fatalf("at %#x: found %d, %x; want %+v", address, q.found, q.rule, want)
			}
		}
		n = 0
	}
	ask := func(address uint64) {
		if address < code.start || address >= code.limit {
			return
		}
		at := address - code.start
		k.queries[n] = query{chunk: 1 + uint32(at/ChunkSize), offset: uint32(at % ChunkSize)}
		if n++; n == len(k.queries) {
			flush()
		}
	}
	for _, f := range p.fdes {
		for _, r := range f.rows {
			ask(r.PC - 1)
			ask(r.PC)
		}
		ask(f.Limit - 1)
		ask(f.Limit)
	}
	for at := code.start; at < code.limit; at += bucketSize {
		ask(at)
		ask(at + bucketSize - 1)
	}
	for range 200_000 {
		ask(code.start + rand.Uint64N(code.limit-code.start))
	}
	flush()
	t.Logf("%d rules found, %d places in padding without, %d tables of %d bytes", found, padding, s.Stats().Tables, s.Stats().Bytes)
	if found < 10_000 || padding > found {
		t.Errorf("%d rules found, %d places in padding without", found, padding)
	}
}

// loadAll loads the tables of a file's code as chunks from 1 on, and returns the
// addresses of their starts.
func loadAll(t testing.TB, s *Store, section ehframe.Section, code addresses) map[uint32]uint64 {
	t.Helper()
	table, err := ehframe.NewTable(section)
	if err != nil {
		t.Fatal(err)
	}
	chunks := make(map[uint32]uint64)
	for at := code.start; at < code.limit; at += ChunkSize {
		size := min(ChunkSize, code.limit-at)
		var rows []Row
		table.Rows(at, at+size, func(r ehframe.Row) {
			rows = append(rows, Row{uint32(r.PC - at), FromCFI(r.Rule, section.Arch)})
		})
		chunk := uint32(len(chunks) + 1)
		if err := s.loadRows(chunk, uint32(size), rows); err != nil {
			t.Fatal(err)
		}
		chunks[chunk] = at
	}
	return chunks
}

// BenchmarkLookup looks up rules at places spread evenly over the code of a large
// library, or of the first of -files, that has rules: more places than the rule
// cache holds. The fastest run is printed too, since the tables share the
// processor's caches with others; and what a look-up takes where there is no
// table, which is mostly the price of asking from a loop.
func BenchmarkLookup(b *testing.B) {
	path := library(b, "gcc", "libLLVM-19.so")
	if *files != "" {
		path, _, _ = strings.Cut(*files, ",")
	}
	section, code := openFrames(b, path)
	s, k := openStore(b, 256<<20)
	loadAll(b, s, section, code)
	table, err := ehframe.NewTable(section)
	if err != nil {
		b.Fatal(err)
	}
	covered := func(address uint64) (yes bool) {
		table.Rows(address, address+1, func(r ehframe.Row) { yes = r.Rule.CFA.Kind != ehframe.CFAEnd })
		return yes
	}
	for i := range k.queries {
		at := rand.Uint64N(code.limit - code.start)
		for !covered(code.start + at) {
			at = rand.Uint64N(code.limit - code.start)
		}
		k.queries[i] = query{chunk: 1 + uint32(at/ChunkSize), offset: uint32(at % ChunkSize)}
	}
	n := len(k.queries)
	each := func() float64 {
		begin := time.Now()
		k.run(b, n)
		return float64(time.Since(begin).Nanoseconds()) / float64(n)
	}
	var sum, least float64
	for b.Loop() {
		took := each()
		sum += took
		if least == 0 || took < least {
			least = took
		}
	}
	for _, q := range k.queries {
		if q.found != tabletest.Found {
			b.Fatalf("chunk %d, offset %#x: found %d", q.chunk, q.offset, q.found)
		}
	}
	for i := range k.queries {
		k.queries[i].chunk = s.Chunks() - 1
	}
	b.ReportMetric(sum/float64(b.N), "ns/lookup")
	b.ReportMetric(least, "ns/least")
	b.ReportMetric(each(), "ns/without")
}

type addresses struct{ start, limit uint64 }

// openFrames returns a file's .eh_frame, and where its code is.
func openFrames(t testing.TB, path string) (ehframe.Section, addresses) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	frames := f.Section(".eh_frame")
	data, err := frames.Data()
	if err != nil {
		t.Fatal(err)
	}
	code := addresses{start: ^uint64(0)}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 {
			code.start, code.limit = min(code.start, p.Vaddr), max(code.limit, p.Vaddr+p.Filesz)
		}
	}
	arch := map[elf.Machine]ehframe.Arch{elf.EM_X86_64: ehframe.AMD64, elf.EM_AARCH64: ehframe.ARM64}[f.Machine]
	return ehframe.Section{Arch: arch, Data: data, Address: frames.Addr}, code
}

// parsed are all FDEs with their rows, by address.
type parsed struct {
	arch ehframe.Arch
	fdes []parsedFDE
}

type parsedFDE struct {
	ehframe.FDE
	rows []ehframe.Row
}

func parse(t *testing.T, s ehframe.Section) parsed {
	t.Helper()
	r, err := ehframe.NewReader(s)
	if err != nil {
		t.Fatal(err)
	}
	p := parsed{arch: s.Arch}
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		each := parsedFDE{FDE: f}
		if err := r.Rows(f, func(row ehframe.Row) { each.rows = append(each.rows, row) }); err != nil {
			t.Fatal(err)
		}
		p.fdes = append(p.fdes, each)
	}
	slices.SortStableFunc(p.fdes, func(a, b parsedFDE) int { return cmp.Compare(a.Start, b.Start) })
	return p
}

type where int

const (
	inside  where = iota // of an FDE
	outside              // of all
	between              // in the alignment between two
)

// rule is what the last FDE that begins at or before an address says.
func (p parsed) rule(address uint64) (Rule, where) {
	i, found := slices.BinarySearchFunc(p.fdes, address, func(f parsedFDE, address uint64) int { return cmp.Compare(f.Start, address) })
	if !found {
		i--
	}
	if i < 0 {
		return Rule{}, outside
	}
	f := p.fdes[i]
	if address >= f.Limit {
		if i+1 < len(p.fdes) && p.fdes[i+1].Start-f.Limit < 16 {
			return FromCFI(f.rows[len(f.rows)-1].Rule, p.arch), between
		}
		return Rule{}, outside
	}
	i, found = slices.BinarySearchFunc(f.rows, address, func(r ehframe.Row, address uint64) int { return cmp.Compare(r.PC, address) })
	if !found {
		i--
	}
	return FromCFI(f.rows[i].Rule, p.arch), inside
}
