package agent

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/agent/limit"
)

func newLimits() *limit.Users { return limit.NewUsers(tablesOfUser, tablesOfUsers, 0) }

// Tables that samples have asked for come first, in the order in which they did.
func TestRequests(t *testing.T) {
	r := newRequests(newLimits(), func() uint64 { return 0 })
	add := func(chunk uint32, asked bool) { r.add(wantedTable{chunk: chunk, asked: asked}) }
	add(1, false)
	add(2, false)
	add(3, true)
	add(4, false)
	add(5, true)
	r.hurry(4, 0)
	r.hurry(3, 0)
	r.hurry(99, 0)
	for _, want := range []uint32{3, 5, 4, 1, 2} {
		if w, ok := r.next(); w.chunk != want || !ok {
			t.Errorf("%d, %t; want %d", w.chunk, ok, want)
		} else {
			r.done(w, 0)
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
			r.done(w, 0)
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

// A user with very many requests, each of which takes long, keeps nobody waiting for
// more than the one that is under way.
func TestRequestsOfUsers(t *testing.T) {
	const evil, good = 1000, 1001
	var now atomic.Uint64
	r := newRequests(newLimits(), now.Load)
	refused := 0
	for chunk := range uint32(2 * maxUserPending) {
		if !r.add(wantedTable{chunk: chunk, user: evil, asked: true}) {
			refused++
		}
	}
	if refused != maxUserPending {
		t.Errorf("%d requests were refused", refused)
	}
	first, _ := r.next()
	r.add(wantedTable{chunk: 1 << 20, user: good})
	r.add(wantedTable{chunk: 1<<20 + 1, user: limit.Root})
	// For somebody else while one of a user's is being made.
	second, _ := r.next()
	third, _ := r.next()
	if first.user != evil || second.user == evil || third.user == evil || second.user == third.user {
		t.Fatalf("requests of users %d, %d, %d", first.user, second.user, third.user)
	}
	r.done(first, uint64(10*time.Second))
	r.done(second, 1)
	r.done(third, 1)
	// Another's samples ask for what this user has asked for.
	r.hurry(77, good)
	if w, _ := r.next(); w.chunk != 77 || w.user != good {
		t.Errorf("request %+v", w)
	} else {
		r.done(w, 1)
	}
	r.add(wantedTable{chunk: 1 << 20, user: good, asked: true})
	r.hurry(1<<20, evil)
	if w, _ := r.next(); w.chunk != 1<<20 || w.user != good {
		t.Errorf("request %+v", w)
	} else {
		r.done(w, 1)
	}
	// Its own come again when it has time left.
	got := make(chan wantedTable)
	go func() {
		w, _ := r.next()
		got <- w
	}()
	select {
	case w := <-got:
		t.Errorf("request %+v at once", w)
	case <-time.After(50 * time.Millisecond):
	}
	now.Store(uint64(100 * time.Second))
	r.add(wantedTable{chunk: 1 << 21, user: evil}) // wakes it
	if w := <-got; w.user != evil || w.chunk != 1 {
		t.Errorf("request %+v", w)
	}
	if held := r.limits.Held(); held[evil] != 0 && held[good] != 0 {
		t.Errorf("held back: %v", held)
	}
	r.close()
}
