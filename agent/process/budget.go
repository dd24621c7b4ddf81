package process

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// budget bounds how much CPU time a kind of work takes: one part in share of the
// time that passes, and as much as most at once. Times are nanoseconds.
type budget struct {
	share, most uint64
	left        int64
	at          uint64 // when left was right
}

func newBudget(share, most, now uint64) budget {
	return budget{share: share, most: most, left: int64(most), at: now}
}

// allows says whether there is any time left.
func (b *budget) allows(now uint64) bool { return b.has(now, 0) }

// has says whether there is any time left, and more is taken or given before.
func (b *budget) has(now uint64, more int64) bool {
	if earned := int64((now - b.at) / b.share); now > b.at && earned > 0 {
		b.left, b.at = min(b.left+earned, int64(b.most)), now
	}
	return b.left+more > 0
}

func (b *budget) spend(took uint64) { b.left -= int64(took) }

// full says that nothing of it is spent.
func (b *budget) full(now uint64) bool { return b.allows(now) && b.left == int64(b.most) }

const (
	// What looking into the mappings of one process may take: finding their files
	// as they are made, and reading all of them anew. One part in processShare of
	// the time, after processAtOnce: a program with 300 libraries takes 30 ms.
	processShare  = 400
	processAtOnce = 30 * time.Millisecond
	// firstScan is how much more the first reading of a process's mappings may take,
	// whatever is left to its user.
	firstScan = 100 * time.Millisecond
	// What it may take of all processes of a user other than root, and of all these
	// users: any of them can start processes without end.
	userShare   = 20
	userAtOnce  = time.Second
	usersShare  = 10
	usersAtOnce = 2 * time.Second
)

// work is the CPU time that looking into mappings takes.
type work struct {
	cpu   func() uint64 // time that the calling thread has used
	users map[uint32]*budget
	all   budget // of them
}

func newWork(now uint64) work {
	return work{cpu: threadTime, users: map[uint32]*budget{}, all: newBudget(usersShare, uint64(usersAtOnce), now)}
}

// mayLook says whether a process, and its user, have time left.
func (t *Table) mayLook(i *Image) bool {
	now := t.now()
	if !i.work.allows(now) {
		return false
	}
	if i.user == root {
		return true
	}
	user := t.work.users[i.user]
	return (user == nil || user.allows(now)) && t.work.all.allows(now)
}

// look does work for a process. It returns the time it took.
func (t *Table) look(i *Image, do func()) uint64 {
	// Time of others on the CPU, or of a slow disk, is no cost of the process's.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := t.work.cpu()
	do()
	took := t.work.cpu() - began
	i.work.spend(took)
	if i.user == root {
		return took
	}
	user := t.work.users[i.user]
	if user == nil {
		b := newBudget(userShare, uint64(userAtOnce), t.now())
		user = &b
		t.work.users[i.user] = user
	}
	user.spend(took)
	t.work.all.spend(took)
	return took
}

// forgetUsers drops the users that have all of their time.
func (w *work) forgetUsers(now uint64) {
	for user, b := range w.users {
		if b.full(now) {
			delete(w.users, user)
		}
	}
}

func threadTime() uint64 {
	var t unix.Timespec
	// It cannot fail: the clock exists and the pointer is good.
	unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t)
	return uint64(t.Nano())
}
