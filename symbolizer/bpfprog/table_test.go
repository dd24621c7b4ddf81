package bpfprog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// fake is a kernel with these programs, of one function and line each.
type fake struct {
	loaded []uint32
	fail   map[uint32]error
	reads  int
}

func (k *fake) next(id uint32) (uint32, error) {
	for _, each := range k.loaded {
		if each > id {
			return each, nil
		}
	}
	return 0, errNoMore
}

func (k *fake) read(id uint32, _ map[uint32][]byte) ([]*function, error) {
	k.reads++
	if err := k.fail[id]; err != nil {
		return nil, err
	}
	start := uint64(id) << 12
	return []*function{{
		program: id, tags: []string{fmt.Sprintf("%016x", id)}, start: start, end: start + 0x100,
		lines: []line{{start + 4, 10, 1, 0}, {start + 8, 20, 2, 1}, {start + 0x10, 30, 3, 0}}, files: []string{"a.c", "a.h"},
	}}, nil
}

func symbol(id uint32) string { return fmt.Sprintf("bpf_prog_%016x_name", id) }

func TestLine(t *testing.T) {
	k := &fake{loaded: []uint32{1}}
	table := New(Config{})
	table.kernel = k
	if err := table.Refresh(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		symbol  string
		address uint64
		file    string
		line    int64
		start   int64
	}{
		{symbol(1), 0x1003, "", 0, 0}, // before the first line
		{symbol(1), 0x1004, "a.c", 10, 10},
		{symbol(1), 0x1008, "a.h", 20, 0},
		{symbol(1), 0x10ff, "a.c", 30, 10},
		{symbol(1), 0x1100, "", 0, 0},
		{symbol(2), 0x1008, "", 0, 0}, // another program at its place
		{"vfs_read", 0x1008, "", 0, 0},
	} {
		l, ok := table.Line(test.symbol, test.address)
		if ok != (test.line != 0) || ok && (l.Line != test.line || l.Function.File != test.file || l.Function.StartLine != test.start || l.Function.Name != test.symbol) {
			t.Errorf("%s at %#x: %+v, %t", test.symbol, test.address, l, ok)
		}
	}
	a, _ := table.Line(symbol(1), 0x1004)
	b, _ := table.Line(symbol(1), 0x10ff)
	if a.Function != b.Function {
		t.Error("a function is two")
	}
}

func TestRefresh(t *testing.T) {
	broken := errors.New("broken")
	k := &fake{loaded: []uint32{1, 2, 3, 4}, fail: map[uint32]error{2: errGone, 3: broken}}
	table := New(Config{})
	table.kernel = k
	has := func(id uint32) bool {
		_, ok := table.Line(symbol(id), uint64(id)<<12+8)
		return ok
	}
	if err := table.Refresh(); !errors.Is(err, broken) || !has(1) || has(4) {
		t.Errorf("%v; %t, %t", err, has(1), has(4))
	}
	delete(k.fail, 3)
	if err := table.Refresh(); err != nil || !has(1) || has(2) || !has(3) || !has(4) {
		t.Errorf("%v; %t %t %t %t", err, has(1), has(2), has(3), has(4))
	}
	k.loaded, k.reads = []uint32{4, 5, 6}, 0
	if err := table.Refresh(); err != nil || k.reads != 2 || !has(1) || !has(6) {
		t.Errorf("%v; %d reads, %t, %t", err, k.reads, has(1), has(6))
	}
	k.loaded, k.fail[7] = []uint32{7}, errDenied
	for range 2 {
		if err := table.Refresh(); !errors.Is(err, errDenied) {
			t.Errorf("error is %v", err)
		}
	}
	if k.reads != 3 {
		t.Errorf("%d reads, want none after the first that was denied", k.reads)
	}
}

// Programs that are gone make room for others.
func TestLimit(t *testing.T) {
	k := &fake{}
	functions, _ := k.read(1, nil)
	size := functions[0].size()
	table := New(Config{Limit: 10 * size})
	table.kernel = k
	for id := range uint32(1000) {
		k.loaded = []uint32{id + 1}
		if err := table.Refresh(); err != nil {
			t.Fatal(err)
		}
		if _, ok := table.Line(symbol(id+1), uint64(id+1)<<12+8); !ok || table.bytes > 10*size || len(table.byTag) > 10 {
			t.Fatalf("program %d: %t; %d bytes in %d programs", id+1, ok, table.bytes, len(table.byTag))
		}
	}
	k.loaded = nil
	for id := range uint32(20) {
		k.loaded = append(k.loaded, 2000+id)
	}
	if err := table.Refresh(); err != nil || table.beyond != 10 || table.bytes != 10*size {
		t.Errorf("%v; %d programs beyond, %d bytes", err, table.beyond, table.bytes)
	}
}

