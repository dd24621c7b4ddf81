package merge

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
)

// window makes what one read of the kernel's tables gives: 4,000 stacks of 26
// frames in 50 processes, of 6,000 distinct frames that are named already.
// Processes and mappings are the same from read to read, frames are not.
func window(processes []staccato.Process, mapping *staccato.Mapping) ([]staccato.Sample, []*staccato.Frame) {
	random := rand.New(rand.NewPCG(1, 2))
	frames := make([]*staccato.Frame, 6000)
	for i := range frames {
		f := &staccato.Function{Name: fmt.Sprintf("namespace::function%d(int)", i/4), SystemName: fmt.Sprintf("_ZN9namespace8function%dEi", i/4)}
		frames[i] = &staccato.Frame{Index: int32(i), Kind: staccato.KindNative, Mapping: mapping, Address: uint64(i) << 4, Return: true, Lines: []staccato.Line{{Function: f}}}
	}
	samples := make([]staccato.Sample, 4000)
	for i := range samples {
		stack := make(staccato.Stack, 26)
		for j := range stack {
			stack[j] = frames[random.IntN(len(frames))]
		}
		samples[i] = staccato.Sample{
			Process: &processes[i%len(processes)], Thread: staccato.Thread{TID: 1 + i%100, Name: "worker"}, Stack: stack, Count: 1 + random.Int64N(5),
		}
	}
	return samples, frames
}

// BenchmarkAdd makes a profile of two reads with the same stacks: in the first
// everything is new, in the second nothing.
func BenchmarkAdd(b *testing.B) {
	processes := make([]staccato.Process, 50)
	for i := range processes {
		processes[i] = staccato.Process{PID: i + 1, Name: "work"}
	}
	mapping := &staccato.Mapping{Path: "/usr/bin/worker"}
	first, firstFrames := window(processes, mapping)
	again, againFrames := window(processes, mapping)

	b.ReportAllocs()
	for b.Loop() {
		m := New(Config{Period: 1_001_001})
		m.Add(first, firstFrames)
		m.Add(again, againFrames)
		if p := m.Finish("", time.Time{}, 0, nil).Profile; len(p.Sample) != len(first) {
			b.Fatalf("%d samples of %d stacks", len(p.Sample), len(first))
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*(len(first)+len(again))), "ns/stack")
}

// list is a perf map that nobody reads.
type list struct{ staccato.GrowingFile }

// Generated code: an address may have a name and later another, and means
// something in its process only.
func TestGeneratedCode(t *testing.T) {
	first, second := &staccato.Process{PID: 1}, &staccato.Process{PID: 2}
	firstCode := &staccato.Mapping{Path: "/tmp/perf-1.map", Generated: list{}}
	secondCode := &staccato.Mapping{Path: "/tmp/perf-2.map", Generated: list{}}
	m := New(Config{Period: 1})
	for _, s := range []struct {
		process *staccato.Process
		mapping *staccato.Mapping
		name    string
	}{{first, firstCode, "a"}, {first, firstCode, "b"}, {first, firstCode, "a"}, {second, secondCode, "a"}, {first, firstCode, ""}} {
		f := &staccato.Frame{Kind: staccato.KindNative, Mapping: s.mapping, Address: 0x1000}
		if s.name != "" {
			f.Lines = []staccato.Line{{Function: &staccato.Function{Name: s.name, SystemName: s.name}}}
		}
		frames := []*staccato.Frame{f}
		m.Add([]staccato.Sample{{Process: s.process, Stack: frames, Count: 1}}, frames)
	}
	got := map[string]int64{}
	for _, s := range m.Finish("", time.Time{}, 0, nil).Profile.Sample {
		l := s.Location[0]
		name := l.Mapping.File + " "
		if len(l.Line) > 0 {
			name += l.Line[0].Function.Name
		}
		got[name] += s.Value[0]
	}
	want := map[string]int64{"/tmp/perf-1.map a": 2, "/tmp/perf-1.map b": 1, "/tmp/perf-2.map a": 1, "/tmp/perf-1.map ": 1}
	if !maps.Equal(got, want) {
		t.Errorf("samples %v, want %v", got, want)
	}
}

// A sample counts once for each place where it has frames without names;
// generated code is one place for all processes of a program.
func TestUnnamed(t *testing.T) {
	m := New(Config{Period: 1, Reason: func(m *staccato.Mapping) string { return "reason of " + m.Path }})
	library := &staccato.Mapping{Path: "/lib/a.so", BuildID: "ab"}
	refused := &staccato.Mapping{Path: "/lib/b.so", Reason: "no permission"}
	for pid, program := range []string{"/usr/bin/node", "/usr/bin/node", ""} {
		process := &staccato.Process{PID: pid + 1, Executable: program, Name: "MainThread"}
		code := &staccato.Mapping{Path: "/tmp/perf.map", Generated: list{}}
		var stack staccato.Stack
		for i, in := range []*staccato.Mapping{library, library, code, code, refused, nil} {
			stack = append(stack, &staccato.Frame{Index: int32(i), Mapping: in, Address: uint64(i)})
		}
		m.Add([]staccato.Sample{{Process: process, Stack: stack, Count: 2}, {Process: process, Stack: stack[:2], Count: 1}}, stack)
	}
	got := m.Unnamed()
	want := []Unnamed{
		{Path: "/lib/a.so", BuildID: "ab", Samples: 9, Reason: "reason of /lib/a.so"},
		{Samples: 6, Reason: "not in an executable file"},
		{Path: "/lib/b.so", Samples: 6, Reason: "no permission"},
		{Program: "/usr/bin/node", Samples: 4, Reason: "reason of /tmp/perf.map"},
		{Program: "MainThread", Samples: 2, Reason: "reason of /tmp/perf.map"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("unnamed %+v, want %+v", got, want)
	}
}
