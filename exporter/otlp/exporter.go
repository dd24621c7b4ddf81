package otlp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"google.golang.org/protobuf/proto"

	"github.com/staccato-profiler/staccato/exporter"
)

// Exporter sends profiles over OTLP. Its methods may be called from several
// goroutines.
type Exporter struct {
	config   Config
	endpoint endpoint
	client   client

	mu           sync.Mutex
	queue        queue
	stats        Stats
	stopping     bool
	registration metric.Registration

	// wake tells the sender about new items.
	wake chan struct{}
	// hurry is closed when Shutdown begins: an attempt is made at once.
	hurry chan struct{}
	// stop ends attempts and waits; stopped is closed when the sender is done.
	stop    context.CancelFunc
	stopped chan struct{}

	// overflowing says that it was logged that the queue is full.
	overflowing atomic.Bool
	// logged is the failure that was logged last; only the sender uses it.
	logged string
}

var _ exporter.Exporter = (*Exporter)(nil)

// client makes one attempt to send a request.
type client interface {
	send(ctx context.Context, request []byte) answer
	close() error
}

// ErrShutdown is returned by Export after Shutdown.
var ErrShutdown = errors.New("the OTLP exporter is shut down")

// New returns an exporter that is ready: it does not wait for the server. Its
// errors are mistakes in the configuration.
func New(config Config) (*Exporter, error) {
	config, err := config.withEnvironment(os.Getenv)
	if err != nil {
		return nil, err
	}
	if config, err = config.withDefaults(); err != nil {
		return nil, err
	}
	endpoint, err := parseEndpoint(config)
	if err != nil {
		return nil, err
	}
	security, err := tlsConfig(config)
	if err != nil {
		return nil, err
	}
	e := &Exporter{
		config:   config,
		endpoint: endpoint,
		queue:    queue{limit: config.QueueBytes},
		stats:    Stats{Dropped: map[Reason]Count{}},
		wake:     make(chan struct{}, 1),
		hurry:    make(chan struct{}),
		stopped:  make(chan struct{}),
	}
	if config.Protocol == HTTP {
		e.client = newHTTPClient(config, endpoint, security)
	} else if e.client, err = newGRPCClient(config, endpoint, security); err != nil {
		return nil, err
	}
	if config.Meter != nil {
		if err := e.observe(config.Meter); err != nil {
			return nil, errors.Join(err, e.client.close())
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	e.stop = stop
	go e.run(ctx)
	return e, nil
}

// Export encodes the profile and queues it; it does not wait for the server.
// What is lost on the way is counted in [Stats] and logged, not returned.
func (e *Exporter) Export(ctx context.Context, in exporter.Input) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("export over OTLP: %w", err)
	}
	encoded, err := Encode(in, e.config.RequestBytes)
	if err != nil {
		return err
	}
	items := make([]item, len(encoded.Requests))
	for i, request := range encoded.Requests {
		// split has just asked for the size, which is half of the work.
		data, err := proto.MarshalOptions{UseCachedSize: true}.Marshal(request)
		if err != nil {
			return fmt.Errorf("encode profile as OTLP: %w", err)
		}
		items[i] = item{data, count(request)}
	}
	dropped, err := e.enqueue(items, encoded.TooLarge)
	if dropped.Profiles > 0 && !e.overflowing.Swap(true) { // once per outage
		e.config.Logger.Warn("The queue of profiles for OTLP is full: the oldest are dropped.",
			"samples", dropped.Samples, "profiles", dropped.Profiles, "queue_bytes", e.config.QueueBytes, "endpoint", e.endpoint.url())
	}
	if n := encoded.TooLarge; n.Records > 0 {
		e.config.Logger.Warn("Stacks that alone exceed the size of an OTLP request are dropped.",
			"records", n.Records, "samples", n.Samples, "request_bytes", e.config.RequestBytes)
	}
	return err
}

func (e *Exporter) enqueue(items []item, tooLarge Count) (dropped Count, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return dropped, ErrShutdown
	}
	if tooLarge.Records > 0 {
		e.drop(TooLarge, tooLarge)
	}
	for _, it := range items {
		e.stats.Waiting.add(it.count)
		for _, old := range e.queue.push(it) {
			e.stats.Waiting.add(old.count.negative())
			e.drop(QueueFull, old.count)
			dropped.add(old.count)
		}
	}
	select {
	case e.wake <- struct{}{}:
	default: // one signal that waits is enough
	}
	return dropped, nil
}

// Shutdown sends what is waiting, until ctx ends; the rest is dropped, and
// the error says how much that was.
func (e *Exporter) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	first := !e.stopping
	e.stopping = true
	if first {
		close(e.hurry)
	}
	e.mu.Unlock()
	select {
	case <-e.stopped:
	case <-ctx.Done():
		e.stop()
		<-e.stopped
	}
	if !first {
		return nil
	}
	e.stop()
	var errs []error
	if s := e.Stats(); s.Dropped[Stopped].Profiles > 0 {
		lost := s.Dropped[Stopped]
		errs = append(errs, fmt.Errorf("send the last profiles over OTLP: %d samples in %d profiles were not sent in time: %w", lost.Samples, lost.Profiles, cmp.Or(s.LastError, ctx.Err())))
	}
	if e.registration != nil {
		errs = append(errs, e.registration.Unregister())
	}
	return errors.Join(append(errs, e.client.close())...)
}

// Check sends an empty request and returns an error when the server cannot be
// reached or takes no profiles, saying what to do. A server that only objects
// to there being nothing in the request is fine.
func (e *Exporter) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.config.Timeout)
	defer cancel()
	if a := e.client.send(ctx, nil); a.err != nil && !a.content {
		return e.explain(a.err)
	}
	return nil
}
