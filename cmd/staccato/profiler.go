package main

import (
	"go.opentelemetry.io/otel/metric"

	"github.com/staccato-profiler/staccato/agent"
)

// profiler is what the commands use of *agent.Profiler; tests put another one
// in its place.
type profiler interface {
	// Observe registers the profiler's counters.
	Observe(metric.Meter) error
	Start() error
	// Frequency is what is sampled at, which may be less than was asked for.
	Frequency() int
	CPUs() int
	Status() agent.Status
	Cut() (*agent.Profile, error)
	Stop() (*agent.Profile, error)
	// StopWaiting has Stop not wait for names any longer.
	StopWaiting()
	Close() error
}

func newProfiler(config agent.Config) (profiler, error) {
	p, err := agent.New(config)
	if err != nil {
		return nil, err // "return p, err" would make a profiler that is not nil
	}
	return p, nil
}
