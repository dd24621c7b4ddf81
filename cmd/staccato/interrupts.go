package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

var errAborted = errors.New("aborted: nothing was saved")

// sameSignal is how soon after the first a signal is taken for the same one:
// timeout(1) sends each twice, to the process and to its group.
const sameSignal = 300 * time.Millisecond

// interrupts are what the signals of one run mean, in the order in which they come.
type interrupts struct {
	// stop ends at the first signal, abort at one that comes after it.
	stop, abort context.Context

	mu    sync.Mutex
	yield context.CancelFunc // takes the next signal in abort's place; or nil
}

// watch gives signals their meaning. One that comes sooner than same after another is
// taken for the same.
func watch(signals <-chan os.Signal, same time.Duration) *interrupts {
	i := new(interrupts)
	stop, cancelStop := context.WithCancelCause(context.Background())
	abort, cancelAbort := context.WithCancelCause(context.Background())
	i.stop, i.abort = stop, abort
	go func() {
		var last time.Time
		for s := range signals {
			if time.Since(last) < same {
				continue
			}
			last = time.Now()
			if yielded := i.next(); !yielded && stop.Err() != nil {
				cancelAbort(signalCause{s})
				return
			}
			cancelStop(signalCause{s}) // or it has been: then it stays as it was
		}
	}()
	return i
}

// next hands a signal to who yields to it, and reports whether there is anyone.
func (i *interrupts) next() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.yield == nil {
		return false
	}
	i.yield()
	i.yield = nil
	return true
}

// yielding returns a context that the next signal ends, which then aborts nothing:
// it is for waiting that can be done without. The function that it returns ends that.
func (i *interrupts) yielding() (context.Context, func()) {
	ctx, cancel := context.WithCancel(context.Background())
	i.mu.Lock()
	i.yield = cancel
	i.mu.Unlock()
	return ctx, func() {
		i.mu.Lock()
		i.yield = nil
		i.mu.Unlock()
		cancel()
	}
}

// signalCause is why stop or abort ended.
type signalCause struct{ os.Signal }

func (s signalCause) Error() string { return s.String() }

// terminated says that it was SIGTERM that ended ctx: that goes to us alone,
// while the terminal sends Ctrl-C to a command that we run, too.
func terminated(ctx context.Context) bool {
	cause, ok := context.Cause(ctx).(signalCause)
	return ok && cause.Signal == syscall.SIGTERM
}

// orAbort does something that may take long, or returns errAborted when the
// user does not want to wait for it.
func (a *app) orAbort(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-a.abort.Done():
		return errAborted
	}
}
