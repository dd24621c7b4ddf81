package agent

import (
	"slices"
	"sync"
	"time"

	"github.com/staccato-profiler/staccato/agent/limit"
)

// requests are the tables that wait to be made, by the user whose processes ask for
// them. Each user's wait only for the user's own: the one on whom the least time was
// spent comes first, one table of a user's is made at a time, and who has used up what
// users may take waits until there is time again.
type requests struct {
	mu     sync.Mutex
	more   sync.Cond
	of     map[uint32]*userRequests
	limits *limit.Users
	now    func() uint64 // CLOCK_MONOTONIC, ns
	closed bool
}

// userRequests are those of a user. Those that a sample has asked for come before
// those that only may be of use.
type userRequests struct {
	asked, likely []wantedTable
	spent         uint64 // CPU time lately
	busy          bool   // one of them is being made
}

// maxUserPending is how many tables of a user other than root wait. The kernel side
// asks again for those that find no room.
const maxUserPending = maxPending / 8

func newRequests(limits *limit.Users, now func() uint64) *requests {
	r := &requests{of: make(map[uint32]*userRequests), limits: limits, now: now}
	r.more.L = &r.mu
	return r
}

// add reports whether there is room for a request.
func (r *requests) add(w wantedTable) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.user(w.user)
	if w.user != limit.Root && len(u.asked)+len(u.likely) >= maxUserPending {
		return false
	}
	r.limits.Allow(w.user, r.now()) // counts who has to wait
	u.put(w)
	r.more.Broadcast()
	return true
}

// user returns the requests of a user. r.mu is held.
func (r *requests) user(id uint32) *userRequests {
	u := r.of[id]
	if u == nil {
		u = &userRequests{}
		r.of[id] = u
	}
	return u
}

func (u *userRequests) put(w wantedTable) {
	if w.asked {
		u.asked = append(u.asked, w)
	} else {
		u.likely = append(u.likely, w)
	}
}

// hurry says that a sample of a user's process has asked for a chunk's table, which
// another user's may have asked for before: whoever waits less is the one to wait.
func (r *requests) hurry(chunk, user uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.now()
	for owner, u := range r.of {
		for _, list := range []*[]wantedTable{&u.likely, &u.asked} {
			i := slices.IndexFunc(*list, func(w wantedTable) bool { return w.chunk == chunk })
			if i < 0 {
				continue
			}
			mine := r.limits.Wait(user, now) <= r.limits.Wait(owner, now)
			if list == &u.asked && (owner == user || !mine) {
				return
			}
			w := (*list)[i]
			*list = slices.Delete(*list, i, i+1)
			if w.asked = true; mine {
				w.user = user
			}
			r.user(w.user).put(w)
			r.more.Broadcast()
			return
		}
	}
}

// next waits for a request whose turn it is; done must be called when it was dealt
// with. ok is false when there will be none.
func (r *requests) next() (w wantedTable, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		u, wait := r.choose()
		if u != nil {
			list := &u.asked
			if len(*list) == 0 {
				list = &u.likely
			}
			w = (*list)[0]
			*list = slices.Delete(*list, 0, 1)
			u.busy = true
			return w, true
		}
		var again *time.Timer
		if wait > 0 {
			again = time.AfterFunc(wait, r.wake)
		}
		r.more.Wait()
		if again != nil {
			again.Stop()
		}
	}
	return w, false
}

// wake wakes those who wait. It takes the lock, so that it does not come between their
// last look and their sleep.
func (r *requests) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.more.Broadcast()
}

// choose returns the user whose turn it is, or how long it takes until that can be
// anyone's; 0 is until something happens. r.mu is held.
func (r *requests) choose() (next *userRequests, wait time.Duration) {
	now := r.now()
	for id, u := range r.of {
		if u.busy || len(u.asked)+len(u.likely) == 0 {
			continue
		}
		if each := r.limits.Wait(id, now); each > 0 {
			if wait == 0 || each < wait {
				wait = each
			}
			continue
		}
		asked := len(u.asked) > 0
		if next == nil || asked && len(next.asked) == 0 || asked == (len(next.asked) > 0) && u.spent < next.spent {
			next = u
		}
	}
	return next, wait
}

// done says that a request was dealt with, and the CPU time it took.
func (r *requests) done(w wantedTable, took uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.of[w.user]
	u.busy = false
	if u.spent += took; len(u.asked)+len(u.likely) == 0 {
		delete(r.of, w.user)
	}
	r.limits.Spend(w.user, took, r.now())
	r.more.Broadcast()
}

func (r *requests) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.more.Broadcast()
}
