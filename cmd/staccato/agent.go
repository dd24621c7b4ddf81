package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/directory"
	"github.com/staccato-profiler/staccato/exporter/otlp"
)

const (
	defaultAgentHz = 19
	// flushTime is how long the last window may take to be sent. Service
	// managers kill what has not stopped after 90 s (systemd) or 30 s
	// (Kubernetes).
	flushTime = 10 * time.Second
	// maxCutErrors in a row end the agent: whoever runs it should start a new
	// one, rather than believe that this one works.
	maxCutErrors = 10
)

// agentGCPercent is how much the heap of an agent may grow between two garbage
// collections, unless GOGC says otherwise. At 997 Hz 40, 80, 120 and 150 cost 0.36,
// 0.32, 0.29 and 0.28 s of CPU time a minute, and 50, 59, 63 and 69 MiB of memory.
const agentGCPercent = 120

type agentOptions struct {
	sampling      samplingFlags
	interval      duration
	otlp          otlp.Config
	dir           string
	dirSize       byteSize
	dirAge        duration
	metricsListen string
}

// otlpExporter is what agent uses of *otlp.Exporter.
type otlpExporter interface {
	exporter.Exporter
	Stats() otlp.Stats
}

func newOTLP(config otlp.Config) (otlpExporter, error) {
	e, err := otlp.New(config)
	if err != nil {
		return nil, err // "return e, err" would make an exporter that is not nil
	}
	return e, nil
}

func (a *app) agentCommand() *cobra.Command {
	o := agentOptions{
		interval: duration(5 * time.Second),
		dirSize:  directory.DefaultMaxBytes,
		dirAge:   duration(directory.DefaultMaxAge),
	}
	cmd := &cobra.Command{
		Use:   "agent [flags] (--otlp-endpoint URL | --dir DIR)",
		Short: "Sample the whole host; send profiles to an OpenTelemetry Collector, or keep files",
		Long: "Agent samples the whole host, and every --interval sends a profile over OTLP, or\n" +
			"writes it to a directory, or both. At SIGTERM or Ctrl-C it sends and writes what\n" +
			"it has and ends. OTEL_EXPORTER_OTLP_* variables count where there is no flag.\n" +
			"http:// endpoints are plain, https:// ones use TLS.",
		Example: "  staccato agent --otlp-endpoint http://localhost:4317\n" +
			"  staccato agent --dir /var/lib/staccato --dir-size 2GB --metrics-listen 127.0.0.1:9464",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd.Flags()); err != nil {
				return err
			}
			return a.agent(o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.otlp.Endpoint, "otlp-endpoint", "", "send profiles to this `URL`")
	flags.StringVar((*string)(&o.otlp.Protocol), "otlp-protocol", "", "`grpc` or http; default grpc")
	flags.StringVar(&o.dir, "dir", "", "write profiles to this `DIR`, as pprof files")
	flags.Var(&o.dirSize, "dir-size", "delete the oldest files beyond this `SIZE`")
	flags.Var(&o.dirAge, "dir-age", "delete files after this `TIME`")
	flags.Lookup("dir-age").DefValue = "24h" // rather than 24h0m0s
	flags.StringVar(&o.metricsListen, "metrics-listen", "",
		"serve /metrics for Prometheus, and /healthz, at this `ADDRESS`")
	flags.Var(&o.interval, "interval", "send or write a profile every `TIME`")
	o.sampling.add(flags, defaultAgentHz, false)
	return cmd
}

