package debuginfod

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Config says which servers to ask and what that may take. The zero value of
// each field but URLs is its default.
type Config struct {
	// URLs are the servers, asked in this order.
	URLs []string
	// CacheDir is where files are kept; default staccato/debuginfod in the
	// user's folder of caches, or in /var/cache for who has none. It is made,
	// for its owner alone. Only files that the client has written are deleted.
	CacheDir string
	// CacheSize bounds the files there, in bytes; default 1 GiB. Those not used
	// for the longest time are deleted. Each download in progress, of which
	// there are 2 at most, comes on top.
	CacheSize int64
	// MaxSize bounds one file, in bytes; default 512 MiB, and never more than
	// CacheSize.
	MaxSize int64
	// MaxTime bounds one download; default 10 minutes.
	MaxTime time.Duration
	// Timeout is how long a server may take for each 100 KiB; default 90 s.
	Timeout time.Duration
	// UserAgent is what servers are told of us; default "staccato".
	UserAgent string
}

// FromEnvironment fills fields that are not set from the variables that
// debuginfod-find(1) describes: DEBUGINFOD_URLS, _CACHE_PATH, _MAXSIZE, _MAXTIME
// and _TIMEOUT. An empty variable is none.
func (c Config) FromEnvironment(getenv func(string) string) (Config, error) {
	if len(c.URLs) == 0 {
		c.URLs = strings.Fields(getenv("DEBUGINFOD_URLS"))
	}
	if c.CacheDir == "" {
		c.CacheDir = getenv("DEBUGINFOD_CACHE_PATH")
	}
	var errs []error
	number := func(name string, use func(int64)) {
		text := strings.TrimSpace(getenv(name))
		if text == "" {
			return
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 || n > 1<<50 {
			errs = append(errs, fmt.Errorf("read %s: %q is no such number", name, text))
			return
		}
		use(n)
	}
	seconds := func(field *time.Duration) func(int64) {
		return func(n int64) {
			if *field == 0 {
				*field = time.Duration(min(n, int64(24*time.Hour/time.Second))) * time.Second
			}
		}
	}
	number("DEBUGINFOD_MAXSIZE", func(n int64) {
		if c.MaxSize == 0 {
			c.MaxSize = n
		}
	})
	number("DEBUGINFOD_MAXTIME", seconds(&c.MaxTime))
	number("DEBUGINFOD_TIMEOUT", seconds(&c.Timeout))
	return c, errors.Join(errs...)
}

// Check returns an error unless there are servers whose URLs are sound.
func (c Config) Check() error {
	if len(c.URLs) == 0 {
		return errors.New("no debuginfod server is given")
	}
	for _, text := range c.URLs {
		u, err := url.Parse(text)
		if err != nil {
			return fmt.Errorf("read URL of a debuginfod server: %w", err)
		}
		if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("read URL of a debuginfod server: %q is neither http://HOST nor https://HOST", text)
		}
	}
	return nil
}

func (c Config) withDefaults() (Config, error) {
	if err := c.Check(); err != nil {
		return c, err
	}
	if c.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			dir = "/var/cache"
		}
		c.CacheDir = filepath.Join(dir, "staccato", "debuginfod")
	}
	if c.CacheSize == 0 {
		c.CacheSize = 1 << 30
	}
	if c.MaxSize == 0 {
		c.MaxSize = 512 << 20
	}
	c.MaxSize = min(c.MaxSize, c.CacheSize)
	if c.MaxTime == 0 {
		c.MaxTime = 10 * time.Minute
	}
	if c.Timeout == 0 {
		c.Timeout = 90 * time.Second
	}
	if c.UserAgent == "" {
		c.UserAgent = "staccato"
	}
	return c, nil
}
