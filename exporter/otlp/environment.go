package otlp

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// withEnvironment fills fields that are not set from the environment, as
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/ says: a variable
// for profiles (OTEL_EXPORTER_OTLP_PROFILES_…) comes before the one for all
// signals, and an empty variable is none.
func (c Config) withEnvironment(getenv func(string) string) (Config, error) {
	lookup := func(name string) (value, variable string) {
		for _, prefix := range []string{"OTEL_EXPORTER_OTLP_PROFILES_", "OTEL_EXPORTER_OTLP_"} {
			if value := strings.TrimSpace(getenv(prefix + name)); value != "" {
				return value, prefix + name
			}
		}
		return "", ""
	}
	text := func(field *string, name string) {
		if *field == "" {
			*field, _ = lookup(name)
		}
	}
	if c.Endpoint == "" {
		var variable string
		c.Endpoint, variable = lookup("ENDPOINT")
		c.base = variable == "OTEL_EXPORTER_OTLP_ENDPOINT"
		if value, variable := lookup("INSECURE"); value != "" {
			insecure, err := strconv.ParseBool(strings.ToLower(value))
			if err != nil {
				return c, fmt.Errorf("read %s: %q is neither true nor false", variable, value)
			}
			c.insecure = &insecure
		}
	}
	text((*string)(&c.Protocol), "PROTOCOL")
	text(&c.Compression, "COMPRESSION")
	text(&c.CAFile, "CERTIFICATE")
	text(&c.CertificateFile, "CLIENT_CERTIFICATE")
	text(&c.KeyFile, "CLIENT_KEY")
	if value, variable := lookup("TIMEOUT"); value != "" && c.Timeout == 0 {
		ms, err := strconv.ParseInt(value, 10, 32)
		if err != nil || ms <= 0 {
			return c, fmt.Errorf("read %s: %q is not a number of milliseconds", variable, value)
		}
		c.Timeout = time.Duration(ms) * time.Millisecond
	}
	if value, variable := lookup("HEADERS"); value != "" && c.Headers == nil {
		headers, err := parseHeaders(value)
		if err != nil {
			return c, fmt.Errorf("read %s: %w", variable, err)
		}
		c.Headers = headers
	}
	return c, nil
}

// parseHeaders reads key=value,key=value with percent-encoded values. Values
// may be secrets: errors do not show them.
func parseHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for i, field := range strings.Split(text, ",") {
		if strings.TrimSpace(field) == "" {
			continue
		}
		key, value, ok := strings.Cut(field, "=")
		if key = strings.TrimSpace(key); !ok || key == "" {
			return nil, fmt.Errorf("header %d is not KEY=VALUE", i+1)
		}
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if err != nil {
			return nil, fmt.Errorf("the value of header %q has a broken %%-escape", key)
		}
		headers[key] = value
	}
	return headers, nil
}
