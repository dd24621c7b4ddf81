package agent

import (
	"context"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// TestMetrics compares the metrics with the summary of the same run.
func TestMetrics(t *testing.T) {
	reader := sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")
	// One program fills the table, the other's stack cannot be walked.
	defer startWorkload(t, workloads.Build(t, "c/manystacks.c"), "3")()
	defer startWorkload(t, workloads.Build(t, "c/badfp.c"), "3")()
	p, err := New(Config{Frequency: 4999, tableSize: 64, noEarlyRead: true, Window: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	closeOnce := sync.OnceValue(p.Close)
	defer closeOnce()
	if err := p.Observe(meter); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	first, err := p.Cut()
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	second, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	got := collect(t, reader)
	sum := func(of func(*Summary) uint64) int64 { return int64(of(&first.Summary) + of(&second.Summary)) }
	for name, want := range map[string]int64{
		"staccato.runs":                               sum(func(s *Summary) uint64 { return s.Entries }),
		"staccato.samples/stored":                     sum(func(s *Summary) uint64 { return s.Samples }),
		"staccato.samples.lost/table full":            sum(func(s *Summary) uint64 { return s.Lost[bpf.LostTableFull] }),
		"staccato.samples.truncated/stack unreadable": sum(func(s *Summary) uint64 { return s.Truncated["stack unreadable"] }),
	} {
		if want == 0 || got[name] != want {
			t.Errorf("%s is %d, the summaries say %d", name, got[name], want)
		}
	}
	if got["staccato.bpf.map.size"] < 1<<20 {
		t.Errorf("BPF maps of %d bytes", got["staccato.bpf.map.size"])
	}

	// The kernel side must not be read when it is gone.
	if err := closeOnce(); err != nil {
		t.Error(err)
	}
	if left := collect(t, reader); len(left) > 0 {
		t.Errorf("after Close: %v", left)
	}
}

// collect reads all metrics, as name or name/value of the only attribute.
func collect(t *testing.T, reader sdk.Reader) map[string]int64 {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &data); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]int64)
	add := func(name string, points []metricdata.DataPoint[int64]) {
		for _, p := range points {
			key := name
			for _, a := range p.Attributes.ToSlice() {
				key += "/" + a.Value.AsString()
			}
			all[key] = p.Value
		}
	}
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				add(m.Name, d.DataPoints)
			case metricdata.Gauge[int64]:
				add(m.Name, d.DataPoints)
			}
		}
	}
	return all
}
