package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/html"
	"github.com/staccato-profiler/staccato/exporter/input"
)

// What is too large for a page is not lost.
func TestTooLargeForAPage(t *testing.T) {
	a := newTestApp(t)
	tooLarge := func(context.Context, io.Writer, exporter.Input) error { return html.ErrTooLarge }
	out, err := openOutput("x.html", false, tooLarge)
	if err != nil {
		t.Fatal(err)
	}
	r := &recording{app: a.app, output: out, profiler: a.fake, counters: newCounters()}
	_, err = r.finish("the test says so")
	out.discard()
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitFailure || !errors.Is(err, html.ErrTooLarge) {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat("x.html"); !os.IsNotExist(err) {
		t.Errorf("x.html: %v", err)
	}
	p, err := a.readProfile("x.pb.gz", input.Auto)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Sample) == 0 || !strings.Contains(strings.Join(exit.hints, "\n"), "x.pb.gz") {
		t.Errorf("%d samples; %q", len(p.Sample), exit.hints)
	}
}
