package otlp

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

// server is an OTLP server on loopback for both protocols. It keeps what it
// accepted, and fails as it was told.
type server struct {
	collectorpb.UnimplementedProfilesServiceServer
	protocol Protocol
	address  string
	stop     func()

	mu sync.Mutex
	// replies are used up one per request; after them, all is accepted.
	replies []reply
	got     []*collectorpb.ExportProfilesServiceRequest
	headers []http.Header
	times   []time.Time
}

// reply is what a request gets; nil parts are success.
type reply struct {
	grpc    error
	http    func(http.ResponseWriter)
	partial *collectorpb.ExportProfilesPartialSuccess
}

var protocols = []Protocol{GRPC, HTTP}

// serve starts a server, on a free port when address is empty.
func serve(t *testing.T, protocol Protocol, address string, security *credentialPair, replies ...reply) *server {
	t.Helper()
	if address == "" {
		address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{protocol: protocol, address: listener.Addr().String(), replies: replies}
	if protocol == HTTP {
		h := &http.Server{Handler: http.HandlerFunc(s.serveHTTP)}
		if security != nil {
			h.TLSConfig = security.config
			go h.ServeTLS(listener, "", "")
		} else {
			go h.Serve(listener)
		}
		s.stop = sync.OnceFunc(func() { h.Close() })
	} else {
		var options []grpc.ServerOption
		if security != nil {
			options = append(options, grpc.Creds(credentials.NewTLS(security.config)))
		}
		g := grpc.NewServer(options...)
		collectorpb.RegisterProfilesServiceServer(g, s)
		go g.Serve(listener)
		s.stop = sync.OnceFunc(g.Stop)
	}
	t.Cleanup(s.stop)
	return s
}

func (s *server) receive(request *collectorpb.ExportProfilesServiceRequest, header http.Header) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.headers = append(s.headers, header)
	s.times = append(s.times, time.Now())
	var r reply
	if len(s.replies) > 0 {
		r, s.replies = s.replies[0], s.replies[1:]
	}
	if r.grpc == nil && r.http == nil {
		s.got = append(s.got, request)
	}
	return r
}

func (s *server) Export(ctx context.Context, request *collectorpb.ExportProfilesServiceRequest) (*collectorpb.ExportProfilesServiceResponse, error) {
	header := http.Header{}
	md, _ := metadata.FromIncomingContext(ctx)
	for key, values := range md {
		for _, v := range values {
			header.Add(key, v)
		}
	}
	r := s.receive(request, header)
	if r.grpc != nil {
		return nil, r.grpc
	}
	return &collectorpb.ExportProfilesServiceResponse{PartialSuccess: r.partial}, nil
}

func (s *server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" && err == nil {
		var z *gzip.Reader
		if z, err = gzip.NewReader(bytes.NewReader(body)); err == nil {
			body, err = io.ReadAll(z)
		}
	}
	request := &collectorpb.ExportProfilesServiceRequest{}
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1development/profiles" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not an OTLP request", http.StatusTeapot)
		return
	}
	reply := s.receive(request, r.Header)
	if reply.http != nil {
		reply.http(w)
		return
	}
	out, err := proto.Marshal(&collectorpb.ExportProfilesServiceResponse{PartialSuccess: reply.partial})
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.Write(out)
}

// samples returns the sum of all samples that were accepted.
func (s *server) samples() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return totals(s.got...)["samples"]
}

func (s *server) requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.headers)
}

// newExporter returns an exporter to the address that retries fast.
func newExporter(t *testing.T, protocol Protocol, url string, change func(*Config)) *Exporter {
	t.Helper()
	config := Config{
		Endpoint: url, Protocol: protocol, Timeout: 5 * time.Second,
		RetryMin: 10 * time.Millisecond, RetryMax: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if change != nil {
		change(&config)
	}
	e, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		e.Shutdown(ctx)
	})
	return e
}

// flush waits until everything is sent or lost, and checks that the counters
// add up to what was exported.
func flush(t *testing.T, e *Exporter, timeout time.Duration, exported int64) Stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Logf("shutdown: %v", err)
	}
	s := e.Stats()
	if got := s.Sent.Samples + s.Rejected.Samples + s.Lost().Samples; got != exported {
		t.Errorf("%d samples sent, rejected and dropped, but %d exported: %+v", got, exported, s)
	}
	if s.Waiting != (Count{}) || s.QueueBytes != 0 {
		t.Errorf("after the shutdown, %+v is waiting in %d bytes", s.Waiting, s.QueueBytes)
	}
	return s
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after 20 s still not: %s", what)
		}
	}
}

func repeat(n int, r reply) []reply { return slices.Repeat([]reply{r}, n) }
