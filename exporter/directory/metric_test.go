package directory

import (
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestMetrics(t *testing.T) {
	reader := sdk.NewManualReader()
	const limit = 35_000
	e := start(t, Config{Path: t.TempDir(), MaxBytes: limit, Meter: sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")})
	now := time.Now()
	for i := range 5 {
		e.export(t, window(now.Add(time.Duration(i)*time.Second), 10_000))
	}
	e.export(t, window(now, 2*limit))

	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for _, m := range data.ScopeMetrics[0].Metrics {
		var points []metricdata.DataPoint[int64]
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			points = d.DataPoints
		case metricdata.Gauge[int64]:
			points = d.DataPoints
		}
		for _, p := range points {
			name := m.Name
			for _, a := range p.Attributes.ToSlice() {
				name += " " + a.Value.AsString()
			}
			got[name] = p.Value
		}
	}
	want := map[string]int64{
		"profiles written": 5, "samples written": 15, "deleted size": 2, "deleted age": 0, "deleted disk": 0,
		"files": 3, "size": e.Stats().Bytes, "capacity": limit,
	}
	for _, why := range reasons {
		want["profiles lost "+string(why)], want["samples lost "+string(why)] = 0, 0
	}
	want["profiles lost too_large"], want["samples lost too_large"] = 1, 3
	if len(got) != len(want) {
		t.Errorf("%d metrics, want %d: %v", len(got), len(want), got)
	}
	for name, value := range want {
		if n, ok := got["staccato.exporter.directory."+name]; !ok || n != value {
			t.Errorf("%s is %d (%v), want %d", name, n, ok, value)
		}
	}
}
