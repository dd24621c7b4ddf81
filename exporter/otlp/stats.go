package otlp

import (
	"context"
	"fmt"
	"maps"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Reason says why something was dropped.
type Reason string

const (
	// QueueFull: newer requests needed the room.
	QueueFull Reason = "queue_full"
	// TooLarge: a single sample exceeds the size of a request.
	TooLarge Reason = "too_large"
	// Refused: the server said that trying again is no use.
	Refused Reason = "refused"
	// Stopped: the exporter was shut down before it could be sent.
	Stopped Reason = "stopped"
)

var reasons = []Reason{QueueFull, TooLarge, Refused, Stopped}

// Stats says what became of everything that was given to an exporter. What was
// encoded is, at any time, Sent + Rejected + all of Dropped + Waiting.
type Stats struct {
	// Sent was accepted by the server.
	Sent Count
	// Rejected was in requests that the server accepted in part. It says only
	// how many profiles it rejected: their samples are not known and are in
	// Sent, unless it rejected all.
	Rejected Count
	Dropped  map[Reason]Count
	// Waiting is in the queue or being sent.
	Waiting Count
	// Requests were sent with success. Retries counts attempts that failed and
	// are repeated, or were to be when the exporter was stopped.
	Requests, Retries int64
	// SentBytes is the size of those requests, before compression.
	SentBytes int64
	// QueueBytes is the size of what is waiting; QueueLimit is its bound.
	QueueBytes, QueueLimit int64
	// LastError is the latest failure, nil after a success.
	LastError error
}

// Lost is the sum of everything dropped.
func (s Stats) Lost() Count {
	var sum Count
	for _, c := range s.Dropped {
		sum.add(c)
	}
	return sum
}

// Stats returns a snapshot of the counters.
func (e *Exporter) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Dropped = maps.Clone(s.Dropped)
	s.QueueBytes, s.QueueLimit = e.queue.bytes, e.queue.limit
	return s
}

// drop counts an item as lost. The caller holds the lock.
func (e *Exporter) drop(why Reason, c Count) {
	sum := e.stats.Dropped[why]
	sum.add(c)
	e.stats.Dropped[why] = sum
}

// observe gives the meter instruments that read the counters.
func (e *Exporter) observe(meter metric.Meter) error {
	var errs []error
	counter := func(name, unit, text string) metric.Int64ObservableCounter {
		c, err := meter.Int64ObservableCounter("staccato.exporter.otlp."+name, metric.WithUnit(unit), metric.WithDescription(text))
		errs = append(errs, err)
		return c
	}
	gauge := func(name, text string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge("staccato.exporter.otlp."+name, metric.WithUnit("By"), metric.WithDescription(text))
		errs = append(errs, err)
		return g
	}
	profiles := counter("profiles", "{profile}", "Profiles by what became of them.")
	samples := counter("samples", "{sample}", "Samples by what became of them.")
	requests := counter("requests", "{request}", "Requests that the server accepted.")
	retries := counter("retries", "{attempt}", "Attempts to send a request again.")
	size := gauge("queue.size", "Encoded requests that wait to be sent.")
	capacity := gauge("queue.capacity", "What may wait before the oldest is dropped.")
	for _, err := range errs {
		if err != nil {
			return fmt.Errorf("create OTLP exporter's metrics: %w", err)
		}
	}
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := e.Stats()
		outcome := func(c Count, name string, more ...attribute.KeyValue) {
			set := metric.WithAttributes(append(more, attribute.String("outcome", name))...)
			o.ObserveInt64(profiles, c.Profiles, set)
			o.ObserveInt64(samples, c.Samples, set)
		}
		outcome(s.Sent, "sent")
		outcome(s.Rejected, "rejected")
		for _, why := range reasons {
			outcome(s.Dropped[why], "dropped", attribute.String("reason", string(why)))
		}
		o.ObserveInt64(requests, s.Requests)
		o.ObserveInt64(retries, s.Retries)
		o.ObserveInt64(size, s.QueueBytes)
		o.ObserveInt64(capacity, s.QueueLimit)
		return nil
	}, profiles, samples, requests, retries, size, capacity)
	if err != nil {
		return fmt.Errorf("create OTLP exporter's metrics: %w", err)
	}
	e.registration = registration
	return nil
}
