// Package directory keeps the profiles of the last time in a directory, as
// pprof files (.pb.gz) named after the start of what they hold. The oldest are
// deleted when the files exceed a total size or an age.
//
// Files appear when they are complete, and are not forced to the disk: after a
// power failure the last ones may be empty.
package directory

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/pprof"
)

const (
	// DefaultMaxBytes and DefaultMaxAge are the limits of the zero [Config].
	DefaultMaxBytes = 512_000_000
	DefaultMaxAge   = 24 * time.Hour

	// queued is how many profiles may wait for a slow disk; more are lost.
	queued = 8
)

// Config says where the files are and how long they stay. The zero value of
// each field but Path is its default.
type Config struct {
	// Path is the directory. It is made, with mode 0750, when there is none.
	// Several exporters may share one: each keeps all files within its own
	// limits.
	Path string
	// MaxBytes bounds the sum of the files' sizes; default
	// [DefaultMaxBytes]. Their number is bounded too, by 2^20.
	MaxBytes int64
	// MaxAge bounds the time since the start of what a file holds; default
	// [DefaultMaxAge].
	MaxAge time.Duration
	// Logger gets what happens after Export returned; default
	// [slog.Default].
	Logger *slog.Logger
	// Meter, when set, gets instruments for what [Exporter.Stats] returns.
	Meter metric.Meter
}

// Exporter writes profiles into a directory. Its methods may be called from
// several goroutines.
type Exporter struct {
	config Config
	folder folder // of the goroutine that writes

	// compressor is kept, since a new one is about a megabyte.
	encoding   sync.Mutex
	compressor *gzip.Writer

	// waiting leads to the goroutine that writes, so that a disk that hangs
	// holds up nobody else.
	waiting chan pending
	written chan struct{} // closed when that goroutine has ended

	mu       sync.Mutex // guards the rest, and is never held during I/O
	stats    Stats
	stopping bool
	// abandoned says that Shutdown has counted as lost what was waiting.
	abandoned bool
	// warned is the warning that was logged last.
	warned string
}

var _ exporter.Exporter = (*Exporter)(nil)

// pending is a file that is to be written.
type pending struct {
	start time.Time
	data  []byte
	count Count
}

// ErrShutdown is returned by Export after Shutdown.
var ErrShutdown = errors.New("the directory exporter is shut down")

// New returns an exporter. Its errors are mistakes in the configuration; a
// directory that cannot be used at the moment is logged, and tried again with
// each profile.
func New(config Config) (*Exporter, error) {
	e, err := newExporter(config)
	if err != nil {
		return nil, err
	}
	go e.run()
	return e, nil
}

// newExporter makes an exporter that does not write yet.
func newExporter(config Config) (*Exporter, error) {
	if config.Path == "" {
		return nil, errors.New("no directory to write profiles to")
	}
	if config.MaxBytes < 0 || config.MaxAge < 0 {
		return nil, errors.New("the limits of a directory of profiles must not be negative")
	}
	config.MaxBytes = cmp.Or(config.MaxBytes, DefaultMaxBytes)
	config.MaxAge = cmp.Or(config.MaxAge, DefaultMaxAge)
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	e := &Exporter{
		config: config,
		folder: folder{
			path: config.Path, maxBytes: config.MaxBytes, maxAge: config.MaxAge, maxFiles: maxFiles,
			deleted: map[Limit]int64{},
		},
		compressor: newCompressor(),
		waiting:    make(chan pending, queued),
		written:    make(chan struct{}),
		stats:      Stats{Lost: map[Reason]Count{}, Deleted: map[Limit]int64{}, MaxBytes: config.MaxBytes},
	}
	warning, err := e.folder.look(time.Now())
	if errors.Is(err, errNoDirectory) {
		return nil, fmt.Errorf("write profiles to %s: %w", config.Path, err)
	} else if err != nil {
		e.failed(err)
	}
	e.publish(warning)
	if config.Meter != nil {
		if err := e.observe(config.Meter); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func newCompressor() *gzip.Writer {
	// Files become a tenth larger than with the default level, for a third
	// of the work.
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // only for levels that do not exist
	}
	return w
}

// Export encodes the profile and queues it; it does not wait for the disk.
// What is lost on the way is counted in [Stats] and logged, not returned.
func (e *Exporter) Export(ctx context.Context, in exporter.Input) error {
	if in.Profile.TimeNanos == 0 {
		return errors.New("write profile: it does not say when it begins")
	}
	data, err := e.encode(ctx, in)
	if err != nil {
		return err
	}
	p := pending{time.Unix(0, in.Profile.TimeNanos).UTC(), data, count(in.Profile)}

	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopping {
		return ErrShutdown
	}
	select {
	case e.waiting <- p:
		e.stats.Waiting.add(p.count)
	default:
		e.lose(&fileError{QueueFull, errors.New("the disk is too slow: profiles are left out")}, p.count)
	}
	return nil
}

func (e *Exporter) encode(ctx context.Context, in exporter.Input) ([]byte, error) {
	e.encoding.Lock()
	defer e.encoding.Unlock()
	var b bytes.Buffer
	e.compressor.Reset(&b)
	if err := pprof.WriteUncompressed(ctx, e.compressor, in); err != nil {
		return nil, err
	}
	if err := e.compressor.Close(); err != nil {
		return nil, fmt.Errorf("compress profile: %w", err)
	}
	return b.Bytes(), nil
}

// Shutdown writes what is waiting, until ctx ends; the rest is lost. The error
// says how much that was, or why the last profile could not be written.
func (e *Exporter) Shutdown(ctx context.Context) error {
	e.mu.Lock()
	first := !e.stopping
	e.stopping = true
	if first {
		close(e.waiting)
	}
	e.mu.Unlock()
	select {
	case <-e.written:
	case <-ctx.Done():
	}

	e.mu.Lock()
	defer e.mu.Unlock()
	if !first {
		return nil
	}
	if left := e.stats.Waiting; left.Profiles > 0 {
		e.abandoned = true
		e.stats.Waiting = Count{}
		e.stats.lose(Stopped, left)
		return fmt.Errorf("write profiles to %s: %d samples in %d profiles were not written in time: %w",
			e.config.Path, left.Samples, left.Profiles, context.Cause(ctx))
	}
	return e.stats.LastError
}
