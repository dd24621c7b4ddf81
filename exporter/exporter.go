// Package exporter defines what leaves the profiler and who takes it. An
// exporter is a folder below this one: it writes or sends an [Input].
package exporter

import (
	"context"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/otel/attribute"

	"github.com/staccato-profiler/staccato"
)

// Input is a profile and what pprof has no room for. Exporters must not change
// either.
type Input struct {
	Profile *profile.Profile
	// Side may be nil: then Profile is a file that anyone may have written.
	Side *Side
}

// Side holds what a pprof profile cannot say. Every field may be nil.
type Side struct {
	// Kinds gives the kind of a location by Location.ID.
	Kinds map[uint64]staccato.Kind
	// Hashes gives OpenTelemetry's executable hash by Mapping.ID.
	Hashes map[uint64]string
	// Host are the attributes of the machine and the profiler.
	Host []attribute.KeyValue
	// Processes are the attributes of each process, by the value of the
	// samples' numeric label "pid".
	Processes map[int64][]attribute.KeyValue
}

// Exporter takes profiles away: writes them to a file, or sends them.
type Exporter interface {
	// Export returns when the input has been written, or has been taken over
	// by a queue that will send it.
	Export(ctx context.Context, in Input) error
	// Shutdown sends what is still waiting, until ctx ends.
	Shutdown(ctx context.Context) error
}
