package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/otlp"
)

// A destination that cannot be made leaves no other running.
func TestDestinationsFailTogether(t *testing.T) {
	a := newTestApp(t)
	out := new(fakeExporter)
	a.newOTLP = func(otlp.Config) (otlpExporter, error) { return out, nil }
	o := agentOptions{otlp: otlp.Config{Endpoint: "http://localhost:4317"}, dir: "/dev/null"}
	list, err := a.destinations(o, noop.Meter{}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err == nil || list != nil || !out.down {
		t.Errorf("%v, %v, shut down %v", list, err, out.down)
	}
}

// meeting is an exporter whose Shutdown waits for all others.
type meeting struct {
	exporter.Exporter
	here  chan<- struct{}
	there <-chan struct{}
}

func (m meeting) Shutdown(ctx context.Context) error {
	if end, ok := ctx.Deadline(); !ok || time.Until(end) > flushTime {
		return errors.New("may take for ever")
	}
	m.here <- struct{}{}
	select {
	case <-m.there:
		return errors.New("unreachable")
	case <-ctx.Done():
		return ctx.Err()
	}
}

// One destination that is slow takes no time from the others.
func TestShutdownAllAtOnce(t *testing.T) {
	one, two := make(chan struct{}, 1), make(chan struct{}, 1)
	err := shutdownAll(t.Context(), []*destination{
		{Exporter: meeting{here: one, there: two}, waiting: "send"},
		{Exporter: meeting{here: two, there: one}, waiting: "write"},
	})
	if err == nil || err.Error() != "send: unreachable\nwrite: unreachable" {
		t.Errorf("shutdown: %v", err)
	}
}
