package limit

import (
	"maps"
	"sync"
	"time"
)

const (
	// Root is a user without limits: it can do as it likes anyway.
	Root = 0
	// Nobody is no user's number: for what is not known to be anyone's.
	Nobody = 1<<32 - 1
	// maxHeld is how many users are told apart of those that were held back. The
	// others count as Nobody.
	maxHeld = 64
)

// Users are the budgets of users other than root, and of all these together: anyone
// may have many user IDs. Who has spent next to nothing need not wait because of what
// others have spent. It is safe for concurrent use.
type Users struct {
	each Rate

	mu   sync.Mutex
	all  Budget
	of   map[uint32]*Budget
	held map[uint32]uint64
}

// NewUsers returns budgets of which nothing is spent.
func NewUsers(each, all Rate, now uint64) *Users {
	return &Users{each: each, all: New(all, now), of: map[uint32]*Budget{}, held: map[uint32]uint64{}}
}

// Allow says whether a user has any time left, and counts when it has not.
func (u *Users) Allow(user uint32, now uint64) bool {
	if u.Wait(user, now) == 0 {
		return true
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, known := u.held[user]; !known && len(u.held) >= maxHeld {
		user = Nobody
	}
	u.held[user]++
	return false
}

// Wait is how long a user has to wait until it has time left; 0 is not at all.
func (u *Users) Wait(user uint32, now uint64) time.Duration {
	if user == Root {
		return 0
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.of[user]
	if b == nil || b.Has(now, -int64(b.rate.Most)*3/4) {
		return 0
	}
	return max(b.debt(now), u.all.debt(now))
}

// Spend takes CPU time away from a user.
func (u *Users) Spend(user uint32, took, now uint64) {
	if user == Root {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	b := u.of[user]
	if b == nil {
		fresh := New(u.each, now)
		b = &fresh
		u.of[user] = b
	}
	b.Spend(took)
	u.all.Spend(took)
}

// Forget drops the users of whose budget nothing is spent.
func (u *Users) Forget(now uint64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.DeleteFunc(u.of, func(_ uint32, b *Budget) bool {
		return b.Allows(now) && b.left == int64(b.rate.Most)
	})
}

// Held is how often each user was not allowed to go on.
func (u *Users) Held() map[uint32]uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return maps.Clone(u.held)
}
