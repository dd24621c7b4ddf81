package otlp

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"go.opentelemetry.io/otel/metric"
)

// Protocol is how requests travel. Its text is that of the variable
// OTEL_EXPORTER_OTLP_PROTOCOL.
type Protocol string

const (
	GRPC Protocol = "grpc"
	HTTP Protocol = "http/protobuf"
)

// Config says where profiles go. The zero value sends to a Collector on this
// host, unless the OTEL_EXPORTER_OTLP_… variables say otherwise: each field
// that is not set takes its variable's value, if there is one.
type Config struct {
	// Endpoint is where the server listens: http://HOST:PORT without
	// encryption, https://HOST:PORT with TLS; default http://localhost with
	// the protocol's port. HOST:PORT without either is for this host only.
	// A missing port is 4317 (gRPC) or 4318 (HTTP), and 443 after https://.
	// With HTTP, /v1development/profiles is appended when there is no path.
	Endpoint string
	// Protocol is [GRPC] (the default) or [HTTP]; "http" is taken for the
	// latter.
	Protocol Protocol
	// Headers are sent with each request.
	Headers map[string]string
	// Timeout bounds one attempt to send; default 10 s.
	Timeout time.Duration
	// Compression is "gzip" (the default) or "none".
	Compression string
	// CAFile holds certificates (PEM) of authorities to trust instead of the
	// system's.
	CAFile string
	// CertificateFile and KeyFile identify this client to the server (PEM).
	CertificateFile, KeyFile string

	// RequestBytes is the largest request before compression; default
	// [DefaultRequestBytes].
	RequestBytes int
	// QueueBytes bounds the requests that wait to be sent, not compressed;
	// default 64 MiB. When it is full, the oldest are dropped.
	QueueBytes int64
	// RetryMin and RetryMax bound the time between two attempts: it begins
	// with the one, doubles with each failure up to the other, and is varied
	// at random by up to a half. Default 1 s and 30 s.
	RetryMin, RetryMax time.Duration

	// Logger gets what happens after Export returned; default
	// [slog.Default].
	Logger *slog.Logger
	// Meter, when set, gets instruments for what [Exporter.Stats] returns.
	Meter metric.Meter

	// insecure is OTEL_EXPORTER_OTLP_INSECURE: whether an endpoint without a
	// scheme is plain. nil when it is not set.
	insecure *bool
	// base says that Endpoint is the one of all signals, so that its path is
	// to be completed even when it has one.
	base bool
}

// withDefaults fills what neither the caller nor the environment set.
func (c Config) withDefaults() (Config, error) {
	c.Protocol = cmp.Or(c.Protocol, GRPC)
	switch c.Protocol {
	case GRPC, HTTP:
	case "http":
		c.Protocol = HTTP
	default:
		return c, fmt.Errorf("OTLP protocol %q is not known: use %q or %q", c.Protocol, GRPC, HTTP)
	}
	c.Compression = cmp.Or(c.Compression, "gzip")
	if c.Compression != "gzip" && c.Compression != "none" {
		return c, fmt.Errorf("OTLP compression %q is not known: use \"gzip\" or \"none\"", c.Compression)
	}
	if (c.CertificateFile == "") != (c.KeyFile == "") {
		return c, fmt.Errorf("an OTLP client certificate needs both its certificate file and its key file: one is missing")
	}
	c.Timeout = cmp.Or(c.Timeout, 10*time.Second)
	c.RequestBytes = cmp.Or(c.RequestBytes, DefaultRequestBytes)
	c.QueueBytes = cmp.Or(c.QueueBytes, 64<<20)
	c.RetryMin = cmp.Or(c.RetryMin, time.Second)
	c.RetryMax = max(cmp.Or(c.RetryMax, 30*time.Second), c.RetryMin)
	if c.Timeout < 0 || c.RequestBytes < 0 || c.QueueBytes < 0 || c.RetryMin < 0 {
		return c, fmt.Errorf("OTLP timeout, sizes and retry times must not be negative")
	}
	for key, value := range c.Headers {
		if !validHeader(key, value) {
			return c, fmt.Errorf("OTLP header %q is not valid: names are letters, digits and -_., values printable ASCII", key)
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c, nil
}

// validHeader says whether both gRPC and HTTP can send the header. A bad one
// would fail each request, and look like a broken connection.
func validHeader(key, value string) bool {
	if key == "" {
		return false
	}
	for _, c := range []byte(key) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
