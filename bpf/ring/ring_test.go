package ring

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

const testPage = 4096

// writer plays the kernel's part.
type writer struct{ *Ring }

func newTestRing() writer { return writer{newRing(make([]byte, 2*testPage), testPage)} }

// record is one of a type that nobody looks at, with words behind its header.
func record(words int) []byte {
	b := make([]byte, HeaderSize+8*words)
	binary.NativeEndian.PutUint16(b[6:], uint16(len(b)))
	return b
}

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
		if err := w.Consume(w.Head(), func(raw []byte) bool {
			got = append(got, bytes.Clone(raw))
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	for range 10_000 {
		r := record(random.IntN(40))
		for i := HeaderSize; i < len(r); i++ {
			r[i] = byte(random.Uint32())
		}
		if !w.write(r) {
			read()
			if !w.write(r) {
				t.Fatal("a ring that was read is full")
			}
		}
		if end := w.page.Data_head % testPage; end != 0 && end < uint64(len(r)) {
			wrapped++
		}
		want = append(want, r)
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
	for words := range 3 {
		w.write(record(words))
	}
	calls := 0
	if err := w.Consume(w.Head(), func([]byte) bool { calls++; return calls == 1 }); err != nil {
		t.Fatal(err)
	}
	left := 0
	if err := w.Consume(w.Head(), func([]byte) bool { left++; return true }); err != nil {
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
		err := w.Consume(w.Head(), func([]byte) bool { t.Errorf("size %d: record handled", size); return true })
		if err == nil || w.page.Data_tail != 48 {
			t.Errorf("size %d: error %v, tail %d", size, err, w.page.Data_tail)
		}
	}
}
