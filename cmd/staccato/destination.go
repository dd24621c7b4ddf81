package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/directory"
	"github.com/staccato-profiler/staccato/exporter/otlp"
)

// destination is one of the places where the agent's profiles go.
type destination struct {
	exporter.Exporter
	name string // for /healthz
	// doing and waiting are how messages begin when that fails.
	doing, waiting string
	// trouble returns why profiles get lost after they were handed over, nil
	// while they arrive or are tried again. It is called after each window.
	trouble func() error
	failure error // of the last window's export
	// closing returns what the last line of the log says about it.
	closing func() []any
}

// destinations makes what the flags ask for. What it has made is shut down if
// the rest fails.
func (a *app) destinations(o agentOptions, meter metric.Meter, logger *slog.Logger) (list []*destination, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(usageError("%w", err), shutdownAll(a.abort, list))
			list = nil
		}
	}()
	if o.sends() {
		o.otlp.Logger, o.otlp.Meter = logger, meter
		out, err := a.newOTLP(o.otlp)
		if err != nil {
			// Nothing has been sent yet: it is the configuration that is wrong.
			return list, err
		}
		list = append(list, otlpDestination(out))
	}
	if o.dir != "" {
		out, err := directory.New(directory.Config{
			Path: o.dir, MaxBytes: int64(o.dirSize), MaxAge: time.Duration(o.dirAge), Logger: logger, Meter: meter,
		})
		if err != nil {
			return list, err
		}
		list = append(list, directoryDestination(out))
	}
	return list, nil
}

// sends says whether there is an endpoint, in the flags or the environment.
func (o *agentOptions) sends() bool {
	return o.otlp.Endpoint != "" || os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT") != ""
}

func otlpDestination(out otlpExporter) *destination {
	var before otlp.Stats
	var trouble error
	return &destination{
		Exporter: out, name: "OTLP", doing: "send profile", waiting: "send the profiles still waiting",
		trouble: func() error {
			now := out.Stats()
			switch {
			case now.Dropped[otlp.Refused].Profiles > before.Dropped[otlp.Refused].Profiles:
				trouble = now.LastError // nil when a later one was taken
			case now.Rejected.Profiles > before.Rejected.Profiles:
				trouble = errors.New("the server takes requests, but rejects profiles in them")
			case now.Requests > before.Requests, now.Retries > before.Retries:
				trouble = nil
			}
			before = now
			return trouble
		},
		closing: func() []any {
			s := out.Stats()
			return []any{"samples_sent", s.Sent.Samples, "samples_dropped", s.Lost().Samples}
		},
	}
}

func directoryDestination(out *directory.Exporter) *destination {
	return &destination{
		Exporter: out, name: "directory", doing: "write profile", waiting: "write the profiles still waiting",
		trouble: func() error { return out.Stats().LastError },
		closing: func() []any {
			s := out.Stats()
			return []any{"samples_written", s.Written.Samples, "samples_not_written", s.AllLost().Samples}
		},
	}
}

// export hands a window over.
func (d *destination) export(ctx context.Context, p *agent.Profile) error {
	d.failure = nil
	if err := d.Export(ctx, p.Input); err != nil {
		d.failure = fmt.Errorf("%s: %w", d.doing, err)
	}
	return d.failure
}

// losing returns why the profiles of the last window do not arrive, if so.
func (d *destination) losing() error {
	trouble := d.trouble()
	if d.failure != nil {
		return d.failure
	}
	return trouble
}

// shutdownAll lets all destinations get rid of what waits, at the same time.
func shutdownAll(ctx context.Context, list []*destination) error {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, d := range list {
		all.Go(func() {
			if err := d.Shutdown(ctx); err != nil {
				errs[i] = fmt.Errorf("%s: %w", d.waiting, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
