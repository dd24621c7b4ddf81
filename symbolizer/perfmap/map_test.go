package perfmap

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// list is a file in memory that can be added to.
type list struct{ text []byte }

func (l *list) Size() int64 { return int64(len(l.text)) }

func (l *list) ReadAt(b []byte, offset int64) (int, error) {
	return bytes.NewReader(l.text).ReadAt(b, offset)
}

func (l *list) add(text string) { l.text = append(l.text, text...) }

func update(t testing.TB, m *Map, l *list) {
	t.Helper()
	if err := m.Update(l); err != nil {
		t.Fatal(err)
	}
}

func nameAt(m *Map, address uint64) string {
	lines, ok := m.Resolve(address)
	if !ok {
		return ""
	}
	return lines[0].Function.Name
}

func TestUpdate(t *testing.T) {
	m, l := New(Config{}), &list{}
	for _, step := range []struct {
		what, add string
		want      map[uint64]string
	}{
		{"nothing", "", map[uint64]string{0: "", 0x1000: ""}},
		{"two functions", "1000 10 first one\n1010 20 second\n",
			map[uint64]string{0xfff: "", 0x1000: "first one", 0x100f: "first one", 0x1010: "second", 0x102f: "second", 0x1030: ""}},
		{"half a line", "2000 10 py::f", map[uint64]string{0x2000: ""}},
		{"its rest", "ib:/x.py\n", map[uint64]string{0x2000: "py::fib:/x.py"}},
		{"in place of an end and a beginning", "1008 10 third\n",
			map[uint64]string{0x1007: "first one", 0x1008: "third", 0x1017: "third", 0x1018: "second", 0x102f: "second"}},
		{"within", "1020 1 inner\n", map[uint64]string{0x101f: "second", 0x1020: "inner", 0x1021: "second"}},
		{"over all", "0x800 0x1000 outer\n", map[uint64]string{0x800: "outer", 0x1020: "outer", 0x17ff: "outer", 0x1800: "", 0x2000: "py::fib:/x.py"}},
		{"twice in one read", "3000 10 old\n3000 10 new\n", map[uint64]string{0x3000: "new"}},
		{"no bytes", "3000 0 empty\n", map[uint64]string{0x3000: "new"}},
		{"large numbers", "FFFFFFFFFFFFFFF0 f end\n", map[uint64]string{0xfffffffffffffffe: "end", 0xffffffffffffffff: ""}},
		{"no text", "4000 10 a\xffb\n", map[uint64]string{0x4000: "a?b"}},
	} {
		l.add(step.add)
		update(t, m, l)
		for address, want := range step.want {
			if got := nameAt(m, address); got != want {
				t.Errorf("%s: %#x is %q, want %q", step.what, address, got, want)
			}
		}
	}
	if m.Reason() != "" {
		t.Errorf("reason %q", m.Reason())
	}
}

func TestWrittenAnew(t *testing.T) {
	for name, text := range map[string]string{
		"shorter": "5000 10 x\n",
		"longer":  "5000 10 x\n" + strings.Repeat("6000 10 y\n", 50),
	} {
		m, l := New(Config{}), &list{[]byte("1000 10 a\n2000 10 b\n")}
		update(t, m, l)
		l.text = []byte(text)
		update(t, m, l)
		if got := nameAt(m, 0x1000) + nameAt(m, 0x2000) + nameAt(m, 0x5000); got != "x" {
			t.Errorf("%s: %q, want x", name, got)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, test := range []struct{ text, reason string }{
		{"1000 10 a\n", ""},
		{"hello\n", `a line of the perf map is malformed: "hello"`},
		{"hello\nworld\n", `2 lines of the perf map are malformed, such as "hello"`},
		{"\n", `a line of the perf map is malformed: ""`},
		{"1000 10\n", "malformed"},
		{"1000 10 \n", "malformed"},
		{"1000  10 a\n", "malformed"},
		{" 1000 10 a\n", "malformed"},
		{"10000000000000000 10 a\n", "malformed"},
		{"ffffffffffffffff 2 a\n", "malformed"},
		{"1000 -1 a\n", "malformed"},
		{"1000 10 " + strings.Repeat("x", maxLine) + "\n", "a line of the perf map is malformed"},
		{"1000 10 " + strings.Repeat("x", 5*maxLine) + "\n", "a line of the perf map is malformed"},
		{strings.Repeat("\x00", 3*maxLine), "a line of the perf map is malformed"},
	} {
		m, l := New(Config{}), &list{[]byte(test.text)}
		update(t, m, l)
		if !strings.Contains(m.Reason(), test.reason) || test.reason == "" && m.Reason() != "" || len(m.Reason()) > 300 {
			t.Errorf("%.20q: reason %q, want %q", test.text, m.Reason(), test.reason)
		}
		l.add("\n2000 10 good\n")
		update(t, m, l)
		if got := nameAt(m, 0x2000); got != "good" {
			t.Errorf("%.20q: the line after it has the name %q", test.text, got)
		}
	}
}

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		config Config
		line   func(int) string
	}{
		"memory": {Config{Limit: 4 << 20}, func(i int) string { return fmt.Sprintf("%x 10 function %d\n", 0x10*(i+1), i) }},
		"bytes":  {Config{MaxRead: 1 << 20}, func(i int) string { return fmt.Sprintf("1000 10 function %d\n", i) }},
	} {
		m, l := New(test.config), &list{}
		var err error
		n := 0
		for ; err == nil && n < 1_000_000; n += 5000 {
			for i := range 5000 {
				l.add(test.line(n + i))
			}
			err = m.Update(l)
		}
		if !errors.Is(err, ErrTooLarge) || m.Size() > 4<<20 || nameAt(m, 0x1000) != "" {
			t.Errorf("%s: %d bytes after %d lines, %v", name, m.Size(), n, err)
		}
		if err := m.Update(l); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: then %v", name, err)
		}
		l.text = []byte("1000 10 a\n")
		if err := m.Update(l); err != nil || nameAt(m, 0x1000) != "a" {
			t.Errorf("%s: after it was written anew, %v", name, err)
		}
	}
}

