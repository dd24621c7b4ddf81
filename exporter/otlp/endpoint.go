package otlp

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// path is where OTLP/HTTP takes profiles while they are in development.
const path = "/v1development/profiles"

// endpoint is where requests go.
type endpoint struct {
	tls bool
	// address is HOST:PORT.
	address string
	// path is for HTTP.
	path string
}

// url is the whole of it, for requests and for messages.
func (e endpoint) url() string {
	scheme := "http"
	if e.tls {
		scheme = "https"
	}
	return (&url.URL{Scheme: scheme, Host: e.address, Path: e.path}).String()
}

// parseEndpoint understands Config.Endpoint. It does not look up the host.
func parseEndpoint(c Config) (endpoint, error) {
	text := cmp.Or(c.Endpoint, "http://localhost")
	if !strings.Contains(text, "://") {
		scheme, err := schemeFor(text, c.insecure)
		if err != nil {
			return endpoint{}, err
		}
		text = scheme + "://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return endpoint{}, fmt.Errorf("read OTLP endpoint %q: %w", c.Endpoint, err)
	}
	e := endpoint{tls: u.Scheme == "https"}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return endpoint{}, fmt.Errorf("read OTLP endpoint %q: scheme %q is not known: use http:// (plain) or https:// (TLS)", c.Endpoint, u.Scheme)
	case u.Hostname() == "":
		return endpoint{}, fmt.Errorf("read OTLP endpoint %q: there is no host", c.Endpoint)
	case u.User != nil:
		return endpoint{}, fmt.Errorf("read OTLP endpoint: it must not hold a password: use OTEL_EXPORTER_OTLP_HEADERS")
	case u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, fmt.Errorf("read OTLP endpoint %q: it must end with the path", c.Endpoint)
	}
	port := cmp.Or(u.Port(), defaultPort(c.Protocol, e.tls))
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return endpoint{}, fmt.Errorf("read OTLP endpoint %q: port %q is not in 1 to 65535", c.Endpoint, port)
	}
	e.address = net.JoinHostPort(u.Hostname(), port)
	bare := u.Path == "" || u.Path == "/"
	switch {
	case c.Protocol == GRPC && !bare && !c.base:
		return endpoint{}, fmt.Errorf("read OTLP endpoint %q: gRPC has no path: leave %q out, or use protocol %s", c.Endpoint, u.Path, HTTP)
	case c.Protocol == GRPC:
	case bare || c.base:
		e.path = strings.TrimSuffix(u.Path, "/") + path
	default:
		e.path = u.Path
	}
	return e, nil
}

func defaultPort(p Protocol, tls bool) string {
	switch {
	case tls:
		return "443"
	case p == HTTP:
		return "4318"
	}
	return "4317"
}

// schemeFor decides about an endpoint that does not say whether it is
// encrypted. Profiles are not sent over a network in the clear by oversight.
func schemeFor(address string, insecure *bool) (string, error) {
	if insecure != nil {
		if *insecure {
			return "http", nil
		}
		return "https", nil
	}
	host := address
	if h, _, err := net.SplitHostPort(address); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	if host == "localhost" || err == nil && ip.IsLoopback() {
		return "http", nil
	}
	return "", fmt.Errorf("OTLP endpoint %q does not say whether to encrypt: use https://%s (TLS) or http://%s (plain)", address, address, address)
}
