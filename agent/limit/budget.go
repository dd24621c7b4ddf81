// Package limit bounds how much CPU time the profiler spends on what others make it
// do, so that no user takes what is others'. Times are nanoseconds of
// CLOCK_MONOTONIC, or of CPU time.
package limit

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Rate is one part in Share of the time that passes, and as much as Most at once.
type Rate struct {
	Share uint64
	Most  time.Duration
}

// Budget is what is left of a Rate.
type Budget struct {
	rate Rate
	left int64
	at   uint64 // when left was right
}

// New returns a budget of which nothing is spent.
func New(rate Rate, now uint64) Budget { return Budget{rate: rate, left: int64(rate.Most), at: now} }

// Allows says whether there is any time left.
func (b *Budget) Allows(now uint64) bool { return b.Has(now, 0) }

// Has says whether there is any time left, and more is given or, if it is negative,
// taken before.
func (b *Budget) Has(now uint64, more int64) bool {
	if earned := int64((now - b.at) / b.rate.Share); now > b.at && earned > 0 {
		b.left, b.at = min(b.left+earned, int64(b.rate.Most)), now
	}
	return b.left+more > 0
}

// Spend takes CPU time away; more than there is left is owed.
func (b *Budget) Spend(took uint64) { b.left -= int64(took) }

// debt is how long it takes from now until there is time left again.
func (b *Budget) debt(now uint64) time.Duration {
	if b.Allows(now) {
		return 0
	}
	return time.Duration((1 - b.left) * int64(b.rate.Share))
}

// Took returns the CPU time that work takes: time of others on the CPU, or of a slow
// disk, is not the work's.
func Took(work func()) uint64 {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := ThreadTime()
	work()
	return ThreadTime() - began
}

// Now is CLOCK_MONOTONIC, which is also that of samples and the kernel's records.
func Now() uint64 { return read(unix.CLOCK_MONOTONIC) }

// ThreadTime is the CPU time that the calling thread has used.
func ThreadTime() uint64 { return read(unix.CLOCK_THREAD_CPUTIME_ID) }

func read(clock int32) uint64 {
	var t unix.Timespec
	// It cannot fail: the clocks exist and the pointer is good.
	unix.ClockGettime(clock, &t)
	return uint64(t.Nano())
}
