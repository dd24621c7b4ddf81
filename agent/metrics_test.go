package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/staccato-profiler/staccato/agent/merge"
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
		"staccato.runs":                                sum(func(s *Summary) uint64 { return s.Entries }),
		"staccato.samples/stored":                      sum(func(s *Summary) uint64 { return s.Samples }),
		"staccato.samples.lost/table full":             sum(func(s *Summary) uint64 { return s.Lost[bpf.LostTableFull] }),
		"staccato.process.samples/complete/manystacks": stacksOf("manystacks", false, first, second),
		"staccato.process.samples/truncated/badfp":     stacksOf("badfp", true, first, second),
		"staccato.samples.truncated/stack unreadable":  sum(func(s *Summary) uint64 { return s.Truncated["stack unreadable"] }),
	} {
		if want == 0 || got[name] != want {
			t.Errorf("%s is %d, the summaries say %d", name, got[name], want)
		}
	}
	if line := regexp.MustCompile(`(?m)^stacks complete, badfp \(PID \d+\): 0\.\d\d% of \d+ samples; truncated: stack `); !line.MatchString(strings.Join(first.Profile.Comments, "\n")) {
		t.Errorf("comments %q", first.Profile.Comments)
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

// stacksOf counts the samples of the processes with a name whose stack is, or is
// not, whole.
func stacksOf(name string, cut bool, profiles ...*Profile) (n int64) {
	for _, p := range profiles {
		for _, s := range userOnly(p).Profile.Sample {
			if slices.Equal(s.Label["comm"], []string{name}) && truncated(functions(s)) == cut {
				n += s.Value[0]
			}
		}
	}
	return n
}

// After the first names all others share one.
func TestNamesAreBounded(t *testing.T) {
	var all totals
	for i := range maxNames + 2 {
		all.addCompleteness([]merge.Completeness{{Name: fmt.Sprint(i), Samples: 5, Complete: 3}, {Name: "0", Samples: 1, Complete: 1}})
	}
	if len(all.complete) != maxNames+1 || all.complete["0"] != (outcomes{maxNames + 5, 2}) || all.complete["[other]"] != (outcomes{6, 4}) {
		t.Errorf("%d names: %v", len(all.complete), all.complete)
	}
}

// Indexes that are made are counted.
func TestMetricsOfIndexes(t *testing.T) {
	reader := sdk.NewManualReader()
	path := compileC(t, filepath.Join(publicDir(t), "program"), "BURN(in_program)\nint main(void) { in_program(60); return 0; }")
	target := run(t, path)
	dir := filepath.Join(t.TempDir(), "index")
	p, err := New(Config{Frequency: 499, Target: Target{PIDs: []int{target.pid()}}, Names: NamesConfig{IndexDirectory: dir, Wait: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Observe(sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if _, err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	size := int64(0)
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	got := collect(t, reader)
	if len(files) == 0 || got["staccato.indexes/built"] != int64(len(files)) || got["staccato.indexes.size"] != size {
		t.Errorf("%d files of %d bytes: %v", len(files), size, got)
	}
}

// collect reads all metrics that are whole numbers, as name or name/value of the only
// attribute.
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
