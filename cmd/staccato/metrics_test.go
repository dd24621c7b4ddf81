package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/exporter/directory"
	"github.com/staccato-profiler/staccato/exporter/otlp"
)

// serveMetrics listens at a free port.
func serveMetrics(t *testing.T) (url string, counted *counters, health *health, log *lockedBuffer) {
	t.Helper()
	log, health = new(lockedBuffer), newHealth(time.Minute)
	m, counted, err := listenMetrics("127.0.0.1:0", health, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return servedAt(t, log), counted, health, log
}

// servedAt finds the endpoint in the log.
func servedAt(t *testing.T, log *lockedBuffer) string {
	t.Helper()
	var url string
	waitFor(t, "the endpoint", func() bool {
		found := regexp.MustCompile(`msg="serving metrics" address=(\S+)`).FindStringSubmatch(log.String())
		if found != nil {
			url = "http://" + found[1]
		}
		return found != nil
	})
	return url
}

// scrape returns the values by name and labels, and the types by name.
func scrape(t *testing.T, url string) (values map[string]float64, types map[string]string) {
	t.Helper()
	code, body := get(t, url+"/metrics", "")
	if code != http.StatusOK {
		t.Fatalf("/metrics: %d %s", code, body)
	}
	values, types = map[string]float64{}, map[string]string{}
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			types[name] = kind
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		values[line[:i]] = value
	}
	return values, types
}

// Two profiles and one that is too large, as Prometheus sees them.
func TestMetrics(t *testing.T) {
	url, counted, _, _ := serveMetrics(t)
	out, err := directory.New(directory.Config{
		Path: t.TempDir(), MaxBytes: 1000, Logger: slog.New(slog.DiscardHandler), Meter: counted.meter(),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := out.Export(t.Context(), threeSamples()().Input); err != nil {
			t.Fatal(err)
		}
	}
	large := threeSamples()()
	for i := range 1000 {
		large.Profile.Comments = append(large.Profile.Comments, strconv.Itoa(i))
	}
	if err := out.Export(t.Context(), large.Input); err != nil {
		t.Fatal(err)
	}
	if err := out.Shutdown(t.Context()); err == nil {
		t.Error("a profile beyond the limit was written")
	}

	values, types := scrape(t, url)
	const prefix = "staccato_exporter_directory_"
	for name, want := range map[string]float64{
		`profiles_total{outcome="written"}`:                  2,
		`samples_total{outcome="written"}`:                   6,
		`profiles_total{outcome="lost",reason="too_large"}`:  1,
		`samples_total{outcome="lost",reason="too_large"}`:   3,
		`profiles_total{outcome="lost",reason="no_space"}`:   0,
		`profiles_total{outcome="lost",reason="queue_full"}`: 0,
		`deleted_total{limit="age"}`:                         0,
		`deleted_total{limit="size"}`:                        0,
		`deleted_total{limit="disk"}`:                        0,
		`files`:                                              2,
		`size_bytes`:                                         float64(out.Stats().Bytes),
		`capacity_bytes`:                                     1000,
	} {
		if got, ok := values[prefix+name]; !ok || got != want {
			t.Errorf("%s%s is %v (%v), want %v", prefix, name, got, ok, want)
		}
	}
	for name, kind := range map[string]string{
		prefix + "profiles_total": "counter", prefix + "files": "gauge",
		"process_cpu_seconds_total": "counter", "process_resident_memory_bytes": "gauge",
	} {
		if types[name] != kind {
			t.Errorf("%s is a %q, want a %s", name, types[name], kind)
		}
	}
	if rss := values["process_resident_memory_bytes"]; rss < 1e6 {
		t.Errorf("this process has %v bytes", rss)
	}
	for name := range values {
		if !strings.HasPrefix(name, "staccato_") && !strings.HasPrefix(name, "process_") || strings.Contains(name, "otel_scope") {
			t.Errorf("unexpected metric %s", name)
		}
	}
	// The log's last line has the same numbers.
	all, err := counted.all()
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(all); !strings.Contains(got, "{staccato.exporter.directory.samples{written} 6}") {
		t.Errorf("counted %s", got)
	}
}

func TestMetricsEndpoint(t *testing.T) {
	url, _, health, log := serveMetrics(t)
	for _, test := range []struct {
		method, path string
		header       int // bytes
		code         int
	}{
		{"GET", "/metrics", 0, 200},
		{"HEAD", "/metrics", 0, 200},
		{"POST", "/metrics", 0, 405},
		{"GET", "/healthz", 0, 503},
		{"DELETE", "/healthz", 0, 405},
		{"GET", "/", 0, 404},
		{"GET", "/debug/pprof/", 0, 404},
		{"GET", "/metrics", 2 * maxMetricsHeader, 431},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, url+test.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Filler", strings.Repeat("x", test.header))
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != test.code {
			t.Errorf("%s %s: %d, want %d", test.method, test.path, response.StatusCode, test.code)
		}
	}
	health.started()
	if code, body := get(t, url+"/healthz", ""); code != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", code, body)
	}

	// What clients bring about is one kind of message, whoever they are.
	quiet := metricsLog{slog.New(newQuietHandler(slog.NewTextHandler(log, nil)))}
	for port := range 3 {
		fmt.Fprintf(quiet, "write to 192.0.2.1:%d: broken pipe\n", port)
	}
	if n := strings.Count(log.String(), "broken pipe"); n != 1 {
		t.Errorf("log:\n%s", log)
	}
}