// Lists grow for as long as programs run: what was read is not read again.
func TestUpdateReadsWhatIsNew(t *testing.T) {
	m, l := New(Config{}), &counting{}
	for range 10_000 {
		l.add("1000 10 something\n")
	}
	update(t, m, &l.list)
	for range 100 {
		l.add("1000 10 more\n")
		if err := m.Update(l); err != nil {
			t.Fatal(err)
		}
	}
	if l.read > 100*(memory+20) {
		t.Errorf("%d bytes read for 100 new lines", l.read)
	}
}

type counting struct {
	list
	read int
}

func (c *counting) ReadAt(b []byte, offset int64) (int, error) {
	n, err := c.list.ReadAt(b, offset)
	c.read += n
	return n, err
}

// TestAgainstBytes compares with a table that has a name for each byte.
func TestAgainstBytes(t *testing.T) {
	const space = 300
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		var want [space + 1]string
		m, l := New(Config{}), &list{}
		for range 1 + r.IntN(8) {
			for range r.IntN(30) {
				start, size := r.IntN(space), r.IntN(1+r.IntN(60))
				name := fmt.Sprint("f", r.IntN(100))
				l.add(fmt.Sprintf("%x %x %s\n", start, size, name))
				for i := start; i < min(start+size, space); i++ {
					want[i] = name
				}
			}
			update(t, m, l)
			check(t, m)
			for i := range want[:space] {
				if got := nameAt(m, uint64(i)); got != want[i] {
					t.Fatalf("seed %d: byte %#x is %q, want %q, of\n%s", seed, i, got, want[i], l.text)
				}
			}
		}
	}
}

func check(t *testing.T, m *Map) {
	t.Helper()
	for i, e := range m.entries {
		if e.start >= e.end || i > 0 && e.start < m.entries[i-1].end {
			t.Fatalf("entry %d of %+v", i, m.entries)
		}
	}
}

func FuzzUpdate(f *testing.F) {
	f.Add([]byte("1000 10 a\n1008 10 b\n"), []byte("100c 4 c\n"), uint64(0x1008))
	f.Add([]byte("1000 10 a\nhalf"), []byte(" a line\n"), uint64(0))
	f.Add([]byte(strings.Repeat("x", 2*maxLine)), []byte("\n1 1 a"), uint64(1))
	f.Fuzz(func(t *testing.T, first, second []byte, address uint64) {
		const limit = 1 << 20
		both := slices.Concat(first, second)
		step, whole := New(Config{Limit: limit}), New(Config{Limit: limit})
		l := &list{first}
		stepErr := step.Update(l)
		l.text = both
		if stepErr == nil {
			stepErr = step.Update(l)
		}
		wholeErr := whole.Update(&list{both})
		for _, err := range []error{stepErr, wholeErr} {
			if err != nil && !errors.Is(err, ErrTooLarge) {
				t.Fatal(err)
			}
		}
		check(t, step)
		if stepErr == nil && wholeErr == nil && (nameAt(step, address) != nameAt(whole, address) || step.Reason() != whole.Reason()) {
			t.Fatalf("%#x is %q in two reads, %q in one; %q, %q", address, nameAt(step, address), nameAt(whole, address), step.Reason(), whole.Reason())
		}
		if step.Size() > limit {
			t.Fatalf("%d bytes", step.Size())
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	l := &list{}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		l.add(fmt.Sprintf("%x %x LazyCompile:*function%d /srv/app/lib/file.js:%d\n", 0x7f0000000000+r.Uint64N(1<<26)&^63, 64+r.IntN(2000)&^63, i, i))
	}
	b.SetBytes(int64(len(l.text)))
	b.ReportAllocs()
	for b.Loop() {
		m := New(Config{})
		if err := m.Update(l); err != nil {
			b.Fatal(err)
		}
	}
}
