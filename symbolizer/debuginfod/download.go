package debuginfod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// maxRedirects is how often a server may send us elsewhere.
const maxRedirects = 5

// errNotHere says that a server does not have a file.
var errNotHere = errors.New("not found")

func newHTTP() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = workers
	// Sizes are of what is sent.
	transport.DisableCompression = true
	return &http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

// checkRedirect refuses to leave the Web, or to leave TLS.
func checkRedirect(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case r.URL.Scheme == "https":
	case r.URL.Scheme == "http" && via[0].URL.Scheme == "http":
	default:
		return fmt.Errorf("redirect to %s:// refused", r.URL.Scheme)
	}
	return nil
}

// download asks each server for a file and puts it into the cache. It returns
// the size in bytes.
func (c *Client) download(buildID string) (int64, error) {
	var failed error
	for _, server := range c.config.URLs {
		size, err := c.downloadFrom(server, buildID)
		if err == nil {
			return size, nil
		}
		if !errors.Is(err, errNotHere) && failed == nil {
			failed = err
		}
	}
	if failed == nil {
		return 0, fs.ErrNotExist
	}
	return 0, failed
}

func (c *Client) downloadFrom(server, buildID string) (int64, error) {
	ctx, cancel := context.WithTimeoutCause(c.ctx, c.config.MaxTime,
		fmt.Errorf("took more than %v", c.config.MaxTime))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(server, "/")+"/buildid/"+buildID+"/debuginfo", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("User-Agent", c.config.UserAgent)
	r.Header.Set("X-Debuginfod-Maxsize", strconv.FormatInt(c.config.MaxSize, 10))
	r.Header.Set("X-Debuginfod-Maxtime", strconv.FormatInt(int64(max(c.config.MaxTime/time.Second, 1)), 10))

	progress := &progress{step: 100 << 10, left: 100 << 10, timeout: c.config.Timeout}
	progress.timer = time.AfterFunc(c.config.Timeout, func() {
		stop(fmt.Errorf("sent less than %d KiB in %v", progress.step>>10, c.config.Timeout))
	})
	defer progress.timer.Stop()
	size, err := c.receive(r, buildID, progress)
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	if err != nil {
		return 0, fmt.Errorf("not had from %s: %w", r.URL.Host, err)
	}
	return size, nil
}

// receive sends a request and puts what comes into the cache.
func (c *Client) receive(r *http.Request, buildID string, progress *progress) (int64, error) {
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return 0, errNotHere
	case answer.StatusCode != http.StatusOK:
		return 0, fmt.Errorf("the answer is %s", answer.Status)
	case answer.ContentLength > c.config.MaxSize:
		return 0, tooLarge(c.config.MaxSize)
	}
	file, err := c.cache.create(buildID)
	if err != nil {
		return 0, err
	}
	defer file.discard()
	progress.r = io.LimitReader(answer.Body, c.config.MaxSize+1)
	size, err := io.Copy(file, progress)
	switch {
	case err != nil:
		return 0, err
	case size > c.config.MaxSize:
		return 0, tooLarge(c.config.MaxSize)
	}
	f, err := elffile.OpenDebug(io.NewSectionReader(file, 0, size))
	if err != nil {
		return 0, fmt.Errorf("the answer cannot be read: %w", err)
	}
	if id := f.BuildID(); id != buildID {
		return 0, fmt.Errorf("the answer is of another build, with build ID %q", id)
	}
	return size, file.keep()
}

func tooLarge(limit int64) error { return fmt.Errorf("it has more than %d MiB", limit>>20) }

// progress reads, and puts a timer off with every so many bytes.
type progress struct {
	r          io.Reader
	step, left int
	timeout    time.Duration
	timer      *time.Timer
}

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.left -= n; p.left <= 0 {
		p.left = p.step
		p.timer.Reset(p.timeout)
	}
	return n, err
}
