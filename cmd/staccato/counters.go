package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// counters are the OpenTelemetry metrics of one run.
type counters struct {
	reader   *sdk.ManualReader
	provider *sdk.MeterProvider
}

// newCounters also lets others read them, such as a metrics endpoint.
func newCounters(others ...sdk.Reader) *counters {
	reader := sdk.NewManualReader()
	options := []sdk.Option{sdk.WithReader(reader)}
	for _, other := range others {
		options = append(options, sdk.WithReader(other))
	}
	return &counters{reader, sdk.NewMeterProvider(options...)}
}

// meter is where the parts of the program register their metrics.
func (c *counters) meter() metric.Meter {
	return c.provider.Meter("github.com/staccato-profiler/staccato")
}

// counted is the value of one metric for one set of attributes.
type counted struct {
	name  string // with the attributes' values in braces
	value any    // int64, or float64 for seconds
}

// text is the value for people.
func (c counted) text() string {
	if f, ok := c.value.(float64); ok {
		return strconv.FormatFloat(f, 'f', 2, 64)
	}
	return thousands(uint64(c.value.(int64)))
}

// all returns what is not 0, sorted by name.
func (c *counters) all() ([]counted, error) {
	var data metricdata.ResourceMetrics
	if err := c.reader.Collect(context.Background(), &data); err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	var list []counted
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch d := m.Data.(type) {
			case metricdata.Sum[int64]:
				list = append(list, notZero(m.Name, d.DataPoints)...)
			case metricdata.Gauge[int64]:
				list = append(list, notZero(m.Name, d.DataPoints)...)
			case metricdata.Sum[float64]:
				list = append(list, notZero(m.Name, d.DataPoints)...)
			}
		}
	}
	slices.SortFunc(list, func(a, b counted) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// notZero returns the values of a metric that are not 0.
func notZero[N int64 | float64](name string, points []metricdata.DataPoint[N]) (list []counted) {
	for _, p := range points {
		var values []string
		for _, a := range p.Attributes.ToSlice() {
			values = append(values, a.Value.AsString())
		}
		n := name
		if len(values) > 0 {
			n += "{" + strings.Join(values, ", ") + "}"
		}
		if p.Value != 0 {
			list = append(list, counted{n, p.Value})
		}
	}
	return list
}

// print writes a table for people.
func (c *counters) print(w io.Writer) error {
	list, err := c.all()
	if err != nil {
		return err
	}
	for _, each := range list {
		fmt.Fprintf(w, "  %14s  %s\n", each.text(), printable(each.name))
	}
	return nil
}

// log writes one line with everything.
func (c *counters) log(logger *slog.Logger) error {
	list, err := c.all()
	if err != nil {
		return err
	}
	var args []any
	for _, each := range list {
		args = append(args, each.name, each.value)
	}
	logger.Info("counted", args...)
	return nil
}