func TestIsProgram(t *testing.T) {
	for symbol, want := range map[string]bool{
		"bpf_prog_6deef7357e7b4530_sd_fw_egress": true, "bpf_prog_6deef7357e7b4530": true,
		"bpf_prog_6deef7357e7b453_x": false, "bpf_prog_run": false, "bpf_trampoline_6442": false, "": false,
		"bpf_prog_6deef7357e7b45301": false, "bpf_prog_6deef7357e7b4530_a or bpf_prog_7deef7357e7b4530_b": false,
	} {
		if IsProgram(symbol) != want {
			t.Errorf("%q: %t", symbol, !want)
		}
	}
}

// sound are records of two functions with three lines.
func sound() (r records, names []byte) {
	r = records{
		id: 7, starts: []uint64{0x2000, 0x1000}, lengths: []uint32{0x100, 0x80}, tags: make([]byte, 16), size: lineSize,
		places: []uint64{0x2000, 0x2010, 0x1008, 0x3000, 0x1080},
	}
	for i := range r.places {
		for _, word := range []uint32{uint32(i), 1, 0, uint32(i+1)<<10 | 5} {
			r.lines = binary.NativeEndian.AppendUint32(r.lines, word)
		}
	}
	return r, []byte("\x00x.c\x00")
}

func TestFunctions(t *testing.T) {
	r, names := sound()
	list, err := r.functions(names)
	if err != nil || len(list) != 2 || list[0].start != 0x1000 || list[1].end != 0x2100 {
		t.Fatalf("%v, %v", list, err)
	}
	if got := list[0].lines; !slices.Equal(got, []line{{0x1008, 3, 5, 0}}) {
		t.Errorf("lines %v", got)
	}
	if got := list[1].lines; !slices.Equal(got, []line{{0x2000, 1, 5, 0}, {0x2010, 2, 5, 0}}) {
		t.Errorf("lines %v", got)
	}
	for what, change := range map[string]func(*records){
		"lengths": func(r *records) { r.lengths = r.lengths[1:] },
		"tags":    func(r *records) { r.tags = r.tags[1:] },
		"size":    func(r *records) { r.size = 8 },
		"lines":   func(r *records) { r.lines = r.lines[1:] },
		"places":  func(r *records) { r.places = append(r.places, 1) },
	} {
		r, names := sound()
		change(&r)
		if _, err := r.functions(names); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

func FuzzFunctions(f *testing.F) {
	r, names := sound()
	f.Add(uint64(0x1000), uint32(0x80), uint64(0x1008), r.lines, names)
	f.Fuzz(func(t *testing.T, start uint64, length uint32, place uint64, lines, names []byte) {
		r := records{starts: []uint64{start, place}, lengths: []uint32{length, length}, tags: make([]byte, 16), size: lineSize, lines: lines}
		for i := range len(lines) / lineSize {
			r.places = append(r.places, place+uint64(i))
		}
		list, err := r.functions(names)
		if err != nil {
			return
		}
		for _, f := range list {
			for i, l := range f.lines {
				if l.address < f.start || l.address >= f.end || int(l.file) >= len(f.files) || i > 0 && l.address < f.lines[i-1].address {
					t.Fatalf("%+v", f)
				}
			}
		}
	})
}

func TestNames(t *testing.T) {
	btf := make([]byte, 24)
	binary.NativeEndian.PutUint16(btf, 0xeb9f)
	binary.NativeEndian.PutUint32(btf[4:], 24)
	binary.NativeEndian.PutUint32(btf[16:], 4)
	binary.NativeEndian.PutUint32(btf[20:], 5)
	btf = append(btf, "type\x00x.c\x00"...)
	names, err := btfNames(btf)
	if err != nil || text(names, 1) != "x.c" || text(names, 5) != "" || text(names, 1<<31) != "" {
		t.Errorf("%q, %v", names, err)
	}
	for i := range btf {
		cut := btf[:i]
		if _, err := btfNames(cut); err == nil {
			t.Errorf("no error for %d bytes", i)
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add([]byte("\x9f\xeb\x01\x00\x18\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00"), uint32(0))
	f.Fuzz(func(t *testing.T, btf []byte, offset uint32) {
		if names, err := btfNames(btf); err == nil {
			text(names, offset)
		}
	})
}
