package merge

import (
	"bytes"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
)

// Names that come late replace none or worse ones, also in what was counted.
func TestNameAgain(t *testing.T) {
	known := &staccato.Mapping{Path: "/known", File: bytes.NewReader(nil)}
	never := &staccato.Mapping{Path: "/never", File: bytes.NewReader(nil)}
	names := map[uint64][]string{1: {"bad"}}
	config := Config{Period: 10, Name: func(frames []*staccato.Frame) {
		for _, f := range frames {
			if f.Mapping != known {
				continue
			}
			for _, name := range names[f.Address] {
				f.Lines = append(f.Lines, staccato.Line{Function: &staccato.Function{Name: name, SystemName: name}})
			}
		}
	}}
	m := New(config)
	process := &staccato.Process{PID: 1, Name: "x"}
	frame := func(m *staccato.Mapping, address uint64) *staccato.Frame {
		return &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: address}
	}
	one, two, three := frame(known, 1), frame(known, 2), frame(never, 2)
	anonymous, lost := frame(nil, 5), staccato.Marker(staccato.KindLost, "[lost: table full]")
	frames := []*staccato.Frame{one, two, three, anonymous, lost}
	for i, f := range frames {
		f.Index = int32(i)
	}
	unnamed := func(file *staccato.Mapping) (n uint64) {
		for _, u := range m.Unnamed() {
			if file == nil && u.Path == "" || file != nil && u.Path == file.Path {
				n += u.Samples
			}
		}
		return n
	}
	var samples []staccato.Sample
	for i, stack := range []staccato.Stack{{one}, {one, two}, {two, three}, {anonymous}, {lost}} {
		samples = append(samples, staccato.Sample{Process: process, Stack: stack, Count: int64(i + 1)})
	}
	m.Add(samples, frames)
	if c := m.Counts(); c.Samples != 10 || c.Named != 1 || unnamed(known) != 5 || unnamed(never) != 3 || unnamed(nil) != 4 {
		t.Errorf("before: %+v, unnamed %v", c, m.Unnamed())
	}
	names[1], names[2] = []string{"inlined", "good"}, []string{"good"}
	m.NameAgain()
	if c := m.Counts(); c.Samples != 10 || c.Named != 3 || unnamed(known) != 0 || unnamed(never) != 3 || unnamed(nil) != 4 {
		t.Errorf("after: %+v, unnamed %v", c, m.Unnamed())
	}
	p := m.Finish("", time.Time{}, 0, nil).Profile
	if err := p.CheckValid(); err != nil {
		t.Error(err)
	}
	var got []string
	for _, f := range p.Function {
		got = append(got, f.Name)
	}
	if len(got) != 3 || len(p.Sample[0].Location[0].Line) != 2 || p.Sample[0].Location[0].Line[1].Function != p.Sample[1].Location[1].Line[0].Function {
		t.Errorf("functions %q, lines %v", got, p.Sample[0].Location[0].Line)
	}
}