// check refuses flags that would have no effect.
func (o *agentOptions) check(flags *pflag.FlagSet) error {
	if !o.sends() && o.dir == "" {
		return &exitError{exitUsage, errors.New("nowhere to send profiles to"), []string{
			"Give at least one of:",
			"  --otlp-endpoint URL, such as http://localhost:4317 (plain) or https://collector:4317 (TLS),",
			"    or the variable OTEL_EXPORTER_OTLP_ENDPOINT",
			"  --dir DIR, such as /var/lib/staccato",
		}}
	}
	for _, needs := range []struct {
		flag, other string
		there       bool
	}{
		{"otlp-protocol", "otlp-endpoint", o.sends()},
		{"dir-size", "dir", o.dir != ""},
		{"dir-age", "dir", o.dir != ""},
	} {
		if flags.Changed(needs.flag) && !needs.there {
			return usageError("--%s has no effect without --%s", needs.flag, needs.other)
		}
	}
	return nil
}

func (a *app) agent(o agentOptions) error {
	config, err := o.sampling.config()
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(agentGCPercent)
	}
	// Windows are read when they are cut; earlier only if the tables fill up.
	every := time.Duration(o.interval)
	config.Window = every + time.Second
	logger := slog.New(newQuietHandler(slog.NewTextHandler(a.stderr, nil)))
	health := newHealth(every)

	var counted *counters
	if o.metricsListen == "" {
		counted = newCounters()
	} else {
		var endpoint *metricsEndpoint
		if endpoint, counted, err = listenMetrics(o.metricsListen, health, logger); err != nil {
			return err
		}
		defer endpoint.close()
	}
	out, err := a.destinations(o, counted.meter(), logger)
	if err != nil {
		return err
	}

	p, err := a.newProfiler(config)
	if err != nil {
		return errors.Join(err, shutdownAll(a.abort, out))
	}
	defer p.Close()
	if err := errors.Join(p.Observe(counted.meter()), p.Start()); err != nil {
		return errors.Join(fmt.Errorf("start sampling: %w", err), shutdownAll(a.abort, out))
	}
	limits, err := a.limits()
	if err != nil {
		logger.Error("find out what profiles will lack", "error", err)
	}
	for _, limit := range limits {
		logger.Warn("profiles will lack something", "reason", limit)
	}
	logger.Info("sampling", "frequency", config.Frequency, "interval", every)
	health.started()

	loopErr := a.exportWindows(p, out, every, health, logger)

	last, err := p.Stop()
	if err != nil {
		err = fmt.Errorf("read the last samples: %w", err)
	} else {
		for _, d := range out {
			err = errors.Join(err, d.export(a.abort, last))
		}
	}
	err = errors.Join(loopErr, err, shutdownAll(a.abort, out))
	if a.abort.Err() != nil {
		return errors.Join(errors.New("aborted: the last window may not have been sent or written"), err)
	}
	if err := counted.log(logger); err != nil {
		logger.Error("read metrics", "error", err)
	}
	if err == nil {
		about := []any{"cause", context.Cause(a.stop)}
		for _, d := range out {
			about = append(about, d.closing()...)
		}
		logger.Info("stopped", about...)
	}
	return err
}

// exportWindows cuts and exports until the program is to stop.
func (a *app) exportWindows(p profiler, out []*destination, every time.Duration, health *health, logger *slog.Logger) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failed := 0
	for {
		select {
		case <-a.stop.Done():
			return nil
		case <-ticker.C:
		}
		window, err := p.Cut()
		health.cut(err)
		if err != nil {
			if failed++; failed == maxCutErrors {
				return fmt.Errorf("read samples, %d times in a row: %w", failed, err)
			}
			logger.Error("read samples", "error", err)
			continue
		}
		failed = 0
		for _, d := range out {
			// Whatever happens to one, the others get theirs.
			if err := d.export(a.abort, window); err != nil {
				logger.Error(d.doing, "error", err)
			}
		}
		health.exported(out)
		if err := window.Summary.NoIndex; err != nil {
			logger.Warn("what is read of debug information cannot be kept", "error", err)
		}
		if lost := sum(window.Summary.Lost); lost > 0 {
			logger.Warn("lost samples", "lost", lost, "samples", window.Summary.Samples, "causes", causes(window.Summary.Lost))
		}
	}
}
