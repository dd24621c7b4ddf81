package otlp

import (
	"fmt"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMetrics(t *testing.T) {
	reader := sdk.NewManualReader()
	meter := sdk.NewMeterProvider(sdk.WithReader(reader)).Meter("test")
	s := serve(t, GRPC, "", nil,
		reply{grpc: status.Error(codes.Unavailable, "no")}, reply{grpc: status.Error(codes.InvalidArgument, "no")})
	e := newExporter(t, GRPC, "http://"+s.address, func(c *Config) { c.Meter = meter })
	export(t, e)
	export(t, e)
	eventually(t, "nothing is waiting", func() bool { return e.Stats().Waiting == Count{} })

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
			outcome, _ := p.Attributes.Value("outcome")
			reason, _ := p.Attributes.Value("reason")
			got[fmt.Sprint(m.Name, " ", outcome.AsString(), " ", reason.AsString())] = p.Value
		}
	}
	const prefix = "staccato.exporter.otlp."
	for name, want := range map[string]int64{
		"samples sent ": 60, "samples dropped refused": 60, "samples dropped queue_full": 0, "profiles sent ": 3,
		"profiles rejected ": 0, "requests  ": 1, "retries  ": 1, "queue.size  ": 0, "queue.capacity  ": 64 << 20,
	} {
		if n, ok := got[prefix+name]; !ok || n != want {
			t.Errorf("%s is %d (%v), want %d", name, n, ok, want)
		}
	}
	flush(t, e, time.Second, 120)
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
}
