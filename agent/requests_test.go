package agent

import "testing"

// Tables that samples have asked for come first, in the order in which they did.
func TestRequests(t *testing.T) {
	r := newRequests()
	add := func(chunk uint32, asked bool) { r.add(wantedTable{chunk: chunk, asked: asked}) }
	add(1, false)
	add(2, false)
	add(3, true)
	add(4, false)
	add(5, true)
	r.hurry(4)
	r.hurry(3)
	r.hurry(99)
	for _, want := range []uint32{3, 5, 4, 1, 2} {
		if w, ok := r.next(); w.chunk != want || !ok {
			t.Errorf("%d, %t; want %d", w.chunk, ok, want)
		}
	}
	got := make(chan uint32)
	go func() {
		for {
			w, ok := r.next()
			if !ok {
				close(got)
				return
			}
			got <- w.chunk
		}
	}()
	add(6, false) // while somebody waits
	if chunk := <-got; chunk != 6 {
		t.Errorf("%d", chunk)
	}
	r.close()
	if chunk, ok := <-got; ok {
		t.Errorf("%d after the end", chunk)
	}
}
