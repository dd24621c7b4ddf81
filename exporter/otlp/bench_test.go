package otlp

import (
	"testing"

	"google.golang.org/protobuf/proto"
)

// BenchmarkEncode encodes what an agent has after 5 s: 2,000 stacks of 30
// frames in 20 processes.
func BenchmarkEncode(b *testing.B) {
	in := largeProfile(2000, 30)
	b.ReportAllocs()
	var size int
	for b.Loop() {
		encoded, err := Encode(in, 0)
		if err != nil {
			b.Fatal(err)
		}
		size = 0
		for _, r := range encoded.Requests {
			data, err := proto.Marshal(r)
			if err != nil {
				b.Fatal(err)
			}
			size += len(data)
		}
	}
	b.ReportMetric(float64(size), "bytes")
}
