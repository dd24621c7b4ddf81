package directory

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Reason says why a profile was lost.
type Reason string

const (
	// NoSpace: the disk, or a quota, is full.
	NoSpace Reason = "no_space"
	// NotWritable: no permission, or a file system that is read only.
	NotWritable Reason = "not_writable"
	// TooLarge: the profile alone exceeds the limit.
	TooLarge Reason = "too_large"
	// QueueFull: the disk is too slow.
	QueueFull Reason = "queue_full"
	// Stopped: the exporter was shut down before it could be written.
	Stopped Reason = "stopped"
	// Other: see the log.
	Other Reason = "other"
)

var reasons = []Reason{NoSpace, NotWritable, TooLarge, QueueFull, Stopped, Other}

// Limit is why a file was deleted.
type Limit string

const (
	// Age is MaxAge; Size is MaxBytes, or the number of files.
	Age  Limit = "age"
	Size Limit = "size"
	// Disk: it was full, so that the new file took the place of older ones.
	Disk Limit = "disk"
)

// Count is an amount of profiles and of the samples in them.
type Count struct{ Profiles, Samples int64 }

func (c *Count) add(other Count) {
	c.Profiles += other.Profiles
	c.Samples += other.Samples
}

func (c *Count) subtract(other Count) {
	c.Profiles -= other.Profiles
	c.Samples -= other.Samples
}

// count adds up the first value of each sample.
func count(p *profile.Profile) Count {
	c := Count{Profiles: 1}
	for _, s := range p.Sample {
		c.Samples += s.Value[0]
	}
	return c
}

// Stats says what became of everything that was given to an exporter. That is,
// at any time, Written + all of Lost + Waiting.
type Stats struct {
	Written, Waiting Count
	Lost             map[Reason]Count
	// Files and Bytes are the profiles in the directory, those of earlier
	// runs included; MaxBytes is the limit.
	Files, Bytes, MaxBytes int64
	// Deleted counts files by the limit that they exceeded.
	Deleted map[Limit]int64
	// LastError is the latest failure, nil after a success.
	LastError error
}

func (s *Stats) lose(why Reason, c Count) {
	sum := s.Lost[why]
	sum.add(c)
	s.Lost[why] = sum
}

// AllLost is the sum of everything lost.
func (s Stats) AllLost() Count {
	var sum Count
	for _, c := range s.Lost {
		sum.add(c)
	}
	return sum
}

// Stats returns a snapshot of the counters.
func (e *Exporter) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Lost, s.Deleted = maps.Clone(s.Lost), maps.Clone(s.Deleted)
	return s
}

// observe gives the meter instruments that read the counters.
func (e *Exporter) observe(meter metric.Meter) error {
	var errs []error
	counter := func(name, unit, text string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter("staccato.exporter.directory."+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, unit, text string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge("staccato.exporter.directory."+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	profiles := counter("profiles", "{profile}", "Profiles by what became of them.")
	samples := counter("samples", "{sample}", "Samples by what became of them.")
	deleted := counter("deleted", "{file}", "Files deleted, by the limit that they exceeded.")
	files := gauge("files", "{file}", "Files in the directory.")
	size := gauge("size", "By", "Size of the files in the directory.")
	capacity := gauge("capacity", "By", "What the files may take before the oldest is deleted.")
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("create directory exporter's metrics: %w", err)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := e.Stats()
		outcome := func(c Count, name string, more ...attribute.KeyValue) {
			set := metric.WithAttributes(append(more, attribute.String("outcome", name))...)
			o.ObserveInt64(profiles, c.Profiles, set)
			o.ObserveInt64(samples, c.Samples, set)
		}
		outcome(s.Written, "written")
		for _, why := range reasons {
			outcome(s.Lost[why], "lost", attribute.String("reason", string(why)))
		}
		for _, limit := range []Limit{Age, Size, Disk} {
			o.ObserveInt64(deleted, s.Deleted[limit], metric.WithAttributes(attribute.String("limit", string(limit))))
		}
		o.ObserveInt64(files, s.Files)
		o.ObserveInt64(size, s.Bytes)
		o.ObserveInt64(capacity, s.MaxBytes)
		return nil
	}, profiles, samples, deleted, files, size, capacity)
	if err != nil {
		return fmt.Errorf("create directory exporter's metrics: %w", err)
	}
	return nil
}
