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
	// Kinds are those of locations.
	Kinds Kinds
	// Hashes gives OpenTelemetry's executable hash by Mapping.ID.
	Hashes map[uint64]string
	// Host are the attributes of the machine and the profiler.
	Host []attribute.KeyValue
	// Processes are the attributes of each process, by the value of the
	// samples' numeric label "pid".
	Processes map[int64][]attribute.KeyValue
}

// Kinds holds the kind of each location by Location.ID. IDs count from 1 on.
type Kinds []staccato.Kind

// Of returns the kind of the location with an ID, "" if it has none.
func (k Kinds) Of(id uint64) staccato.Kind {
	if id >= uint64(len(k)) {
		return ""
	}
	return k[id]
}

// Set gives a location its kind. The IDs of a profile follow one another.
func (k *Kinds) Set(id uint64, kind staccato.Kind) {
	for id >= uint64(len(*k)) {
		*k = append(*k, "")
	}
	(*k)[id] = kind
}

// Exporter takes profiles away: writes them to a file, or sends them.
type Exporter interface {
	// Export returns when the input has been written, or has been taken over
	// by a queue that will send it.
	Export(ctx context.Context, in Input) error
	// Shutdown sends what is still waiting, until ctx ends.
	Shutdown(ctx context.Context) error
}
