package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/dwarf"
)

// small makes an index file of a function with a call inlined into it.
func small(t testing.TB, key string) []byte {
	t.Helper()
	b := &builder{
		functions: []dwarf.Function{{Name: "outer", File: "/src/a.c", Line: 5}, {Name: "inner", File: "/src/a.h", Line: 1}},
		nodes:     []node{{function: 0, parent: -1}, {function: 1, parent: 0, callFile: 1, callLine: 7, callColumn: 3}},
		rows:      []row{{0x1000, 1, 6, 0}, {0x1010, 2, 2, 9}, {0x1020, 1, 8, 0}, {0x1030, 0, 0, 0}},
		sequences: []sequence{{0x1000, 0x1030, 0, 3}},
		files:     []string{"", "/src/a.c", "/src/a.h"},
		fileIDs:   map[string]uint32{"": 0, "/src/a.c": 1, "/src/a.h": 2},
	}
	data, err := b.pack([]nodeRange{{0x1000, 0x1010, 0}, {0x1010, 0x1018, 1}, {0x1018, 0x1030, 0}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestResolve(t *testing.T) {
	x, err := Parse(small(t, "key"), "key")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		address uint64
		want    string
	}{
		{0xfff, "[]"},
		{0x1000, "[{outer /src/a.c 6 0}]"},
		{0x100f, "[{outer /src/a.c 6 0}]"},
		{0x1010, "[{inner /src/a.h 2 9} {outer /src/a.c 7 3}]"},
		{0x1018, "[{outer /src/a.h 2 9}]"},
		{0x1020, "[{outer /src/a.c 8 0}]"},
		{0x102f, "[{outer /src/a.c 8 0}]"},
		{0x1030, "[]"},
		{0, "[]"},
		{^uint64(0), "[]"},
	} {
		lines, ok := x.Resolve(test.address)
		got := "[]"
		if ok {
			got = fmt.Sprint(frames(lines))
		}
		if got != test.want {
			t.Errorf("%#x is %s, want %s", test.address, got, test.want)
		}
	}
	// A start line is one of the same file.
	lines, _ := x.Resolve(0x1018)
	if f := lines[0].Function; f.StartLine != 0 {
		t.Errorf("code from a.h begins in line %d", f.StartLine)
	}
	if lines, _ = x.Resolve(0x1000); lines[0].Function.StartLine != 5 {
		t.Errorf("outer begins in line %d, want 5", lines[0].Function.StartLine)
	}
}

// TestLookup looks up more addresses than are looked up together, in no order.
func TestLookup(t *testing.T) {
	x, err := Parse(small(t, "key"), "key")
	if err != nil {
		t.Fatal(err)
	}
	addresses := make([]uint64, 2*lookupAtOnce+1)
	for i := range addresses {
		addresses[i] = 0xff0 + uint64(i)*31%0x50
	}
	addresses[7], addresses[lookupAtOnce] = 0, ^uint64(0)
	sameAsResolve(t, x, addresses)
}

func sameAsResolve(t *testing.T, x *Index, addresses []uint64) {
	t.Helper()
	next := 0
	x.Lookup(addresses, func(i int, lines []staccato.Line) {
		if want, _ := x.Resolve(addresses[i]); i != next || !slices.Equal(lines, want) {
			t.Fatalf("call %d for %d: %#x is %v, want %v", next, i, addresses[i], lines, want)
		}
		next++
	})
	if next != len(addresses) {
		t.Errorf("%d calls, want %d", next, len(addresses))
	}
}

func store(t testing.TB, config Config) (*Store, string) {
	t.Helper()
	if config.Directory == "" {
		config.Directory = filepath.Join(t.TempDir(), "cache", "index")
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, config.Directory
}

func TestStore(t *testing.T) {
	s, dir := store(t, Config{})
	if _, err := s.Open("abc-file"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v, want that there is none", err)
	}
	if err := s.Write("abc-file", small(t, "abc-file")); err != nil {
		t.Fatal(err)
	}
	x, err := s.Open("abc-file")
	if err != nil {
		t.Fatal(err)
	}
	// What is open outlives its file.
	if err := os.Remove(filepath.Join(dir, "abc-file.v1")); err != nil {
		t.Fatal(err)
	}
	if lines, ok := x.Resolve(0x1010); !ok || names(lines) != "inner<outer<" {
		t.Errorf("0x1010 is %s", names(lines))
	}
	lines, _ := x.Resolve(0x1010)
	if err := x.Close(); err != nil {
		t.Error(err)
	}
	if names(lines) != "inner<outer<" {
		t.Errorf("after closing, 0x1010 is %s", names(lines))
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 0 {
		t.Errorf("%v, %v are left", entries, err)
	}
	for _, key := range []string{"", "../abc", "a/b", "ABC", strings.Repeat("a", 300)} {
		if err := s.Write(key, nil); err == nil {
			t.Errorf("key %q is fine", key)
		}
	}
}

// TestDamaged opens files that are not what they should be.
func TestDamaged(t *testing.T) {
	s, dir := store(t, Config{})
	good := small(t, "key")
	resealed := func(change func([]byte)) []byte {
		b := append([]byte(nil), good...)
		change(b)
		binary.LittleEndian.PutUint32(b[atChecksum:], crc32.Checksum(b[atSize:], castagnoli))
		return b
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)-1] ^= 1
	for name, data := range map[string][]byte{
		"empty":         nil,
		"torn":          good[:len(good)-1],
		"half a header": good[:100],
		"longer":        append(append([]byte(nil), good...), 0),
		"another bit":   flipped,
		"not an index":  []byte(strings.Repeat("x", 1000)),
		"version":       resealed(func(b []byte) { b[atVersion]++ }),
		"size":          resealed(func(b []byte) { b[atSize]++ }),
		"parts":         resealed(func(b []byte) { b[atParts]++ }),
		"another key":   small(t, "other"),
	} {
		if err := os.WriteFile(filepath.Join(dir, "key.v1"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if x, err := s.Open("key"); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: index %v, error %v", name, x, err)
		}
		if err := s.Write("key", good); err != nil {
			t.Fatal(err)
		}
		x, err := s.Open("key")
		if err != nil {
			t.Fatalf("%s: made again: %v", name, err)
		}
		x.Close()
	}
}

// TestLimit removes those that were not used for longest.
func TestStoreLimit(t *testing.T) {
	size := int64(len(small(t, "a")))
	s, dir := store(t, Config{Limit: 3*size + 100})
	old := time.Now().Add(-time.Hour)
	for i, key := range []string{"a", "b", "c"} {
		if err := s.Write(key, small(t, key)); err != nil {
			t.Fatal(err)
		}
		when := old.Add(time.Duration(i) * time.Minute)
		if err := os.Chtimes(filepath.Join(dir, key+suffix), when, when); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(dir, "x"+suffix+temporary+"1-1") // by a process that was killed
	if err := os.WriteFile(left, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(left, old.Add(-time.Hour), old.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	x, err := s.Open("a") // now b is the one
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := s.Write("d", small(t, "d")); err != nil {
		t.Fatal(err)
	}
	var there []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		there = append(there, e.Name())
	}
	if got := strings.Join(there, " "); got != "a.v1 c.v1 d.v1" {
		t.Errorf("%s are there", got)
	}
	if err := s.Write("large", make([]byte, 4*size)); err == nil {
		t.Error("a file over the limit is kept")
	}
}

func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	for _, mode := range []fs.FileMode{0o755, 0o770, 0o701} {
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(Config{Directory: dir}); err == nil || !strings.Contains(err.Error(), "want 0700") {
			t.Errorf("mode %#o: error %v", mode, err)
		}
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Open(Config{Directory: dir})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if os.Geteuid() != 0 {
		return // only root can give files away
	}
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Directory: dir}); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("of another user: error %v", err)
	}
}

// FuzzIndex looks up addresses in files whose header and checksum are right and
// whose content is anything.
func FuzzIndex(f *testing.F) {
	f.Add(small(f, "key"), uint64(0x1010))
	f.Fuzz(func(t *testing.T, data []byte, address uint64) {
		Parse(data, "key")
		if len(data) < headerSize {
			return
		}
		// The sizes as they are, as far as they fit.
		var sizes [parts]int
		left := len(data) - headerSize
		for i := range sizes {
			sizes[i] = min(int(binary.LittleEndian.Uint32(data[atParts+4*i:])), left)
			left -= sizes[i]
		}
		sizes[texts] += left
		data = append([]byte(nil), data...)
		base := binary.LittleEndian.Uint64(data[atBase:])
		seal(data, "key", base, sizes, 0, 0)
		x, err := Parse(data, "key")
		if err != nil {
			t.Fatal(err)
		}
		addresses := []uint64{address, base, base + 1, base + uint64(len(data)), ^uint64(0)}
		sameAsResolve(t, x, addresses)
		for _, a := range addresses {
			lines, ok := x.Resolve(a)
			if ok != (len(lines) > 0) {
				t.Fatalf("%d lines, %v", len(lines), ok)
			}
			for _, l := range lines {
				if l.Function == nil || l.Function.Name == "" {
					t.Fatalf("%#x: line without a function", a)
				}
			}
		}
	})
}
