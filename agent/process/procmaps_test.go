package process

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
)

func never() bool { return false }

func TestParseMaps(t *testing.T) {
	for _, test := range []struct {
		name, text string
		want       []mapsLine
		malformed  int
	}{
		{"empty", "", nil, 0},
		{"data only", "7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n", nil, 0},
		{
			"program", "55d0c0a00000-55d0c0a01000 r-xp 00001000 fe:0a 325835                     /usr/bin/a\n",
			[]mapsLine{{0x55d0c0a00000, 0x55d0c0a01000, 0x1000, 0xfe, 0xa, 325835, "/usr/bin/a"}}, 0,
		},
		{
			"spaces, newline and deleted", "1000-2000 r-xp 00000000 00:1f 9   /a  b\\012c (deleted)\n",
			[]mapsLine{{0x1000, 0x2000, 0, 0, 0x1f, 9, "/a  b\nc (deleted)"}}, 0,
		},
		{
			"no name, and no newline at the end", "1000-2000 rwxp 00000000 00:00 0",
			[]mapsLine{{start: 0x1000, end: 0x2000}}, 0,
		},
		{
			"vsyscall", "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n",
			[]mapsLine{{start: 0xffffffffff600000, end: 0xffffffffff601000, path: "[vsyscall]"}}, 0,
		},
		{
			"shared library names itself like columns", "1000-2000 r-xs 00000000 00:00 7 /3000-4000 r-xp 0 0:0 1\n",
			[]mapsLine{{start: 0x1000, end: 0x2000, inode: 7, path: "/3000-4000 r-xp 0 0:0 1"}}, 0,
		},
		{"no range", "1000 r-xp 0 00:00 0\n", nil, 1},
		{"empty range", "2000-2000 r-xp 0 00:00 0\n", nil, 1},
		{"no device", "1000-2000 r-xp 0 0 0\n", nil, 1},
		{"number too large", "1000-20000000000000000 r-xp 0 00:00 0\n", nil, 1},
		{"negative", "1000-2000 r-xp -1 00:00 0\n", nil, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parseMaps(strings.NewReader(test.text), 100, never)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got.lines, test.want) || got.malformed != test.malformed {
				t.Errorf("got %+v, want %+v and %d malformed", got, test.want, test.malformed)
			}
		})
	}
}

// millionsOfMappings makes text as it is read.
type millionsOfMappings struct {
	left int
	rest []byte
}

func (m *millionsOfMappings) Read(b []byte) (int, error) {
	if len(m.rest) == 0 {
		if m.left == 0 {
			return 0, io.EOF
		}
		m.left--
		m.rest = fmt.Appendf(m.rest[:0], "%x-%x r-xp 00000000 00:00 0\n", m.left*4096, (m.left+1)*4096)
	}
	n := copy(b, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func TestParseMapsBounds(t *testing.T) {
	got, err := parseMaps(&millionsOfMappings{left: 200_000}, 16_384, never)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.lines) != 16_384 || got.beyond != 200_000-16_384 || got.cut {
		t.Errorf("kept %d, %d beyond, cut %v", len(got.lines), got.beyond, got.cut)
	}
	looks := 0
	got, err = parseMaps(&millionsOfMappings{left: 2_000_000}, 16_384, func() bool { looks++; return looks == 3 })
	if err != nil {
		t.Fatal(err)
	}
	if !got.cut || len(got.lines)+got.beyond != 3*checkEvery {
		t.Errorf("read %d mappings before it was told to stop", len(got.lines)+got.beyond)
	}
	long := "1000-2000 r-xp 0 00:00 0 /" + strings.Repeat("x", 100_000) + "\n3000-4000 r-xp 0 00:00 0 /b\n"
	got, err = parseMaps(strings.NewReader(long), 10, never)
	if err != nil {
		t.Fatal(err)
	}
	if got.malformed != 1 || len(got.lines) != 1 || got.lines[0].path != "/b" {
		t.Errorf("after a line of 100,000 bytes: %d malformed, %d kept", got.malformed, len(got.lines))
	}
}

func TestParseMapsStartTime(t *testing.T) {
	stat := "42 (a) b) c) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 4096 10"
	if ticks, err := parseStartTime([]byte(stat)); err != nil || ticks != 987654 {
		t.Errorf("%d, %v", ticks, err)
	}
	for _, bad := range []string{"", "42 (a", "42 (a) S 1 2 3", "42 (a) S 1 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 x 4096 10"} {
		if _, err := parseStartTime([]byte(bad)); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}

func FuzzParseMaps(f *testing.F) {
	if own, err := os.ReadFile("/proc/self/maps"); err == nil {
		f.Add(own)
	}
	f.Add([]byte("1000-2000 r-xp 00000000 00:1f 9   /a  b\\012c (deleted)\n"))
	f.Add([]byte("ffffffffffffffff-0 r-xp ffffffffffffffff ffffffff:ffffffff 18446744073709551615"))
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseMaps(bytes.NewReader(text), 8, never)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.lines) > 8 {
			t.Fatalf("kept %d mappings", len(got.lines))
		}
		if n := bytes.Count(text, []byte("\n")) + 1; len(got.lines)+got.beyond+got.malformed > n {
			t.Fatalf("%+v from %d lines", got, n)
		}
		for _, line := range got.lines {
			if line.start >= line.end {
				t.Fatalf("%+v", line)
			}
		}
	})
}
