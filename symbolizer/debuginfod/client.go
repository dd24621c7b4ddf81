// Package debuginfod gets debug files by build ID from debuginfod servers
// (debuginfod(8)), and keeps them in a folder.
//
// Nobody waits for a server: who asks for a file that is not here is told so,
// and told again when there is an answer.
package debuginfod

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
)

const (
	workers = 2
	// maxWaiting bounds the build IDs to ask for: anyone can make up more.
	maxWaiting = 1024
	// absentFor is how long what no server has is not asked for again, and
	// failedFor what could not be asked for.
	absentFor = 10 * time.Minute
	failedFor = time.Minute
	// maxAnswers bounds the answers that are remembered.
	maxAnswers = 1 << 16
)

// Client is a debugfile.Fetcher. It is safe for concurrent use.
type Client struct {
	config Config
	cache  *cache
	http   *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	queue  chan string // build IDs
	done   sync.WaitGroup

	mu      sync.Mutex
	waiting map[string][]func() // by build ID, from the question to the answer
	answers map[string]answer   // of those that were not found
	telling int                 // answers that those who wait are being told
	idle    chan struct{}       // closed when nothing is left of both; nil when idle
	stats   Stats
}

// answer is why there is no file.
type answer struct {
	err   error
	until time.Time
}

// Stats counts what a client did.
type Stats struct {
	Fetched, Absent, Failed uint64 // downloads, by how they ended
	Bytes                   uint64 // of those that were fetched
	Waiting                 int    // questions now, until who asked knows the answer
}

// New returns a client. The error is that of the configuration, or of making
// the folder.
func New(config Config) (*Client, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	cache, err := openCache(config.CacheDir, config.CacheSize)
	if err != nil {
		return nil, err
	}
	c := &Client{
		config:  config,
		cache:   cache,
		http:    newHTTP(),
		queue:   make(chan string, maxWaiting),
		waiting: make(map[string][]func()),
		answers: make(map[string]answer),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for range workers {
		c.done.Go(c.work)
	}
	return c, nil
}

// Close ends all downloads. Nobody is called from then on.
func (c *Client) Close() error {
	c.cancel()
	c.done.Wait()
	c.http.CloseIdleConnections()
	return c.cache.close()
}

// Fetch implements debugfile.Fetcher. The error is fs.ErrNotExist for what no
// server has.
func (c *Client) Fetch(buildID string, later func()) (staccato.OpenFile, error) {
	// It becomes part of a URL and of a file's name.
	if b, err := hex.DecodeString(buildID); err != nil || len(b) < 4 || len(b) > 64 {
		return nil, fs.ErrNotExist
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if callers, ok := c.waiting[buildID]; ok {
		c.waiting[buildID] = append(callers, later)
		return nil, debugfile.ErrPending
	}
	f, err := c.cache.open(buildID)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if a, ok := c.answers[buildID]; ok {
		if time.Now().Before(a.until) {
			return nil, a.err
		}
		delete(c.answers, buildID)
	}
	select {
	case c.queue <- buildID:
	default:
		return nil, errors.New("not asked for: too many others are")
	}
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	c.waiting[buildID] = []func(){later}
	return nil, debugfile.ErrPending
}

// Wait returns when everything that was asked for has an answer and who asked knows
// it, when the context ends, or with Close.
func (c *Client) Wait(ctx context.Context) {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
}

// Stats returns the present counts.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Waiting = len(c.waiting) + c.telling
	return s
}

// work downloads until the client is closed.
func (c *Client) work() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case id := <-c.queue:
			size, err := c.download(id)
			if c.ctx.Err() != nil {
				return
			}
			for _, later := range c.remember(id, err) {
				later()
			}
			c.count(size, err)
		}
	}
}

// remember remembers an answer and returns who waits for it, to be told before it is
// counted: who waits for all answers would else go on with one that is not known yet.
func (c *Client) remember(buildID string, err error) []func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		keep := failedFor
		if errors.Is(err, fs.ErrNotExist) {
			keep = absentFor
		}
		if len(c.answers) >= maxAnswers {
			clear(c.answers) // at worst, some are asked for again
		}
		c.answers[buildID] = answer{err, time.Now().Add(keep)}
	}
	callers := c.waiting[buildID]
	delete(c.waiting, buildID)
	c.telling++
	return callers
}

// count counts an answer that those know who waited for it.
func (c *Client) count(size int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil:
		c.stats.Fetched++
		c.stats.Bytes += uint64(size)
	case errors.Is(err, fs.ErrNotExist):
		c.stats.Absent++
	default:
		c.stats.Failed++
	}
	if c.telling--; c.telling == 0 && len(c.waiting) == 0 {
		close(c.idle)
		c.idle = nil
	}
}
