package pprof_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/pprof"
)

// manyStacks returns a profile like twoStacks' with 2,000 functions, and as
// many stacks of 30 frames in 20 processes.
func manyStacks() *profile.Profile {
	const n, depth = 2000, 30
	p := twoStacks()
	p.Sample, p.Location, p.Function = nil, nil, nil
	for i := range n {
		f := &profile.Function{ID: uint64(i + 1), Name: fmt.Sprintf("namespace::function%d(int, char const*)", i), SystemName: fmt.Sprintf("_ZN9namespace8function%dEiPKc", i)}
		p.Function = append(p.Function, f)
		p.Location = append(p.Location, &profile.Location{ID: f.ID, Mapping: p.Mapping[0], Address: 0x1000 + f.ID, Line: []profile.Line{{Function: f}}})
	}
	for i := range n {
		stack := make([]*profile.Location, depth)
		for k := range stack {
			stack[k] = p.Location[(i+k*k*7)%n]
		}
		p.Sample = append(p.Sample, &profile.Sample{
			Location: stack, Value: []int64{1, 1e7},
			Label:    map[string][]string{staccato.LabelComm: {"work"}, staccato.LabelThreadComm: {fmt.Sprint("worker-", i%4)}},
			NumLabel: map[string][]int64{staccato.LabelPID: {int64(100 + i%20)}},
		})
	}
	return p
}

func BenchmarkWrite(b *testing.B) {
	in := exporter.Input{Profile: manyStacks()}
	b.ReportAllocs()
	for b.Loop() {
		if err := pprof.Write(b.Context(), io.Discard, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteUncompressed(b *testing.B) {
	in := exporter.Input{Profile: manyStacks()}
	b.ReportAllocs()
	for b.Loop() {
		if err := pprof.WriteUncompressed(b.Context(), io.Discard, in); err != nil {
			b.Fatal(err)
		}
	}
}
