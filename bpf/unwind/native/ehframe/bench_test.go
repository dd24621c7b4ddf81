package ehframe

import (
	"errors"
	"io"
	"testing"
)

// BenchmarkReader executes all instructions of a large library.
func BenchmarkReader(b *testing.B) {
	s := open(b, library(b, "gcc", "libLLVM-19.so"), ".eh_frame")
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		r, err := NewReader(s)
		if err != nil {
			b.Fatal(err)
		}
		for {
			f, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			if err := r.Rows(f, func(Row) { rows++ }); err != nil {
				b.Fatal(err)
			}
		}
	}
	perRow(b, rows)
}

// BenchmarkNewTable finds and sorts the FDEs of a large library.
func BenchmarkNewTable(b *testing.B) {
	s := open(b, library(b, "gcc", "libLLVM-19.so"), ".eh_frame")
	b.ReportAllocs()
	fdes := 0
	for b.Loop() {
		t, err := NewTable(s)
		if err != nil {
			b.Fatal(err)
		}
		fdes += t.Len()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(fdes), "ns/FDE")
}

// BenchmarkTable makes the rows of a large library, merged.
func BenchmarkTable(b *testing.B) {
	t, err := NewTable(open(b, library(b, "gcc", "libLLVM-19.so"), ".eh_frame"))
	if err != nil {
		b.Fatal(err)
	}
	start, limit := t.Range()
	b.ReportAllocs()
	rows := 0
	for b.Loop() {
		t.Rows(start, limit, func(Row) { rows++ })
	}
	perRow(b, rows)
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
	b.ReportMetric(float64(rows)/float64(b.N), "rows/op")
}
