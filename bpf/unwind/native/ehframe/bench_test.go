package ehframe

import (
	"bytes"
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

// BenchmarkHostile finds FDEs that each have another CIE than the last, with as
// many instructions as may be: the most time that a byte can cost.
func BenchmarkHostile(b *testing.B) {
	w := builder{Section: Section{Arch: AMD64}}
	var cies []int
	for range 2 * recentCIEs {
		cies = append(cies, w.cie(cieSpec{augmentation: "zR", data: []byte{formatU16},
			initial: bytes.Repeat([]byte{opDefCFASigned, 7, 0}, maxInitial/3-3)}))
	}
	for i := range 1 << 15 {
		w.fde(cies[i%len(cies)], u16(uint16(2*i)), u16(1), []byte{0})
	}
	b.SetBytes(int64(len(w.Data)))
	for b.Loop() {
		if t, err := NewTable(w.Section); err != nil || t.Len() != 1<<15 {
			b.Fatal(err)
		}
	}
}

func perRow(b *testing.B, rows int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(rows), "ns/row")
	b.ReportMetric(float64(rows)/float64(b.N), "rows/op")
}
