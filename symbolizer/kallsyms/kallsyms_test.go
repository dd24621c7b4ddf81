package kallsyms

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// loadKernel reads the running kernel's symbols.
func loadKernel(t testing.TB) *Table {
	t.Helper()
	table, err := Load(Path)
	if err != nil {
		t.Fatalf("this test needs a kernel that shows its addresses: %v", err)
	}
	return table
}

// line is a symbol as a plain reader of the list sees it.
type line struct {
	start        uint64
	kind         string
	name, module string
}

func plain(t *testing.T) []line {
	t.Helper()
	f, err := os.Open(Path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []line
	for in := bufio.NewScanner(f); in.Scan(); {
		fields := strings.Fields(in.Text())
		start, err := strconv.ParseUint(fields[0], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		l := line{start: start, kind: fields[1], name: fields[2]}
		if len(fields) > 3 {
			l.module = strings.Trim(fields[3], "[]")
		}
		all = append(all, l)
	}
	slices.SortStableFunc(all, func(a, b line) int {
		if a.start < b.start {
			return -1
		} else if a.start > b.start {
			return 1
		}
		return 0
	})
	return all
}

// TestAgainstList compares answers with a plain search of the list: the last
// symbols at or before an address.
func TestAgainstList(t *testing.T) {
	table, list := loadKernel(t), plain(t)
	r := rand.New(rand.NewPCG(5, 6))
	named := 0
	for range 20_000 {
		i := r.IntN(len(list) - 1)
		if list[i].start == 0 {
			continue
		}
		address := list[i].start + r.Uint64N(min(list[i+1].start-list[i].start, 1<<20)+1)
		last, _ := slices.BinarySearchFunc(list, address+1, func(l line, a uint64) int {
			if l.start < a {
				return -1
			}
			return 1
		})
		last--
		start := list[last].start
		var names []string
		for j := last; j >= 0 && list[j].start == start; j-- {
			if strings.Contains("tTwW", list[j].kind) {
				names = append(names, list[j].name+" "+list[j].module)
			}
		}
		got, ok := table.Lookup(address)
		switch {
		case !ok && len(names) > 0 && address-start < maxReach:
			t.Fatalf("%#x has no name, want one of %q", address, names)
		case ok && (got.Start != start || !slices.Contains(names, got.Name+" "+got.Module)):
			t.Fatalf("%#x is %+v, want one of %q", address, got, names)
		case ok:
			named++
		}
	}
	if named < 10_000 {
		t.Errorf("%d of 20,000 addresses have a name", named)
	}
	t.Logf("%d functions in %d bytes", table.Len(), table.Size())
}

// TestPack looks every function up, at its first and its last byte and behind it, in
// a list that is like a kernel's but for gaps, sizes, modules and names at random.
func TestPack(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var want []Symbol
	var sizes []uint64
	table := &Table{modules: []string{"", "a", "b"}}
	p := packer{table: table}
	start, name := uint64(1)<<40, ""
	for range 10_000 {
		size := 1 + r.Uint64N(1<<r.IntN(33))
		switch r.IntN(3) {
		case 0:
			name = strconv.Itoa(r.IntN(1000)) + name[:min(len(name), r.IntN(300))]
		case 1:
			name = strings.TrimLeft(name, "1234") + "x"
		}
		module := r.IntN(3)
		want, sizes = append(want, Symbol{name, table.modules[module], start}), append(sizes, size)
		p.add(start, size, []byte(name), uint16(module))
		if start += size; r.IntN(2) == 0 {
			start += r.Uint64N(1 << r.IntN(40))
		}
	}
	p.finish()
	for i, s := range want {
		for _, address := range []uint64{s.Start, s.Start + sizes[i] - 1} {
			if got, ok := table.Lookup(address); !ok || got != s {
				t.Fatalf("function %d at %#x is %+v, want %+v", i, address, got, s)
			}
		}
		if behind := s.Start + sizes[i]; i+1 < len(want) && behind < want[i+1].Start {
			if got, ok := table.Lookup(behind); ok {
				t.Fatalf("%#x, behind function %d, is %+v", behind, i, got)
			}
		}
	}
}

const small = `ffffffff81000000 T _stext
ffffffff81000000 T real_name
ffffffff81000000 t local_name
ffffffff81000100 t second
ffffffff81000180 D some_data
ffffffff81000200 W weak_function
ffffffffc0000000 t last_of_kernel_side	[ext4]
ffffffffc0010000 t bpf_prog_0123456789abcdef_sample	[bpf]
0000000000000000 A fixed_percpu_data
`

func TestLookup(t *testing.T) {
	table, err := Read(strings.NewReader(small))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		address uint64
		want    Symbol
	}{
		{0xffffffff80ffffff, Symbol{}},
		{0xffffffff81000000, Symbol{"real_name", "", 0xffffffff81000000}},
		{0xffffffff810000ff, Symbol{"real_name", "", 0xffffffff81000000}},
		{0xffffffff8100017f, Symbol{"second", "", 0xffffffff81000100}},
		{0xffffffff81000180, Symbol{}},                                        // data
		{0xffffffff810002ff, Symbol{"weak_function", "", 0xffffffff81000200}}, // in reach
		{0xffffffffbfffffff, Symbol{}},                                        // 1 GiB after the last function
		{0xffffffffc000ffff, Symbol{"last_of_kernel_side", "ext4", 0xffffffffc0000000}},
		{0xffffffffc0010010, Symbol{"bpf_prog_0123456789abcdef_sample", "bpf", 0xffffffffc0010000}},
		{0xffffffffffffffff, Symbol{}},
		{0, Symbol{}},
	} {
		got, ok := table.Lookup(test.address)
		if got != test.want || ok != (test.want != Symbol{}) {
			t.Errorf("%#x is %+v, want %+v", test.address, got, test.want)
		}
	}
}

func TestBadInput(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"0000000000000000 T a\n0000000000000000 t b\n", "kernel.kptr_restrict"},
		{"", "no symbols"},
		{"ffffffff81000000 D only_data\n", "no symbols"},
		{"hello\n", "not a kernel symbol"},
		{"ffffffff81000000T x\n", "not a kernel symbol"},
		{"fffffffff81000000 T x\n", "not a kernel symbol"},
		{"1 T \x00", "not a kernel symbol"},
		{"ffffffff81000000 T " + strings.Repeat("x", maxLine), "line of more than"},
	} {
		if _, err := Read(strings.NewReader(test.in)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.40q: error is %v, want %q", test.in, err, test.want)
		}
	}
	hidden := filepath.Join(t.TempDir(), "kallsyms")
	if err := os.WriteFile(hidden, []byte("0000000000000000 T a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(hidden); !errors.Is(err, ErrHidden) {
		t.Errorf("error is %v, want ErrHidden", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(small, uint64(0xffffffff81000001))
	f.Add("1 T a\n2 t b\t[m]\n", uint64(1))
	f.Add("8 T 0\nfffffffffff00000 t 0", uint64(0xffffffffffffffff))
	f.Fuzz(func(t *testing.T, in string, address uint64) {
		table, err := Read(strings.NewReader(in))
		if err != nil {
			return
		}
		starts := startsOf(table)
		if !slices.IsSorted(starts) || len(starts) != table.Len() {
			t.Fatal("functions are not in order")
		}
		for _, start := range starts {
			if s, ok := table.Lookup(start); !ok || s.Start != start || s.Name == "" {
				t.Fatalf("%#x is %+v", start, s)
			}
		}
		table.Lookup(address)
	})
}

// startsOf returns where functions begin.
func startsOf(t *Table) (starts []uint64) {
	for i := range t.blocks {
		for u := t.unpack(i); u.more(); {
			u.next()
			starts = append(starts, u.start)
		}
	}
	return starts
}

func BenchmarkResolve(b *testing.B) {
	table := loadKernel(b)
	starts := startsOf(table)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Resolve(starts[i*7919%len(starts)])
	}
}

func BenchmarkRead(b *testing.B) {
	var list strings.Builder
	for i := range 122_000 {
		fmt.Fprintf(&list, "%016x t some_function_of_the_kernel_%d\n", uint64(0xffffffff81000000)+uint64(i)*256, i)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(strings.NewReader(list.String())); err != nil {
			b.Fatal(err)
		}
	}
}
