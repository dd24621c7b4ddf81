package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/exporter"
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

type agentOptions struct {
	sampling samplingFlags
	otlp     otlp.Config
	interval duration
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
	o := agentOptions{interval: duration(5 * time.Second)}
	cmd := &cobra.Command{
		Use:   "agent [flags] --otlp-endpoint URL",
		Short: "Sample the whole host and send profiles to an OpenTelemetry Collector",
		Long: "Agent samples the whole host and sends a profile every --interval over OTLP. At\n" +
			"SIGTERM or Ctrl-C it sends what it has and ends. OTEL_EXPORTER_OTLP_* variables\n" +
			"count where there is no flag. http:// endpoints are plain, https:// ones use TLS.",
		Example: "  staccato agent --otlp-endpoint http://localhost:4317",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return a.agent(o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.otlp.Endpoint, "otlp-endpoint", "", "send profiles to this `URL`")
	flags.StringVar((*string)(&o.otlp.Protocol), "otlp-protocol", "", "`grpc` or http; default grpc")
	flags.Var(&o.interval, "interval", "send a profile every `TIME`")
	o.sampling.add(flags, defaultAgentHz, false)
	return cmd
}

func (a *app) agent(o agentOptions) error {
	config, err := o.sampling.config()
	if err != nil {
		return err
	}
	if o.otlp.Endpoint == "" && os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && os.Getenv("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT") == "" {
		return &exitError{exitUsage, errors.New("nowhere to send profiles to"), []string{
			"Give --otlp-endpoint URL, such as http://localhost:4317 (plain) or https://collector:4317 (TLS),",
			"or set OTEL_EXPORTER_OTLP_ENDPOINT.",
		}}
	}
	logger := slog.New(newQuietHandler(slog.NewTextHandler(a.stderr, nil)))
	o.otlp.Logger = logger
	counted := newCounters()
	o.otlp.Meter = counted.meter()
	// Windows are read when they are cut; earlier only if the tables fill up.
	config.Window = time.Duration(o.interval) + time.Second
	out, err := a.newOTLP(o.otlp)
	if err != nil {
		// Nothing has been sent yet: it is the configuration that is wrong.
		return usageError("%w", err)
	}

	p, err := a.newProfiler(config)
	if err != nil {
		return errors.Join(err, shutdown(a.abort, out))
	}
	defer p.Close()
	if err := errors.Join(p.Observe(counted.meter()), p.Start()); err != nil {
		return errors.Join(fmt.Errorf("start sampling: %w", err), shutdown(a.abort, out))
	}
	logger.Info("sampling", "frequency", config.Frequency, "interval", time.Duration(o.interval))

	loopErr := a.sendWindows(p, out, time.Duration(o.interval), logger)

	last, err := p.Stop()
	if err != nil {
		err = fmt.Errorf("read the last samples: %w", err)
	} else {
		err = export(a.abort, out, last)
	}
	err = errors.Join(loopErr, err, shutdown(a.abort, out))
	if a.abort.Err() != nil {
		return errors.Join(errors.New("aborted: the last window may not have been sent"), err)
	}
	if err := counted.log(logger); err != nil {
		logger.Error("read metrics", "error", err)
	}
	if err == nil {
		stats := out.Stats()
		logger.Info("stopped", "cause", context.Cause(a.stop), "samples_sent", stats.Sent.Samples, "samples_dropped", stats.Lost().Samples)
	}
	return err
}

// sendWindows cuts and exports until the program is to stop.
func (a *app) sendWindows(p profiler, out exporter.Exporter, every time.Duration, logger *slog.Logger) error {
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
		if err != nil {
			if failed++; failed == maxCutErrors {
				return fmt.Errorf("read samples, %d times in a row: %w", failed, err)
			}
			logger.Error("read samples", "error", err)
			continue
		}
		failed = 0
		if err := export(a.abort, out, window); err != nil {
			logger.Error("send profile", "error", err)
		}
		if lost := sum(window.Summary.Lost); lost > 0 {
			logger.Warn("lost samples", "lost", lost, "samples", window.Summary.Samples, "causes", causes(window.Summary.Lost))
		}
	}
}

func export(ctx context.Context, out exporter.Exporter, p *agent.Profile) error {
	if err := out.Export(ctx, p.Input); err != nil {
		return fmt.Errorf("send profile: %w", err)
	}
	return nil
}

func shutdown(ctx context.Context, out exporter.Exporter) error {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := out.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the profiles still waiting: %w", err)
	}
	return nil
}
