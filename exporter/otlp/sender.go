package otlp

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// run sends what is queued until the queue is empty after Shutdown, or ctx
// ends.
func (e *Exporter) run(ctx context.Context) {
	defer close(e.stopped)
	for {
		it, state := e.next()
		switch {
		case state == finished:
			return
		case state == idle:
			select {
			case <-e.wake:
			case <-e.hurry:
			}
		case ctx.Err() != nil:
			e.finish(it, Stopped, nil)
		default:
			e.deliver(ctx, it)
		}
	}
}

type state int

const (
	ready    state = iota // there is an item
	idle                  // there is none yet
	finished              // there will be none
)

func (e *Exporter) next() (item, state) {
	e.mu.Lock()
	defer e.mu.Unlock()
	it, ok := e.queue.take()
	switch {
	case ok:
		return it, ready
	case e.stopping:
		return it, finished
	}
	return it, idle
}

// deliver sends one request, as often as it takes.
func (e *Exporter) deliver(ctx context.Context, it item) {
	hurry := e.hurry
	for failed := 1; ; failed++ {
		attempt, cancel := context.WithTimeout(ctx, e.config.Timeout)
		a := e.client.send(attempt, it.data)
		cancel()
		if a.err == nil {
			e.accepted(it, a)
			return
		}
		err := e.explain(a.err)
		switch {
		case ctx.Err() != nil:
			e.finish(it, Stopped, nil)
			return
		case !a.retry:
			e.logOnce("Profiles are lost: the OTLP server refused them.", err)
			e.finish(it, Refused, err)
			return
		}
		e.logOnce("Profiles cannot be sent over OTLP at the moment; they are kept and sent again.", err)
		e.retrying(err)
		if a.after > 0 {
			hurry = nil // the server asked not to
		}
		wait := time.NewTimer(e.config.delay(failed, a.after))
		select {
		case <-wait.C:
		case <-ctx.Done():
		case <-hurry:
			hurry = nil // once is enough
		}
		wait.Stop()
		if ctx.Err() != nil {
			e.finish(it, Stopped, err)
			return
		}
	}
}

// accepted counts a request that the server took, perhaps in part.
func (e *Exporter) accepted(it item, a answer) {
	rejected := Count{Profiles: min(max(a.rejected, 0), it.count.Profiles)}
	if rejected.Profiles == it.count.Profiles {
		rejected = it.count
	}
	sent := it.count
	sent.add(rejected.negative())

	e.mu.Lock()
	e.settle(it)
	e.stats.Sent.add(sent)
	e.stats.Rejected.add(rejected)
	e.stats.Requests++
	e.stats.SentBytes += int64(len(it.data))
	e.stats.LastError = nil
	e.mu.Unlock()

	e.overflowing.Store(false)
	switch {
	case rejected.Profiles > 0:
		err := e.explain(fmt.Errorf("server rejected %d of %d profiles: %q", rejected.Profiles, it.count.Profiles, a.message))
		e.logOnce("Profiles are lost: the OTLP server rejected them.", err)
	case a.message != "":
		e.logOnce("The OTLP server accepted profiles with a warning.", errors.New(a.message))
	case e.logged != "":
		e.logged = ""
		e.config.Logger.Info("Profiles are sent over OTLP again.", "endpoint", e.endpoint.url())
	}
}

// finish counts a request as lost.
func (e *Exporter) finish(it item, why Reason, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.settle(it)
	e.drop(why, it.count)
	if err != nil {
		e.stats.LastError = err
	}
}

func (e *Exporter) retrying(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Retries++
	e.stats.LastError = err
}

// settle takes an item off what is waiting. The caller holds the lock.
func (e *Exporter) settle(it item) {
	e.queue.done(it)
	e.stats.Waiting.add(it.count.negative())
}

// logOnce logs a failure unless it is the one of the last time.
func (e *Exporter) logOnce(message string, err error) {
	if text := message + err.Error(); text != e.logged {
		e.logged = text
		e.config.Logger.Warn(message, "error", err)
	}
}
