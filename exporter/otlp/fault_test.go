package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

func export(t *testing.T, e *Exporter) (samples int64) {
	t.Helper()
	in := ownProfile()
	if err := e.Export(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return totalsOf(in)["samples"]
}

func TestSend(t *testing.T) {
	for _, protocol := range protocols {
		for _, compression := range []string{"gzip", "none"} {
			t.Run(string(protocol)+" "+compression, func(t *testing.T) {
				s := serve(t, protocol, "", nil)
				e := newExporter(t, protocol, "http://"+s.address, func(c *Config) {
					c.Compression = compression
					c.Headers = map[string]string{"X-Tenant": "a b", "otlp-profiles-development-version": "99"}
				})
				n := export(t, e)
				stats := flush(t, e, 10*time.Second, n)
				if stats.Sent.Samples != n || s.samples() != n {
					t.Errorf("sent %d, received %d, want %d", stats.Sent.Samples, s.samples(), n)
				}
				want := encode(t, ownProfile(), 0).Requests[0]
				if !proto.Equal(s.got[0], want) {
					t.Error("what arrived is not what was encoded")
				}
				for key, value := range map[string]string{"X-Tenant": "a b", "Otlp-Profiles-Development-Version": "1"} {
					if got := header(s, key); len(got) != 1 || got[0] != value {
						t.Errorf("header %s is %q, want %q", key, got, value)
					}
				}
				if protocol == HTTP {
					encoding := header(s, "Content-Encoding")
					if (len(encoding) == 1 && encoding[0] == "gzip") != (compression == "gzip") {
						t.Errorf("content encoding is %q", encoding)
					}
				}
			})
		}
	}
}

func header(s *server, key string) []string {
	return append(s.headers[0].Values(key), s.headers[0][strings.ToLower(key)]...)
}

func withRetryInfo(code codes.Code, d time.Duration) error {
	s, err := status.New(code, "busy").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(d)})
	if err != nil {
		panic(err)
	}
	return s.Err()
}

func httpReply(code int, header, value, contentType, body string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		if header != "" {
			w.Header().Set(header, value)
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(code)
		w.Write([]byte(body))
	}
}

// TestFaults gives each failure once and then success: what is retried must
// arrive, and what is not must be counted.
func TestFaults(t *testing.T) {
	type test struct {
		reply   reply
		arrives bool
		// error is in the message that a lost profile leaves.
		error string
	}
	tests := map[Protocol]map[string]test{GRPC: {}, HTTP: {}}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		retried := map[codes.Code]bool{codes.Canceled: true, codes.DeadlineExceeded: true, codes.Aborted: true,
			codes.OutOfRange: true, codes.Unavailable: true, codes.DataLoss: true}[code]
		tests[GRPC][code.String()] = test{reply{grpc: status.Error(code, "said so")}, retried, "said so"}
	}
	tests[GRPC]["RESOURCE_EXHAUSTED with RetryInfo"] = test{reply{grpc: withRetryInfo(codes.ResourceExhausted, time.Millisecond)}, true, ""}
	tests[GRPC]["RESOURCE_EXHAUSTED with RetryInfo of 0"] = test{reply{grpc: withRetryInfo(codes.ResourceExhausted, 0)}, true, ""}
	tests[GRPC]["INVALID_ARGUMENT with RetryInfo"] = test{reply{grpc: withRetryInfo(codes.InvalidArgument, time.Millisecond)}, false, "busy"}
	for _, code := range []int{400, 401, 403, 404, 408, 413, 418, 429, 500, 501, 502, 503, 504, 307} {
		retried := map[int]bool{429: true, 502: true, 503: true, 504: true}[code]
		tests[HTTP][fmt.Sprint(code)] = test{reply{http: httpReply(code, "", "", "text/plain", "said so")}, retried, fmt.Sprint("HTTP ", code)}
	}
	message, err := proto.Marshal(&statuspb.Status{Message: "bad\x1b[31m labels"})
	if err != nil {
		t.Fatal(err)
	}
	tests[HTTP]["400 with status"] = test{reply{http: httpReply(400, "", "", "application/x-protobuf", string(message))}, false, `bad\x1b[31m labels`}
	tests[HTTP]["503 with garbage"] = test{reply{http: httpReply(503, "Retry-After", "soon", "application/x-protobuf", "\xff\xff\xff")}, true, ""}
	tests[HTTP]["web page"] = test{reply{http: httpReply(200, "", "", "text/html", "<html>")}, false, "not one of OTLP"}
	tests[HTTP]["other JSON"] = test{reply{http: httpReply(200, "", "", "application/json", `{"ok":true}`)}, false, "not one of OTLP"}
	tests[HTTP]["dropped connection"] = test{reply{http: func(http.ResponseWriter) { panic(http.ErrAbortHandler) }}, true, ""}

	for protocol, tests := range tests {
		for name, test := range tests {
			t.Run(string(protocol)+" "+name, func(t *testing.T) {
				s := serve(t, protocol, "", nil, test.reply)
				e := newExporter(t, protocol, "http://"+s.address, nil)
				n := export(t, e)
				eventually(t, "nothing is waiting", func() bool { return e.Stats().Waiting == Count{} })
				failure := e.Stats().LastError
				stats := flush(t, e, 10*time.Second, n)
				if arrived := s.samples() == n && stats.Sent.Samples == n && stats.Retries == 1; arrived != test.arrives {
					t.Errorf("arrived: %v, want %v; %+v", arrived, test.arrives, stats)
				}
				if test.arrives {
					return
				}
				if stats.Dropped[Refused].Samples != n || s.requests() != 1 {
					t.Errorf("%d requests, %+v", s.requests(), stats)
				}
				if failure == nil || !strings.Contains(failure.Error(), test.error) || !strings.Contains(failure.Error(), s.address) {
					t.Errorf("error is %v, want one with %q and the address", failure, test.error)
				}
			})
		}
	}
}

