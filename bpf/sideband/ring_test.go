package sideband

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

const testPage = 4096

// writer plays the kernel's part.
type writer struct{ *ring }

func newTestRing() writer { return writer{newRing(make([]byte, 2*testPage), testPage)} }

// write reports false when the record does not fit.
func (w writer) write(record []byte) bool {
	head, size := w.page.Data_head, uint64(len(w.data))
	if head+uint64(len(record))-w.page.Data_tail > size {
		return false
	}
	for i, b := range record {
		w.data[(head+uint64(i))%size] = b
	}
	w.page.Data_head = head + uint64(len(record))
	return true
}

func TestRingWraps(t *testing.T) {
	w := newTestRing()
	random := rand.New(rand.NewPCG(1, 2))
	var want, got [][]byte
	var wrapped int
	read := func() {
		if err := w.consume(w.head(), func(raw []byte) bool {
			got = append(got, bytes.Clone(raw))
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 10_000 {
		record := raw(unix.PERF_RECORD_COMM, 0, random.Uint64(), string(make([]byte, random.IntN(300))))
		for i := headerSize; i < len(record); i++ {
			record[i] = byte(random.Uint32())
		}
		if !w.write(record) {
			read()
			if !w.write(record) {
				t.Fatal("a ring that was read is full")
			}
		}
		if end := w.page.Data_head % testPage; end != 0 && end < uint64(len(record)) {
			wrapped++
		}
		want = append(want, record)
	}
	read()
	if wrapped < 100 {
		t.Fatalf("only %d records went over the end", wrapped)
	}
	if len(got) != len(want) {
		t.Fatalf("read %d records of %d", len(got), len(want))
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("record %d: got %x, want %x", i, got[i], want[i])
		}
	}
}

func TestRingKeepsWhatIsNotTaken(t *testing.T) {
	w := newTestRing()
	for time := range uint64(3) {
		w.write(raw(unix.PERF_RECORD_COMM, 0, time, uint64(0)))
	}
	calls := 0
	if err := w.consume(w.head(), func([]byte) bool { calls++; return calls == 1 }); err != nil {
		t.Fatal(err)
	}
	left := 0
	if err := w.consume(w.head(), func([]byte) bool { left++; return true }); err != nil {
		t.Fatal(err)
	}
	if calls != 2 || left != 2 {
		t.Errorf("%d calls, then %d records left; want 2 and 2", calls, left)
	}
}

func TestRingRefusesBadSizes(t *testing.T) {
	for _, size := range []uint16{0, 4, 12, 64} {
		w := newTestRing()
		binary.NativeEndian.PutUint16(w.data[6:], size)
		w.page.Data_head = 48
		err := w.consume(w.head(), func([]byte) bool { t.Errorf("size %d: record handled", size); return true })
		if err == nil || w.page.Data_tail != 48 {
			t.Errorf("size %d: error %v, tail %d", size, err, w.page.Data_tail)
		}
	}
}
