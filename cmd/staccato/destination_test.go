package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/directory"
	"github.com/staccato-profiler/staccato/exporter/otlp"
)

// statsExporter says what it is told to say about itself.
type statsExporter struct {
	fakeExporter
	stats otlp.Stats
}

func (s *statsExporter) Stats() otlp.Stats { return s.stats }

// OTLP loses profiles when the server refuses or rejects them. One that cannot
// be reached is tried again.
func TestTroubleOfOTLP(t *testing.T) {
	refused := func(n int64) map[otlp.Reason]otlp.Count {
		return map[otlp.Reason]otlp.Count{otlp.Refused: {Profiles: n}}
	}
	unauthorized, unreachable := errors.New("unauthorized"), errors.New("connection refused")
	out := new(statsExporter)
	d := otlpDestination(out)
	for _, step := range []struct {
		name  string
		stats otlp.Stats
		want  string // "": no trouble
	}{
		{"nothing sent yet", otlp.Stats{}, ""},
		{"sent", otlp.Stats{Requests: 1}, ""},
		{"unreachable", otlp.Stats{Requests: 1, Retries: 1, LastError: unreachable}, ""},
		{"refused", otlp.Stats{Requests: 1, Retries: 1, Dropped: refused(1), LastError: unauthorized}, "unauthorized"},
		{"nothing new", otlp.Stats{Requests: 1, Retries: 1, Dropped: refused(1), LastError: unauthorized}, "unauthorized"},
		{"refused, then sent", otlp.Stats{Requests: 2, Retries: 1, Dropped: refused(2)}, ""},
		{"rejected", otlp.Stats{Requests: 3, Retries: 1, Dropped: refused(2), Rejected: otlp.Count{Profiles: 1}}, "rejects profiles"},
		{"unreachable again", otlp.Stats{Requests: 3, Retries: 2, Dropped: refused(2), Rejected: otlp.Count{Profiles: 1}, LastError: unreachable}, ""},
	} {
		out.stats = step.stats
		err := d.losing()
		if (err == nil) != (step.want == "") || err != nil && !strings.Contains(err.Error(), step.want) {
			t.Errorf("%s: %v, want %q", step.name, err, step.want)
		}
	}
}

func TestTroubleOfDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "profiles")
	out, err := directory.New(directory.Config{Path: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Shutdown(t.Context())
	d := directoryDestination(out)
	settled := func() {
		t.Helper()
		if err := d.export(t.Context(), threeSamples()()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the disk", func() bool { return out.Stats().Waiting.Profiles == 0 })
	}
	settled()
	if err := d.losing(); err != nil {
		t.Errorf("losing: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	settled()
	if err := d.losing(); err == nil || !strings.Contains(err.Error(), "not a directory") {
		t.Errorf("losing: %v", err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	settled()
	if err := d.losing(); err != nil {
		t.Errorf("losing: %v", err)
	}
}

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
