package otlp

import (
	"bytes"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/pprof/profile"
	"google.golang.org/protobuf/proto"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/otlp/conformance"
)

// FuzzEncode takes any pprof file: what Encode makes of it must follow the
// rules and have the same totals.
func FuzzEncode(f *testing.F) {
	own := ownProfile().Profile
	for _, limit := range []int{0, 300, -1} {
		f.Add(uncompressed(f, own), limit)
	}
	own.Sample[0].Label["\xff"] = []string{"a", "b\xfe"}
	own.Sample[1].NumLabel["thread.id"] = []int64{1, 2}
	own.Location[0].Line[0].Line = -1
	own.Mapping[0].Limit = 0
	own.PeriodType, own.Period = nil, 0
	f.Add(uncompressed(f, own), 0)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		// Slow parsing and checking of huge profiles would find nothing more.
		if len(data) > 1<<14 {
			return
		}
		p, err := profile.ParseUncompressed(data)
		if err != nil || p.CheckValid() != nil {
			return
		}
		in := exporter.Input{Profile: p}
		if limit < 0 {
			in.Side = ownProfile().Side
			limit = 0
		}
		encoded, err := Encode(in, limit)
		if err != nil {
			return
		}
		for _, r := range encoded.Requests {
			for _, err := range conformance.Check(r) {
				t.Error(err)
			}
			if _, err := proto.Marshal(r); err != nil {
				t.Error(err)
			}
		}
		sums := totals(encoded.Requests...)
		if encoded.TooLarge.Records == 0 && in.Side == nil && !maps.Equal(nonzero(sums), nonzero(cleanKeys(totalsOf(in)))) {
			t.Errorf("totals %v, want %v", sums, totalsOf(in))
		}
	})
}

func uncompressed(t testing.TB, p *profile.Profile) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := p.WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func nonzero(sums map[string]int64) map[string]int64 {
	maps.DeleteFunc(sums, func(_ string, n int64) bool { return n == 0 })
	return sums
}

func cleanKeys(sums map[string]int64) map[string]int64 {
	clean := map[string]int64{}
	for key, n := range sums {
		clean[validUTF8(key)] += n
	}
	return clean
}

// FuzzEndpoint takes any endpoint: one that is understood is never plain
// unless it says so or is on this host.
func FuzzEndpoint(f *testing.F) {
	for _, s := range []string{"localhost:1", "http://a", "https://b:2/c", "c:4317", "[::1]:3", "127.0.0.1", "http://[::1]", "a://b", ""} {
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, text string, grpc bool) {
		c := Config{Endpoint: text, Protocol: HTTP}
		if grpc {
			c.Protocol = GRPC
		}
		e, err := parseEndpoint(c)
		if err != nil {
			return
		}
		host, _, err := net.SplitHostPort(e.address)
		if err != nil {
			t.Fatalf("%q gives %q: %v", text, e.address, err)
		}
		ip, err := netip.ParseAddr(host)
		local := host == "localhost" || err == nil && ip.IsLoopback()
		if !e.tls && !local && !strings.HasPrefix(strings.ToLower(text), "http://") {
			t.Errorf("%q would be sent in the clear to %q", text, e.address)
		}
	})
}

// FuzzHTTPAnswer takes any answer of a server.
func FuzzHTTPAnswer(f *testing.F) {
	f.Add(200, "application/x-protobuf", "", []byte{})
	f.Add(200, "application/json", "", []byte(`{"partialSuccess":{"rejectedProfiles":"3"}}`))
	f.Add(503, "text/plain; charset=utf-8", "120", []byte("busy"))
	f.Add(429, "application/x-protobuf", "Wed, 21 Oct 2026 07:28:00 GMT", []byte("\x12\x02no"))
	f.Add(302, "", "-5", []byte{})
	f.Fuzz(func(t *testing.T, code int, kind, after string, body []byte) {
		response := &http.Response{StatusCode: code, Header: http.Header{"Content-Type": {kind}, "Retry-After": {after}, "Location": {after}}}
		a := httpAnswer(response, body, time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC))
		if (a.err == nil) && (code < 200 || code > 299) {
			t.Errorf("HTTP %d is success", code)
		}
		if a.after < 0 || a.retry && a.err == nil {
			t.Errorf("%+v", a)
		}
		if a.err != nil && !utf8.ValidString(a.err.Error()) {
			t.Errorf("error is not text: %q", a.err)
		}
	})
}
