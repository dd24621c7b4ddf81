package otlp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const protobufType = "application/x-protobuf"

type httpClient struct {
	client     *http.Client
	url        string
	headers    map[string]string
	compressor *compressor // nil when requests are not compressed
}

func newHTTPClient(c Config, e endpoint, security *tls.Config) *httpClient {
	client := &httpClient{
		url:     e.url(),
		headers: c.Headers,
		client: &http.Client{
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment,
				TLSClientConfig:     security,
				ForceAttemptHTTP2:   true,
				TLSHandshakeTimeout: c.Timeout,
				IdleConnTimeout:     90 * time.Second,
			},
			// A POST that is redirected may become a GET: the user is told
			// instead.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	if c.Compression == "gzip" {
		client.compressor = newCompressor()
	}
	return client
}

func (c *httpClient) close() error {
	c.client.CloseIdleConnections()
	return nil
}

func (c *httpClient) send(ctx context.Context, request []byte) answer {
	post, err := c.newRequest(ctx, request)
	if err != nil {
		return answer{err: err}
	}
	response, err := c.client.Do(post)
	if err != nil {
		return answer{err: err, retry: true} // there was no answer
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	if err != nil {
		return answer{err: fmt.Errorf("read answer: %w", err), retry: true}
	}
	return httpAnswer(response, body, time.Now())
}

func (c *httpClient) newRequest(ctx context.Context, body []byte) (*http.Request, error) {
	if c.compressor != nil {
		var err error
		if body, err = c.compress(body); err != nil {
			return nil, err
		}
	}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for key, value := range c.headers {
		post.Header.Set(key, value)
	}
	post.Header.Set("Content-Type", protobufType)
	post.Header.Set("User-Agent", "staccato")
	post.Header.Set(versionHeader, version)
	if c.compressor != nil {
		post.Header.Set("Content-Encoding", c.compressor.Name())
	}
	return post, nil
}

func (c *httpClient) compress(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := c.compressor.Compress(&out)
	if err == nil {
		_, err = w.Write(body)
		err = cmp.Or(err, w.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("compress request: %w", err)
	}
	return out.Bytes(), nil
}

// statusError is an answer that is no success.
type statusError struct {
	code    int
	message string
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("HTTP %d %s", e.code, http.StatusText(e.code))
	if e.message != "" {
		text += ": " + e.message
	}
	return text
}

// httpAnswer decides about an answer by the rules of OTLP/HTTP, see
// https://opentelemetry.io/docs/specs/otlp/#otlphttp-response.
func httpAnswer(response *http.Response, body []byte, now time.Time) answer {
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	code := response.StatusCode
	if code >= 200 && code <= 299 {
		return successAnswer(kind, body)
	}
	failure := &statusError{code: code}
	switch {
	case code >= 300 && code <= 399:
		failure.message = "the server wants requests to go to " + excerpt(response.Header.Get("Location"))
	case kind == protobufType:
		var s statuspb.Status
		if err := proto.Unmarshal(body, &s); err == nil {
			failure.message = excerpt(s.GetMessage())
		}
	case strings.HasPrefix(kind, "text/plain"), strings.HasSuffix(kind, "json"):
		failure.message = excerpt(string(body))
	}
	a := answer{err: failure}
	switch code {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		a.retry = true
		a.after = retryAfter(response.Header.Get("Retry-After"), now)
	case http.StatusBadRequest, http.StatusInternalServerError:
		a.content = true
	}
	return a
}

// successAnswer reads what a server says about a request it accepted. Anything
// else than OTLP's own message means that it is no OTLP server, and that the
// profiles went nowhere. Some answer in JSON, whatever the request was in.
func successAnswer(kind string, body []byte) answer {
	var response collectorpb.ExportProfilesServiceResponse
	var err error
	switch kind {
	case protobufType, "":
		err = proto.Unmarshal(body, &response)
	case "application/json":
		err = protojson.Unmarshal(body, &response)
	default:
		err = fmt.Errorf("its type is %q", kind)
	}
	if err != nil && len(body) > 0 {
		return answer{err: fmt.Errorf("read answer, which is not one of OTLP: %w", err)}
	}
	partial := response.GetPartialSuccess()
	return answer{rejected: partial.GetRejectedProfiles(), message: partial.GetErrorMessage()}
}

// retryAfter reads a number of seconds or a date; 0 is neither, or the past.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.Duration(min(max(seconds, 0), int64(maxServerDelay/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(date.Sub(now), 0)
	}
	return 0
}

// excerpt makes a server's text fit to be shown in a terminal.
func excerpt(text string) string {
	const limit = 300
	if len(text) > limit {
		text = text[:limit] + "…"
	}
	return strconv.Quote(validUTF8(text))
}
