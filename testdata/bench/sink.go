package main

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// sink takes everything that an agent sends, as a collector would that has
// nothing to say, and counts the samples: each is a distinct stack.
type sink struct {
	listener net.Listener
	stacks   atomic.Int64
}

func newSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{listener: l}
	go http.Serve(l, s)
	return s, nil
}

func (s *sink) close() { s.listener.Close() }

func (s *sink) url() string { return "http://" + s.listener.Addr().String() }

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n, err := countStacks(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // which the agent logs, and drops
		return
	}
	s.stacks.Add(n)
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func countStacks(r *http.Request) (n int64, err error) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			return 0, err
		}
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return 0, err
	}
	var request collectorpb.ExportProfilesServiceRequest
	if err := proto.Unmarshal(data, &request); err != nil {
		return 0, err
	}
	for _, resource := range request.ResourceProfiles {
		for _, scope := range resource.ScopeProfiles {
			for _, p := range scope.Profiles {
				n += int64(len(p.Samples))
			}
		}
	}
	return n, nil
}
