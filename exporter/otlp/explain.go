package otlp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// explain says what failed, why, and what to do about it.
func (e *Exporter) explain(err error) error {
	name := "gRPC"
	if e.config.Protocol == HTTP {
		name = "HTTP"
	}
	explained := fmt.Errorf("send profiles to %s over %s: %w", e.endpoint.url(), name, grpcText(err))
	if advice := e.advice(err); advice != "" {
		return fmt.Errorf("%w (%s)", explained, advice)
	}
	return explained
}

// grpcText leaves out the words that gRPC puts before its messages.
func grpcText(err error) error {
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	return fmt.Errorf("%s: %s", s.Code(), strings.Trim(excerpt(s.Message()), `"`))
}

func (e *Exporter) advice(err error) string {
	text := err.Error()
	contains := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case contains("x509:"):
		return "the server's certificate is not trusted: name its authority with OTEL_EXPORTER_OTLP_CERTIFICATE"
	case contains("does not look like a TLS handshake", "server gave HTTP response to HTTPS client"):
		return "the server does not speak TLS: use http:// instead of https://"
	case contains("malformed HTTP response", "readLoopPeekFail", "server preface", "http2: frame too large"):
		return "the server speaks another protocol: use the other of grpc and http/protobuf, or its port, or https://"
	case contains("connect: ", "no such host"):
		return "is an OpenTelemetry Collector running there?"
	}
	return e.adviceOnStatus(err)
}

func (e *Exporter) adviceOnStatus(err error) string {
	var http *statusError
	code := codes.OK
	if errors.As(err, &http) {
		code = codeOf(http.code)
	} else if s, ok := status.FromError(err); ok {
		code = s.Code()
	}
	switch code {
	case codes.Unimplemented:
		return "the server takes no profiles: a Collector needs a profiles pipeline and --feature-gates=+service.profilesSupport"
	case codes.Unauthenticated, codes.PermissionDenied:
		return "set the credentials in OTEL_EXPORTER_OTLP_HEADERS"
	case codes.ResourceExhausted:
		return fmt.Sprintf("the server's limit on size or rate is below ours of %d bytes a request", e.config.RequestBytes)
	}
	return ""
}

// codeOf returns the gRPC code that stands for the same as an HTTP status.
func codeOf(status int) codes.Code {
	switch status {
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return codes.Unimplemented
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return codes.ResourceExhausted
	}
	return codes.Unknown
}
