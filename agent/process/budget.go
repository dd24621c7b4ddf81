package process

import (
	"time"

	"github.com/staccato-profiler/staccato/agent/limit"
)

var (
	// What looking into the mappings of one process may take: finding their files
	// as they are made, and reading all of them anew. A program with 300 libraries
	// takes 30 ms.
	processRate = limit.Rate{Share: 400, Most: 30 * time.Millisecond}
	// What it may take of all processes of a user other than root, and of all these
	// users: any of them can start processes without end.
	userRate  = limit.Rate{Share: 20, Most: time.Second}
	usersRate = limit.Rate{Share: 10, Most: 2 * time.Second}
	// Rescans: whoever maps memory without end makes the kernel lose records all the
	// time.
	rescanRate = limit.Rate{Share: 400, Most: 15 * time.Millisecond}
)

// firstScan is how much more the first reading of a process's mappings may take,
// whatever is left to its user.
const firstScan = 100 * time.Millisecond

// mayLook says whether a process, and its user, have time left.
func (t *Table) mayLook(i *Image) bool {
	now := t.now()
	return i.work.Allows(now) && t.users.Allow(i.user, now)
}

// look does work for a process. It returns the CPU time it took.
func (t *Table) look(i *Image, work func()) uint64 {
	took := t.took(work)
	i.work.Spend(took)
	t.users.Spend(i.user, took, t.now())
	return took
}
