package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

var errAborted = errors.New("aborted: nothing was saved")

// sameSignal is how soon after the first a signal is taken for the same one:
// timeout(1) sends each twice, to the process and to its group.
const sameSignal = 300 * time.Millisecond

// interrupts returns a context that ends at the first signal, and one that
// ends at the second, if that comes later than same.
func interrupts(signals <-chan os.Signal, same time.Duration) (stop, abort context.Context) {
	stop, cancelStop := context.WithCancelCause(context.Background())
	abort, cancelAbort := context.WithCancelCause(context.Background())
	go func() {
		cancelStop(signalCause{<-signals})
		first := time.Now()
		for s := range signals {
			if time.Since(first) >= same {
				cancelAbort(signalCause{s})
				return
			}
		}
	}()
	return stop, abort
}

// signalCause is why a context of interrupts ended.
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