// Connections beyond the limit wait until others end.
func TestMetricsConnections(t *testing.T) {
	url, _, health, _ := serveMetrics(t)
	health.started()
	var clients []*http.Client
	for range maxMetricsConnections {
		client := &http.Client{Transport: new(http.Transport)}
		response, err := client.Get(url + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil { // the connection stays
			t.Fatal(err)
		}
		response.Body.Close()
		clients = append(clients, client)
	}
	hasty := &http.Client{Transport: new(http.Transport), Timeout: 200 * time.Millisecond}
	if response, err := hasty.Get(url + "/healthz"); err == nil {
		response.Body.Close()
		t.Error("one connection more than the limit was served")
	}
	for _, client := range clients {
		client.CloseIdleConnections()
	}
	if code, _ := get(t, url+"/healthz", ""); code != 200 {
		t.Errorf("/healthz: %d", code)
	}
}

// The whole agent, from before sampling to its end.
func TestAgentMetrics(t *testing.T) {
	a := newTestApp(t)
	a.newProfiler = func(config agent.Config) (profiler, error) {
		if code, body := get(t, servedAt(t, a.err)+"/healthz", ""); code != 503 || body != "sampling has not begun\n" {
			t.Errorf("while loading: %d %q", code, body)
		}
		return a.fake.new(config)
	}
	done := make(chan int)
	go func() {
		done <- a.run([]string{"agent", "--dir", "profiles", "--interval", "20ms", "--metrics-listen", "127.0.0.1:0"})
	}()
	url := servedAt(t, a.err)
	healthz := func(code int, words string) {
		t.Helper()
		waitFor(t, fmt.Sprint("/healthz: ", code, " ", words), func() bool {
			c, body := get(t, url+"/healthz", "")
			return c == code && strings.Contains(body, words)
		})
	}
	healthz(200, "ok\n")
	const written = `staccato_exporter_directory_profiles_total{outcome="written"}`
	waitFor(t, "three profiles", func() bool { values, _ := scrape(t, url); return values[written] >= 3 })

	// A file in the directory's place, whenever the agent makes it anew.
	waitFor(t, "the name", func() bool { os.RemoveAll("profiles"); return os.WriteFile("profiles", nil, 0o600) == nil })
	healthz(503, "directory: write profiles to profiles: it is there already and not a directory\n")
	if err := os.Remove("profiles"); err != nil {
		t.Fatal(err)
	}
	healthz(200, "ok\n")

	a.signals <- syscall.SIGTERM
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d:\n%s", code, a.err)
	}
	if _, err := http.Get(url + "/healthz"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after the end: %v", err)
	}
	if !strings.Contains(a.err.String(), "staccato.exporter.directory.profiles{written}=") {
		t.Errorf("stderr:\n%s", a.err)
	}
}

func TestAgentMetricsOfFailure(t *testing.T) {
	a := newTestApp(t)
	a.fake.cutErr = errors.New("map gone")
	done := make(chan int)
	go func() {
		done <- a.run([]string{"agent", "--dir", "profiles", "--interval", "100ms", "--metrics-listen", "127.0.0.1:0"})
	}()
	url := servedAt(t, a.err)
	waitFor(t, "trouble", func() bool {
		code, body := get(t, url+"/healthz", "")
		return code == 503 && body == "read samples: map gone\n"
	})
	if code := <-done; code != exitFailure {
		t.Errorf("exit code %d", code)
	}
}

// zeros makes instruments that are all 0.
type zeros struct{ metric.Meter }

func (z zeros) RegisterCallback(_ metric.Callback, instruments ...metric.Observable) (metric.Registration, error) {
	return z.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for _, each := range instruments {
			switch each := each.(type) {
			case metric.Int64Observable:
				o.ObserveInt64(each, 0)
			case metric.Float64Observable:
				o.ObserveFloat64(each, 0)
			}
		}
		return nil
	}, instruments...)
}

// docs/CLI.md names every metric, and no other.
func TestMetricsAreDocumented(t *testing.T) {
	url, counted, _, _ := serveMetrics(t)
	meter := zeros{counted.meter()}
	if err := new(agent.Profiler).Observe(meter); err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	files, err := directory.New(directory.Config{Path: t.TempDir(), Meter: meter, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Shutdown(t.Context())
	sender, err := otlp.New(otlp.Config{Endpoint: "http://localhost:1", Meter: meter, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer sender.Shutdown(t.Context())

	documented := map[string]bool{}
	for _, name := range regexp.MustCompile("`(staccato_[a-z_]+)").FindAllStringSubmatch(readDocs(t), -1) {
		documented[name[1]] = true
	}
	_, types := scrape(t, url)
	for name := range types {
		if strings.HasPrefix(name, "staccato_") && !documented[name] {
			t.Errorf("nothing about %s (%s)", name, types[name])
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("there is no metric %s", name)
	}
}
