package merge

import (
	"maps"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
)

// read gives frames the places that a read gives them.
func read(frames ...*staccato.Frame) []*staccato.Frame {
	for i, f := range frames {
		f.Index = int32(i)
	}
	return frames
}

func frame(m *staccato.Mapping, address uint64, name string) *staccato.Frame {
	f := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: address, Return: true}
	if name != "" {
		f.Lines = []staccato.Line{{Function: &staccato.Function{Name: name, SystemName: name}}}
	}
	return f
}

// Equal stacks of one thread become one sample, in one read and over several;
// those that differ in anything that a profile shows stay apart.
func TestAddMerges(t *testing.T) {
	lib := &staccato.Mapping{Path: "/usr/lib/lib.so"}
	a, b := &staccato.Process{PID: 1, Name: "a"}, &staccato.Process{PID: 2, Name: "b"}
	one, two := staccato.Thread{TID: 1, Name: "one"}, staccato.Thread{TID: 2, Name: "two"}
	m := New(Config{Period: 10})
	for range 2 {
		f := read(frame(lib, 0x10, "f"), frame(lib, 0x20, "g"), frame(nil, 0x10, ""))
		m.Add([]staccato.Sample{
			{Process: a, Thread: one, Stack: staccato.Stack{f[0], f[1]}, Count: 1},
			{Process: a, Thread: one, Stack: staccato.Stack{f[0], f[1]}, Count: 2},
			{Process: a, Thread: one, Stack: staccato.Stack{f[1], f[0]}, Count: 4},
			{Process: a, Thread: two, Stack: staccato.Stack{f[0], f[1]}, Count: 8},
			{Process: b, Thread: one, Stack: staccato.Stack{f[0], f[1]}, Count: 16},
			{Process: a, Thread: one, Stack: staccato.Stack{f[2], f[1]}, Count: 32},
			{Process: a, Thread: one, Stack: staccato.Stack{f[0]}, Count: 64},
			{Process: a, Thread: one, Count: 128},
		}, f)
	}
	p := m.Finish("", time.Time{}, 0, nil).Profile
	if err := p.CheckValid(); err != nil {
		t.Fatal(err)
	}
	got := make(map[int64]int)
	for _, s := range p.Sample {
		got[s.Value[0]]++
		if s.Value[1] != 10*s.Value[0] {
			t.Errorf("%d samples of 10 ns are %d ns", s.Value[0], s.Value[1])
		}
	}
	want := map[int64]int{6: 1, 8: 1, 16: 1, 32: 1, 64: 1, 128: 1, 256: 1}
	if !maps.Equal(got, want) || len(p.Location) != 3 || len(p.Function) != 2 {
		t.Errorf("samples by value %v, want %v; %d locations, %d functions", got, want, len(p.Location), len(p.Function))
	}
}

// The address of a call and a return address are different places, even if the
// same byte is looked up for both.
func TestAddReturnAddress(t *testing.T) {
	lib := &staccato.Mapping{Path: "/usr/lib/lib.so"}
	call, leaf := frame(lib, 0x11, "f"), frame(lib, 0x11, "f")
	leaf.Return = false
	f := read(call, leaf)
	m := New(Config{})
	m.Add([]staccato.Sample{{Process: &staccato.Process{PID: 1}, Stack: staccato.Stack{leaf, call}, Count: 1}}, f)
	s := m.Finish("", time.Time{}, 0, nil).Profile.Sample[0]
	if s.Location[0].Address != 0x11 || s.Location[1].Address != 0x10 {
		t.Errorf("leaf %#x, caller %#x", s.Location[0].Address, s.Location[1].Address)
	}
}

// Samples that are lost have no stack to be whole or named; a stack that is not
// whole counts once for each sample.
func TestAddCounts(t *testing.T) {
	lib := &staccato.Mapping{Path: "/usr/lib/lib.so", Reason: "no symbols"}
	f := read(
		frame(lib, 0x10, "f"), frame(lib, 0x20, ""), frame(nil, 0x30, ""),
		staccato.Marker(staccato.KindLost, "[truncated: too deep]"), staccato.Marker(staccato.KindLost, "[lost: table full]"),
		staccato.Marker(staccato.KindIdle, "[idle]"),
	)
	p := &staccato.Process{PID: 1}
	m := New(Config{Period: 1})
	m.Add([]staccato.Sample{
		{Process: p, Stack: staccato.Stack{f[0]}, Count: 1},
		{Process: p, Stack: staccato.Stack{f[0], f[1]}, Count: 2},
		{Process: p, Stack: staccato.Stack{f[0], f[3]}, Count: 4},
		{Process: p, Stack: staccato.Stack{f[1], f[2], f[3]}, Count: 8},
		{Process: p, Stack: staccato.Stack{f[4]}, Count: 16},
		{Process: p, Stack: staccato.Stack{f[5]}, Count: 32},
	}, f)
	n := m.Counts()
	if n.Samples != 47 || n.Complete != 35 || n.Named != 37 || n.Truncated["too deep"] != 12 || len(n.Truncated) != 1 {
		t.Errorf("%+v", n)
	}
	unnamed := m.Unnamed()
	if len(unnamed) != 2 || unnamed[0] != (Unnamed{Path: lib.Path, Samples: 10, Reason: "no symbols"}) || unnamed[1].Samples != 8 || unnamed[1].Path != "" {
		t.Errorf("unnamed: %+v", unnamed)
	}
	in := m.Finish("", time.Time{}, 0, nil)
	sum := int64(0)
	for _, s := range in.Profile.Sample {
		sum += s.Value[0]
	}
	if sum != 63 {
		t.Errorf("%d samples in the profile, 63 were added", sum)
	}
}

// The main program's mapping comes first; a whole host has a nameless one there.
func TestFinishMain(t *testing.T) {
	a, b := &staccato.Mapping{Path: "/a"}, &staccato.Mapping{Path: "/b"}
	for main, want := range map[string]string{"/b": "/b", "": "", "/a": "/a"} {
		f := read(frame(a, 1, "x"), frame(b, 2, "y"))
		m := New(Config{})
		m.Add([]staccato.Sample{{Process: &staccato.Process{PID: 1}, Stack: staccato.Stack{f[0], f[1]}, Count: 1}}, f)
		p := m.Finish(main, time.Time{}, 0, nil).Profile
		if p.Mapping[0].File != want {
			t.Errorf("main %q: first is %q", main, p.Mapping[0].File)
		}
		if err := p.CheckValid(); err != nil {
			t.Error(err)
		}
	}
}