// TestServerDelay checks that the server's wish comes before the exporter's
// own, much shorter time.
func TestServerDelay(t *testing.T) {
	const wish = time.Second
	for name, test := range map[string]struct {
		protocol Protocol
		reply    reply
	}{
		"RetryInfo":           {GRPC, reply{grpc: withRetryInfo(codes.Unavailable, wish)}},
		"Retry-After seconds": {HTTP, reply{http: httpReply(503, "Retry-After", "1", "text/plain", "")}},
		// A date has no fractions: it must be later to be at least as late.
		"Retry-After date": {HTTP, reply{http: func(w http.ResponseWriter) {
			httpReply(429, "Retry-After", time.Now().Add(wish+time.Second).UTC().Format(http.TimeFormat), "text/plain", "")(w)
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, test.protocol, "", nil, test.reply)
			e := newExporter(t, test.protocol, "http://"+s.address, nil)
			n := export(t, e)
			eventually(t, "the samples arrive", func() bool { return s.samples() == n })
			if d := s.times[1].Sub(s.times[0]); d < wish || d > 3*wish {
				t.Errorf("came back after %v, want %v", d, wish)
			}
		})
	}
}

// TestOutage makes the server fail for a while during many exports: nothing
// may be lost or sent twice.
func TestOutage(t *testing.T) {
	unavailable := reply{grpc: status.Error(codes.Unavailable, "no"), http: httpReply(503, "", "", "text/plain", "")}
	for _, protocol := range protocols {
		t.Run(string(protocol), func(t *testing.T) {
			s := serve(t, protocol, "", nil, repeat(7, unavailable)...)
			e := newExporter(t, protocol, "http://"+s.address, nil)
			var n int64
			for range 20 {
				n += export(t, e)
			}
			stats := flush(t, e, 20*time.Second, n)
			if s.samples() != n || stats.Sent.Samples != n || stats.Retries != 7 || stats.Requests != 20 {
				t.Errorf("received %d of %d: %+v", s.samples(), n, stats)
			}
			if stats.LastError != nil {
				t.Errorf("last error is still %v", stats.LastError)
			}
		})
	}
}

// TestServerComesLate starts the server after the exporter, takes it away and
// brings it back.
func TestServerComesLate(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(string(protocol), func(t *testing.T) {
			first := serve(t, protocol, "", nil)
			first.stop() // its port is free now
			e := newExporter(t, protocol, "http://"+first.address, nil)
			if err := e.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "Collector running") {
				t.Errorf("check says %v", err)
			}
			n := export(t, e)
			eventually(t, "it has failed", func() bool { return e.Stats().Retries > 1 })
			second := serve(t, protocol, first.address, nil)
			eventually(t, "the samples arrive", func() bool { return second.samples() == n })
			if err := e.Check(t.Context()); err != nil {
				t.Errorf("check says %v", err)
			}
			second.stop()
			n += export(t, e)
			third := serve(t, protocol, first.address, nil)
			flush(t, e, 10*time.Second, n)
			if got := second.samples() + third.samples(); got != n {
				t.Errorf("received %d of %d", got, n)
			}
		})
	}
}

