package symbolizer

import (
	"os"
	"reflect"
	"testing"

	"github.com/staccato-profiler/staccato"
)

// BenchmarkSymbolizeKnown names frames whose addresses were named before.
func BenchmarkSymbolizeKnown(b *testing.B) {
	path := program(b, "-static")
	address := addressOf(b, path, "main")
	m := mapping(b, path)
	s := New(Config{})
	frames := make([]*staccato.Frame, 1000)
	for i := range frames {
		frames[i] = &staccato.Frame{Mapping: m, Address: address + uint64(i%100)}
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, f := range frames {
			f.Lines = nil
		}
		s.Symbolize(frames)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/frame")
}

// BenchmarkSymbolizeNew names 1,000 addresses of an executable that was not seen
// before, this Go program: reading its symbols, and looking each up.
func BenchmarkSymbolizeNew(b *testing.B) {
	path, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	m := mapping(b, path)
	start := uint64(reflect.ValueOf(BenchmarkSymbolizeNew).Pointer()) // as in the file: it is loaded where it was linked
	frames := make([]*staccato.Frame, 1000)
	b.ReportAllocs()
	for b.Loop() {
		for i := range frames {
			frames[i] = &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: start + uint64(i)*64}
		}
		New(Config{}).Symbolize(frames)
		if frames[0].Lines == nil {
			b.Fatalf("%#x has no name", start)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(frames)), "ns/frame")
}
