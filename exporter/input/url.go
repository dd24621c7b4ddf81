package input

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	// Go's net/http/pprof profiles for so long when the URL has no ?seconds=.
	defaultProfiling = 30 * time.Second
	// maxProfiling is how long a server may be asked to profile.
	maxProfiling = time.Hour
	// answering is the time for everything else than profiling.
	answering = 30 * time.Second
)

// profiling is how long a server profiles before it answers; 0 when it has the
// answer at once.
func profiling(u *url.URL) (time.Duration, error) {
	text := u.Query().Get("seconds")
	if text == "" {
		// Those of net/http/pprof that take their time unasked.
		if strings.HasSuffix(path.Dir(u.Path), "/debug/pprof") && path.Base(u.Path) == "profile" {
			return defaultProfiling, nil
		}
		return 0, nil
	}
	seconds, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("?seconds=%s: want a whole number", printableName(text))
	}
	if limit := maxProfiling.Seconds(); float64(seconds) > limit {
		return 0, fmt.Errorf("?seconds=%d: at most %.0f", seconds, limit)
	}
	return time.Duration(seconds) * time.Second, nil
}

func (c Config) download(ctx context.Context, name string) ([]byte, error) {
	u, err := url.Parse(name)
	if err != nil {
		// The error repeats the URL, with a password that may be in it.
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return nil, fmt.Errorf("read URL: %w", err)
	}
	shown := printableName(u.Redacted())
	takes, err := profiling(u)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown, err)
	}
	ctx, cancel := context.WithTimeout(ctx, takes+answering)
	defer cancel()
	if takes > 0 && c.Waiting != nil {
		c.Waiting(fmt.Sprintf("%s profiles for %v", printableName(u.Host), takes))
	}

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, name, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown, err)
	}
	client := c.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown, explainRequest(err, takes+answering))
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read %s: the server says %s%s", shown, printableName(response.Status), words(response))
	}
	content, err := readBounded(response.Body, response.ContentLength, c.maxBytes())
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", shown, explainRequest(err, takes+answering))
	}
	return content, nil
}

// explainRequest takes away what the caller says again.
func explainRequest(err error, limit time.Duration) error {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %v", limit)
	}
	return err
}

// words is what a server says about an error, when it is short text.
func words(response *http.Response) string {
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		return ""
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, 200))
	if text := strings.TrimSpace(string(body)); err == nil && text != "" {
		return ": " + printableName(text)
	}
	return ""
}

// printableName replaces what a terminal would obey.
func printableName(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
