package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// destinationThat says whether it loses profiles.
func destinationThat(name string, trouble error) *destination {
	return &destination{Exporter: new(fakeExporter), name: name, doing: "send profile", trouble: func() error { return trouble }}
}

func TestHealth(t *testing.T) {
	down, full := errors.New("refused"), errors.New("no space left on device")
	const limit = 3 * time.Minute
	for _, test := range []struct {
		name  string
		steps func(*health)
		later time.Duration // after the steps
		code  int
		body  string
	}{
		{"not begun", func(*health) {}, 0, 503, "sampling has not begun\n"},
		{"begun", (*health).started, 0, 200, "ok\n"},
		{"first window is late", (*health).started, limit + time.Second, 503, "no samples have been read for 3m1s\n"},
		{"not yet late", (*health).started, limit - time.Second, 200, "ok\n"},
		{"reading fails", func(h *health) { h.started(); h.cut(errors.New("map gone")) }, 0, 503, "read samples: map gone\n"},
		{"reads again", func(h *health) { h.started(); h.cut(errors.New("map gone")); h.cut(nil) }, 0, 200, "ok\n"},
		{"all arrives", func(h *health) {
			h.started()
			h.exported([]*destination{destinationThat("OTLP", nil), destinationThat("directory", nil)})
		}, 0, 200, "ok\n"},
		{"one destination loses", func(h *health) {
			h.started()
			h.exported([]*destination{destinationThat("OTLP", down), destinationThat("directory", nil)})
		}, 0, 200, "ok\nOTLP: refused\n"},
		{"all destinations lose", func(h *health) {
			h.started()
			h.exported([]*destination{destinationThat("OTLP", down), destinationThat("directory", full)})
		}, 0, 503, "OTLP: refused\ndirectory: no space left on device\n"},
		{"the only destination loses", func(h *health) {
			h.started()
			h.exported([]*destination{destinationThat("directory", full)})
		}, 0, 503, "directory: no space left on device\n"},
		{"nothing is lost any more", func(h *health) {
			h.started()
			h.exported([]*destination{destinationThat("directory", full)})
			h.exported([]*destination{destinationThat("directory", nil)})
		}, 0, 200, "ok\n"},
		{"late and losing", func(h *health) {
			h.started()
			h.exported([]*destination{destinationThat("directory", full)})
		}, time.Hour, 503, "no samples have been read for 1h0m0s\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHealth(time.Minute)
			test.steps(h)
			if !h.lastCut.IsZero() {
				h.lastCut = time.Now().Add(-test.later)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", nil))
			if w.Code != test.code || w.Body.String() != test.body {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, test.code, test.body)
			}
		})
	}
	if limit := newHealth(20 * time.Millisecond).limit; limit != leastLimit {
		t.Errorf("windows of 20 ms may be late by %v, want %v", limit, leastLimit)
	}
}

// A window that could not even be handed over is lost, whatever the
// destination knows about itself.
func TestHealthOfHandingOver(t *testing.T) {
	d := destinationThat("OTLP", nil)
	d.Exporter = &fakeExporter{exportErr: errors.New("encode profile")}
	if err := d.export(context.Background(), threeSamples()()); err == nil || d.losing() == nil {
		t.Errorf("export: %v, losing: %v", err, d.losing())
	}
	d.Exporter = new(fakeExporter)
	if err := d.export(context.Background(), threeSamples()()); err != nil || d.losing() != nil {
		t.Errorf("export: %v, losing: %v", err, d.losing())
	}
}
