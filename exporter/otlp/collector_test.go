package otlp_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"os/exec"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/otlp"
	"github.com/staccato-profiler/staccato/exporter/otlp/collectortest"
)

// busyProfile returns a profile of this test at work, made by Go's runtime and
// given what staccato adds: process and host.
func busyProfile(t *testing.T) exporter.Input {
	t.Helper()
	var file bytes.Buffer
	if err := pprof.StartCPUProfile(&file); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); time.Since(start) < 500*time.Millisecond; {
		hash()
	}
	pprof.StopCPUProfile()
	p, err := profile.ParseData(file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range p.Sample {
		s.NumLabel = map[string][]int64{"pid": {int64(i%2 + 1)}}
		s.Label = map[string][]string{"comm": {"test"}, "thread_comm": {"worker"}}
	}
	return exporter.Input{Profile: p, Side: &exporter.Side{Host: []attribute.KeyValue{semconv.HostName("test")}}}
}

var block [1 << 16]byte

//go:noinline
func hash() { sha256.Sum256(block[:]) }

func newExporter(t *testing.T, protocol otlp.Protocol, address string) *otlp.Exporter {
	t.Helper()
	e, err := otlp.New(otlp.Config{Endpoint: "http://" + address, Protocol: protocol, RetryMin: 50 * time.Millisecond, RetryMax: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func shutdown(t *testing.T, e *otlp.Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := e.Shutdown(ctx); err != nil {
		t.Error(err)
	}
}

func same(t *testing.T, what string, got, want collectortest.Totals) {
	t.Helper()
	if got.Samples != want.Samples || !maps.Equal(got.Functions, want.Functions) {
		t.Errorf("%s: got %v\nwant %v", what, got, want)
	}
}

// TestCollector sends profiles to an OpenTelemetry Collector and compares what
// it wrote with the profiles.
func TestCollector(t *testing.T) {
	if testing.Short() {
		t.Skip("building an OpenTelemetry Collector takes long")
	}
	binary := collectortest.Build(t, "")
	for _, protocol := range []otlp.Protocol{otlp.GRPC, otlp.HTTP} {
		t.Run(string(protocol), func(t *testing.T) {
			collector := collectortest.New(t, binary)
			address := collector.GRPC
			if protocol == otlp.HTTP {
				address = collector.HTTP
			}
			collector.Start(t)
			e := newExporter(t, protocol, address)
			if err := e.Check(t.Context()); err != nil {
				t.Error(err)
			}
			in := busyProfile(t)
			want := collectortest.OfProfile(in.Profile)
			const function = "github.com/staccato-profiler/staccato/exporter/otlp_test.hash"
			if want.Functions[function] == 0 {
				t.Fatalf("the profile has no samples of %s: %v", function, want)
			}
			if err := e.Export(t.Context(), in); err != nil {
				t.Fatal(err)
			}
			same(t, "sent once", collector.WaitFor(t, want.Samples, 10*time.Second), want)

			// Exported while it is down, and received when it is back.
			collector.Stop(t)
			profiles := []*profile.Profile{in.Profile}
			for range 10 {
				if err := e.Export(t.Context(), in); err != nil {
					t.Fatal(err)
				}
				profiles = append(profiles, in.Profile)
			}
			for deadline := time.Now().Add(10 * time.Second); e.Stats().Retries == 0 && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
			if s := e.Stats(); s.Retries == 0 || s.LastError == nil || s.Waiting.Samples != 10*want.Samples {
				t.Errorf("while the collector is down: %+v", s)
			}
			collector.Start(t)
			shutdown(t, e)
			all := collectortest.OfProfile(profiles...)
			same(t, "after it came back", collector.WaitFor(t, all.Samples, 10*time.Second), all)
			if s := e.Stats(); s.Sent.Samples != all.Samples || s.Lost() != (otlp.Count{}) {
				t.Errorf("counters are %+v", s)
			}
			collector.Stop(t)
			same(t, "after it ended", collector.Received(t), all)
		})
	}
}

// TestSecondDecoder reads the same with a later version of the decoder that
// Collectors use, which also checks the version header.
func TestSecondDecoder(t *testing.T) {
	if testing.Short() {
		t.Skip("building it takes long")
	}
	command := exec.Command(collectortest.Build(t, "sink"))
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
	})
	lines := bufio.NewReader(out)
	address, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	e := newExporter(t, otlp.GRPC, strings.TrimSpace(address))
	in := busyProfile(t)
	if err := e.Export(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	shutdown(t, e)
	if s := e.Stats(); s.Sent.Profiles == 0 || s.Retries != 0 {
		t.Fatalf("it did not take the profile: %+v", s)
	}
	line, err := lines.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	total := got[""]
	delete(got, "")
	same(t, "pdata", collectortest.Totals{Samples: total, Functions: got}, collectortest.OfProfile(in.Profile))
}
