package limit

import (
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	const ms = uint64(time.Millisecond)
	b := New(Rate{Share: 10, Most: 5 * time.Millisecond}, 0)
	b.Spend(8 * ms) // more than there is
	for _, step := range []struct {
		now  uint64
		more int64
		want bool
	}{{0, 0, false}, {0, int64(4 * ms), true}, {30 * ms, 0, false}, {31 * ms, 0, true}, {31 * ms, -int64(ms), false}, {1000 * ms, -int64(5*ms - 1), true}, {1000 * ms, -int64(5 * ms), false}, {0, 0, true}} {
		if got := b.Has(step.now, step.more); got != step.want {
			t.Errorf("at %v with %v more: %t", time.Duration(step.now), time.Duration(step.more), got)
		}
	}
}

// What one user spends is nobody else's, except of what all have together.
func TestUsers(t *testing.T) {
	u := NewUsers(Rate{Share: 10, Most: time.Second}, Rate{Share: 5, Most: 3 * time.Second}, 0)
	second := uint64(time.Second)
	u.Spend(1000, 2*second, 0)
	u.Spend(Root, 100*second, 0)
	if !u.Allow(1001, 0) || !u.Allow(Root, 0) || u.Allow(1000, 0) {
		t.Error("one user's time is another's")
	}
	if wait := u.Wait(1000, 0); wait < 10*time.Second || wait > 11*time.Second {
		t.Errorf("it waits for %v", wait)
	}
	if !u.Allow(1000, 11*second) {
		t.Error("it waits for longer")
	}
	now := 11 * second
	for user := uint32(2000); user < 2100; user++ {
		u.Spend(user, second/2, now)
	}
	if u.Allow(2099, now) || !u.Allow(Root, now) {
		t.Error("many users have no limit together")
	}
	if u.Spend(1001, second/8, now); !u.Allow(1001, now) {
		t.Error("one who has spent little has to wait for others")
	}
	for user := uint32(2000); user < 2100; user++ {
		u.Allow(user, now)
	}
	if held := u.Held(); len(held) != maxHeld+1 || held[1000] != 1 || held[Nobody] < 30 {
		t.Errorf("%d users were held back: %v", len(held), held)
	}
	if u.Forget(now + 1000*second); len(u.of) > 0 {
		t.Errorf("%d users are remembered", len(u.of))
	}
}

func TestTook(t *testing.T) {
	asleep := Took(func() { time.Sleep(50 * time.Millisecond) })
	busy := Took(func() {
		for began := ThreadTime(); ThreadTime()-began < uint64(20*time.Millisecond); {
		}
	})
	if asleep > uint64(10*time.Millisecond) || busy < uint64(20*time.Millisecond) {
		t.Errorf("asleep %v, busy %v", time.Duration(asleep), time.Duration(busy))
	}
}