func TestPartialSuccess(t *testing.T) {
	type partial = collectorpb.ExportProfilesPartialSuccess
	for _, protocol := range protocols {
		for name, test := range map[string]struct {
			partial        *partial
			sent, rejected Count
		}{
			"none":         {nil, Count{3, 4, 60}, Count{}},
			"empty":        {&partial{}, Count{3, 4, 60}, Count{}},
			"warning":      {&partial{ErrorMessage: "slow down"}, Count{3, 4, 60}, Count{}},
			"one":          {&partial{RejectedProfiles: 1, ErrorMessage: "bad"}, Count{2, 4, 60}, Count{Profiles: 1}},
			"all":          {&partial{RejectedProfiles: 3, ErrorMessage: "bad"}, Count{}, Count{3, 4, 60}},
			"more":         {&partial{RejectedProfiles: 9}, Count{}, Count{3, 4, 60}},
			"less than no": {&partial{RejectedProfiles: -1}, Count{3, 4, 60}, Count{}},
		} {
			t.Run(string(protocol)+" "+name, func(t *testing.T) {
				s := serve(t, protocol, "", nil, reply{partial: test.partial})
				e := newExporter(t, protocol, "http://"+s.address, nil)
				stats := flush(t, e, 10*time.Second, export(t, e))
				if stats.Sent != test.sent || stats.Rejected != test.rejected || s.requests() != 1 {
					t.Errorf("%d requests, %+v", s.requests(), stats)
				}
			})
		}
	}
}

func TestQueueOverflow(t *testing.T) {
	s := serve(t, HTTP, "", nil, repeat(1000, reply{http: httpReply(503, "Retry-After", "1", "text/plain", "")})...)
	size := int64(proto.Size(encode(t, ownProfile(), 0).Requests[0]))
	e := newExporter(t, HTTP, "http://"+s.address, func(c *Config) { c.QueueBytes = 3*size + size/2 })
	n := export(t, e)
	eventually(t, "the first is on its way", func() bool { return s.requests() == 1 })
	for range 9 {
		n += export(t, e)
	}
	stats := e.Stats()
	if stats.QueueBytes != 3*size || stats.Waiting.Samples != 3*60 || stats.Dropped[QueueFull].Samples != 7*60 {
		t.Errorf("queue of %d bytes: %+v", stats.QueueLimit, stats)
	}
	s.mu.Lock()
	s.replies = nil
	s.mu.Unlock()
	stats = flush(t, e, 10*time.Second, n)
	if s.samples() != 3*60 {
		t.Errorf("received %d: %+v", s.samples(), stats)
	}
}

func TestRequestTooLarge(t *testing.T) {
	s := serve(t, GRPC, "", nil)
	e := newExporter(t, GRPC, "http://"+s.address, func(c *Config) { c.RequestBytes = 100 })
	stats := flush(t, e, 10*time.Second, export(t, e))
	if stats.Dropped[TooLarge].Samples != 60 || s.requests() != 0 {
		t.Errorf("%d requests, %+v", s.requests(), stats)
	}
}

func TestShutdown(t *testing.T) {
	unavailable := reply{grpc: status.Error(codes.Unavailable, "no"), http: httpReply(503, "", "", "text/plain", "")}
	for _, protocol := range protocols {
		t.Run(string(protocol), func(t *testing.T) {
			s := serve(t, protocol, "", nil, repeat(100000, unavailable)...)
			e := newExporter(t, protocol, "http://"+s.address, nil)
			n := export(t, e) + export(t, e)
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			start := time.Now()
			err := e.Shutdown(ctx)
			if took := time.Since(start); took < 200*time.Millisecond || took > 2*time.Second {
				t.Errorf("took %v", took)
			}
			if err == nil || !strings.Contains(err.Error(), "120 samples") {
				t.Errorf("error is %v", err)
			}
			stats := flush(t, e, time.Second, n) // a second shutdown does nothing
			if stats.Dropped[Stopped].Samples != n {
				t.Errorf("%+v", stats)
			}
			if err := e.Export(t.Context(), ownProfile()); !errors.Is(err, ErrShutdown) {
				t.Errorf("export after the shutdown: %v", err)
			}
		})
	}
}

// TestShutdownHurries begins a shutdown during a long wait: the server has
// come back meanwhile, and gets the rest at once.
func TestShutdownHurries(t *testing.T) {
	s := serve(t, GRPC, "", nil, reply{grpc: status.Error(codes.Unavailable, "no")})
	e := newExporter(t, GRPC, "http://"+s.address, func(c *Config) { c.RetryMin = time.Hour })
	n := export(t, e)
	eventually(t, "it waits", func() bool { return e.Stats().Retries == 1 })
	if flush(t, e, 10*time.Second, n); s.samples() != n {
		t.Errorf("received %d of %d", s.samples(), n)
	}
}

// TestHangingServer checks that an attempt has an end.
func TestHangingServer(t *testing.T) {
	hang := reply{http: func(http.ResponseWriter) { time.Sleep(300 * time.Millisecond) }}
	s := serve(t, HTTP, "", nil, hang)
	e := newExporter(t, HTTP, "http://"+s.address, func(c *Config) { c.Timeout = 50 * time.Millisecond })
	n := export(t, e)
	eventually(t, "the samples arrive", func() bool { return s.samples() == n })
}
