package elfsym

import (
	"bytes"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// objdumpStubs returns what objdump calls stubs, by address.
func objdumpStubs(t *testing.T, objdump, path string) map[uint64]string {
	t.Helper()
	stubs := make(map[uint64]string)
	for line := range bytes.Lines(run(t, "binutils", objdump, "-d", "--no-show-raw-insn", path)) {
		// 0000000000001030 <puts@plt>:
		digits, name, _ := strings.Cut(strings.TrimSpace(string(line)), " <")
		name, ok := strings.CutSuffix(name, "@plt>:")
		if !ok {
			continue
		}
		address, err := strconv.ParseUint(digits, 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		stubs[address] = name
	}
	if len(stubs) < 4 {
		t.Fatalf("%s shows %d stubs of %s", objdump, len(stubs), path)
	}
	return stubs
}

// Stubs have the names that objdump has for them, whoever linked the program,
// and also when it is stripped.
func TestStubs(t *testing.T) {
	amd64 := []string{"gcc", "objdump", "strip"}
	arm64 := []string{"aarch64-linux-gnu-gcc", "aarch64-linux-gnu-objdump", "aarch64-linux-gnu-strip"}
	for _, test := range []struct {
		name  string
		tools []string
		flags []string
	}{
		{"lazy", amd64, []string{"-Wl,-z,lazy"}},
		{"now", amd64, []string{"-Wl,-z,now"}},
		{"fixed address", amd64, []string{"-no-pie"}},
		{"endbr64", amd64, []string{"-fcf-protection=full", "-Wl,-z,ibtplt"}},
		{"gold", amd64, []string{"-fuse-ld=gold"}},
		{"arm64", arm64, nil},
		{"arm64, bti", arm64, []string{"-mbranch-protection=standard", "-Wl,-z,force-bti"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "program")
			run(t, test.tools[0], test.tools[0], slices.Concat([]string{"-O1", "-o", path, "testdata/imports.c"}, test.flags)...)
			stubs := objdumpStubs(t, test.tools[1], path)
			stripped := path + ".stripped"
			run(t, "binutils", test.tools[2], "--strip-all", "-o", stripped, path)
			for _, path := range []string{path, stripped} {
				checkStubs(t, path, maps.Clone(stubs))
			}
		})
	}
}

func checkStubs(t *testing.T, path string, stubs map[uint64]string) {
	t.Helper()
	table, err := read(t, path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	table.Each(func(start, limit uint64, text []byte) {
		got, ok := strings.CutSuffix(string(text), "@plt")
		if !ok {
			return
		}
		if want := stubs[start]; got != want || limit-start < 8 || limit-start > 24 {
			t.Errorf("%s: %#x to %#x is a stub of %s, objdump says %q", path, start, limit, got, want)
		}
		delete(stubs, start)
	})
	for address, want := range stubs {
		t.Errorf("%s: %#x has no name, objdump says %s", path, address, want)
	}
}

// In programs without imports, stubs lead to functions that are chosen when the
// program starts.
func TestChosenStubs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "program")
	run(t, "gcc", "gcc", "-static", "-o", path, "testdata/imports.c")
	var resolvers []string // of IRELATIVE relocations
	for line := range bytes.Lines(run(t, "binutils", "readelf", "-rW", path)) {
		if f := strings.Fields(string(line)); len(f) == 4 && f[2] == "R_X86_64_IRELATIVE" {
			resolvers = append(resolvers, f[3])
		}
	}
	table, err := read(t, path, Config{})
	if err != nil {
		t.Fatal(err)
	}
	var named []string
	symbols := readelf(t, path)
	table.Each(func(start, _ uint64, text []byte) {
		name, ok := strings.CutSuffix(string(text), "@plt")
		if !ok {
			return
		}
		named = append(named, name)
		i := slices.IndexFunc(symbols, func(w wanted) bool { return w.name == name })
		if i < 0 || !slices.Contains(resolvers, strconv.FormatUint(symbols[i].start, 16)) {
			t.Errorf("%#x is a stub of %s, whose address is in no relocation", start, name)
		}
	})
	if len(named) < 10 || len(named) > len(resolvers) {
		t.Errorf("%d stubs and %d relocations: %q", len(named), len(resolvers), named)
	}
}

func FuzzStubs(f *testing.F) {
	f.Add([]byte("\xf3\x0f\x1e\xfa\xf2\xff\x25\x01\x00\x00\x00\x0f\x1f\x44\x00\x00\xff\x25\x00\x00\x00\x80\x66\x90"), uint64(0x1000))
	f.Add([]byte("\x5f\x24\x03\xd5\xf0\xff\xff\xf0\x11\xfe\x47\xf9\x10\xe2\x3f\x91\x20\x02\x1f\xd6"), uint64(1<<63))
	f.Fuzz(func(t *testing.T, code []byte, address uint64) {
		for _, find := range []func([]stub, []byte, uint64) []stub{appendStubsAMD64, appendStubsARM64} {
			next := uint64(0) // from address on
			for _, s := range find(nil, code, address) {
				if at := s.start - address; at < next || s.size == 0 || at+s.size > uint64(len(code)) {
					t.Fatalf("%d bytes of code have a stub of %d at %d, after one that ends at %d", len(code), s.size, at, next)
				}
				next = s.start - address + s.size
			}
		}
	})
}
