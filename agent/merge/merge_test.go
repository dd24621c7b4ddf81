package merge

import (
	"fmt"
	"math/rand/v2"
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
