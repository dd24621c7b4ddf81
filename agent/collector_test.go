package agent

import (
	"bytes"
	"context"
	"maps"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/otlp"
	"github.com/staccato-profiler/staccato/exporter/otlp/collectortest"
	"github.com/staccato-profiler/staccato/exporter/pprof"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// TestKernelToCollector samples the whole host, sends each cut to a real
// OpenTelemetry Collector and writes it as pprof. What the Collector writes
// must name the workload's functions and add up to the pprof files, even
// though it is stopped and started again meanwhile.
func TestKernelToCollector(t *testing.T) {
	binary := collectortest.Build(t, "")
	program := workloads.Build(t, "c/split.c")
	for _, protocol := range []otlp.Protocol{otlp.GRPC, otlp.HTTP} {
		t.Run(string(protocol), func(t *testing.T) {
			defer startWorkload(t, program, "120")()
			collector := collectortest.New(t, binary)
			collector.Start(t)
			address := collector.GRPC
			if protocol == otlp.HTTP {
				address = collector.HTTP
			}
			out, err := otlp.New(otlp.Config{
				Endpoint: "http://" + address, Protocol: protocol,
				RetryMin: 50 * time.Millisecond, RetryMax: 500 * time.Millisecond,
			})
			if err != nil {
				t.Fatal(err)
			}
			p, err := New(Config{Frequency: 199, Window: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			var written []*profile.Profile
			send := func(cut *Profile, err error) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				var file bytes.Buffer
				if err := pprof.Write(t.Context(), &file, cut.Input); err != nil {
					t.Fatal(err)
				}
				back, err := profile.Parse(&file)
				if err != nil {
					t.Fatal(err)
				}
				written = append(written, back)
				if err := out.Export(t.Context(), cut.Input); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 4 {
				time.Sleep(time.Second)
				send(p.Cut())
				switch i {
				case 0:
					// What was accepted is on the disk before it is stopped.
					first := collectortest.OfProfile(written...)
					collector.WaitFor(t, first.Samples, 20*time.Second)
					collector.Stop(t)
				case 2:
					collector.Start(t)
				}
			}
			send(p.Stop())
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := out.Shutdown(ctx); err != nil {
				t.Fatal(err)
			}
			stats := out.Stats()
			if lost := stats.Lost(); lost.Samples != 0 || stats.Retries == 0 {
				t.Errorf("lost %+v, %d retries", lost, stats.Retries)
			}
			want := collectortest.OfProfile(written...)
			got := collector.WaitFor(t, want.Samples, 20*time.Second)
			if got.Samples != want.Samples || !maps.Equal(got.Functions, want.Functions) {
				t.Errorf("the Collector has %d samples, the pprof files %d; functions are equal: %v",
					got.Samples, want.Samples, maps.Equal(got.Functions, want.Functions))
			}
			for _, name := range []string{"main", "sixty", "thirty", "ten"} {
				if got.Functions[name] == 0 {
					t.Errorf("the Collector has no %s", name)
				}
			}
			if sixty := float64(got.Functions["sixty"]) / float64(got.Functions["main"]); sixty < 0.5 || sixty > 0.7 {
				t.Errorf("sixty has a share of %.2f", sixty)
			}
			t.Logf("%d samples, %d functions, %d requests, %d retries", got.Samples, len(got.Functions), stats.Requests, stats.Retries)
		})
	}
}
