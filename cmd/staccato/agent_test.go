package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/otlp"
)

// fakeExporter counts what it is given.
type fakeExporter struct {
	exportErr, shutdownErr error

	mu       sync.Mutex
	exported int
	down     bool
}

func (f *fakeExporter) Export(context.Context, exporter.Input) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exported++
	return f.exportErr
}

func (f *fakeExporter) Shutdown(ctx context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = true
	return errors.Join(f.shutdownErr, ctx.Err())
}

func (f *fakeExporter) Stats() otlp.Stats {
	return otlp.Stats{Sent: otlp.Count{Samples: 3 * int64(f.count())}}
}

func (f *fakeExporter) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.exported
}

func TestAgent(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testApp, *fakeExporter)
		code   int
		words  string
	}{
		{"runs until SIGTERM", func(*testApp, *fakeExporter) {}, exitOK, "msg=stopped cause=terminated samples_sent="},
		{"sending fails", func(_ *testApp, f *fakeExporter) { f.exportErr = errors.New("queue full") }, exitFailure, `msg="send profile" error="send profile: queue full"`},
		{"flush fails", func(_ *testApp, f *fakeExporter) { f.shutdownErr = errors.New("unreachable") }, exitFailure, "staccato: send the profiles still waiting: unreachable"},
		{"stop fails", func(a *testApp, _ *fakeExporter) { a.fake.stopErr = errors.New("map gone") }, exitFailure, "staccato: read the last samples: map gone"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestApp(t)
			out := new(fakeExporter)
			a.newOTLP = func(c otlp.Config) (otlpExporter, error) {
				if c.Endpoint != "http://localhost:4317" || c.Protocol != "http" || c.Logger == nil {
					t.Errorf("OTLP config %+v", c)
				}
				return out, nil
			}
			test.change(&a, out)
			done := make(chan int)
			go func() {
				done <- a.run([]string{"agent", "--otlp-endpoint", "http://localhost:4317", "--otlp-protocol", "http", "--interval", "20ms"})
			}()
			waitFor(t, "three windows", func() bool { return out.count() >= 3 })
			a.signals <- syscall.SIGTERM
			if code := <-done; code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(a.err.String(), test.words) {
				t.Errorf("stderr misses %q:\n%s", test.words, a.err)
			}
			a.fake.mu.Lock()
			cuts := a.fake.cuts
			a.fake.mu.Unlock()
			// The last window comes from Stop.
			want := cuts + 1
			if a.fake.stopErr != nil {
				want = cuts
			}
			if out.count() != want || !out.down || !a.fake.closed {
				t.Errorf("exported %d of %d windows, shut down %v, closed %v", out.count(), want, out.down, a.fake.closed)
			}
			if a.fake.config.Frequency != 19 || a.fake.config.ThreadIDs {
				t.Errorf("config %+v, want 19 Hz and no thread IDs", a.fake.config)
			}
		})
	}
}

func TestAgentRefuses(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT", "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, test := range []struct {
		args  string
		code  int
		words string
	}{
		{"", exitUsage, "nowhere to send profiles to\n  Give at least one of:\n    --otlp-endpoint URL"},
		{"--otlp-endpoint http://localhost:4317 --otlp-protocol udp", exitUsage, "udp"},
		{"--otlp-endpoint http://localhost:4317 -F 0", exitUsage, "at least 1 Hz"},
		{"--otlp-endpoint http://localhost:4317 --interval 0", exitUsage, "want a time like"},
		{"--otlp-endpoint http://localhost:4317 extra", exitUsage, "unknown command"},
		{"--otlp-endpoint collector.example:4317", exitUsage, "https://collector.example:4317"},
		{"--otlp-endpoint collector.example:4317 --dir d", exitUsage, "https://collector.example:4317"},
		{"--otlp-endpoint http://localhost:4317 --dir /dev/null", exitUsage, "write profiles to /dev/null: it is there already and not a directory"},
		{"--otlp-endpoint http://localhost:4317 --dir-size 5MB", exitUsage, "--dir-size has no effect without --dir"},
		{"--otlp-endpoint http://localhost:4317 --dir-age 5m", exitUsage, "--dir-age has no effect without --dir"},
		{"--dir d --otlp-protocol http", exitUsage, "--otlp-protocol has no effect without --otlp-endpoint"},
		{"--dir d --dir-size 512", exitUsage, "want a size like 512MB or 2GiB"},
		{"--dir d --dir-age 0", exitUsage, "want a time like"},
		{"--dir d --metrics-listen 9464", exitUsage, "--metrics-listen 9464: missing port in address; want ADDRESS:PORT"},
		{"--dir d --metrics-listen :99999", exitUsage, "--metrics-listen :99999: invalid port"},
		{"--dir d --metrics-listen " + taken.Addr().String(), exitFailure, "staccato: serve metrics: listen tcp " + taken.Addr().String() + ": bind: address already in use"},
	} {
		a := newTestApp(t)
		if code := a.run(append([]string{"agent"}, strings.Fields(test.args)...)); code != test.code {
			t.Errorf("%s: exit code %d, want %d", test.args, code, test.code)
		}
		if !strings.Contains(a.err.String(), test.words) {
			t.Errorf("%s: stderr misses %q: %s", test.args, test.words, a.err)
		}
		if got := files(t); len(got) > 0 {
			t.Errorf("%s: left behind %v", test.args, got)
		}
	}
}

// The profiles of all windows are in the directory, and are what was sampled.
func TestAgentWritesFiles(t *testing.T) {
	a := newTestApp(t)
	out := new(fakeExporter)
	a.newOTLP = func(otlp.Config) (otlpExporter, error) { return out, nil }
	out.exportErr = errors.New("queue full") // which is nothing to the directory
	done := make(chan int)
	go func() {
		done <- a.run([]string{"agent", "--dir", "new/profiles", "--otlp-endpoint", "http://localhost:4317", "--interval", "20ms", "--dir-size", "1MB", "--dir-age", "1h"})
	}()
	waitFor(t, "three windows", func() bool { return out.count() >= 3 })
	a.signals <- syscall.SIGTERM
	if code := <-done; code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	written, err := filepath.Glob("new/profiles/staccato-*.pb.gz")
	if err != nil || len(written) != out.count() {
		t.Errorf("%d files of %d windows: %v", len(written), out.count(), err)
	}
	for _, path := range written {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		p, err := profile.ParseData(data)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(p.Sample) != 2 || p.Sample[0].Value[0]+p.Sample[1].Value[0] != 3 {
			t.Errorf("%s holds %v", path, p)
		}
	}
}

// What became of the samples is in the last line; a directory that cannot be
// written to at the end is a failure.
func TestAgentDirectoryAtTheEnd(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*testing.T)
		code   int
		words  string
	}{
		{"written", func(*testing.T) {}, exitOK, "msg=stopped cause=terminated samples_written=3 samples_not_written=0"},
		{"lost", func(t *testing.T) {
			if err := os.Remove("profiles"); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile("profiles", nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, exitFailure, "staccato: write the profiles still waiting: write profiles to profiles: it is there already and not a directory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestApp(t)
			done := make(chan int)
			go func() { done <- a.run([]string{"agent", "--dir", "profiles", "--interval", "1h"}) }()
			waitFor(t, "sampling", func() bool { return strings.Contains(a.err.String(), "msg=sampling") })
			test.change(t)
			a.signals <- syscall.SIGTERM
			if code := <-done; code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			if !strings.Contains(a.err.String(), test.words) {
				t.Errorf("stderr misses %q:\n%s", test.words, a.err)
			}
		})
	}
}

// An agent that cannot read samples any more ends, and sends what waits.
func TestAgentGivesUp(t *testing.T) {
	a := newTestApp(t)
	out := new(fakeExporter)
	a.newOTLP = func(otlp.Config) (otlpExporter, error) { return out, nil }
	a.fake.cutErr = errors.New("map gone")
	if code := a.run([]string{"agent", "--otlp-endpoint", "http://localhost:4317", "--interval", "1ms"}); code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	if !strings.Contains(a.err.String(), "read samples, 10 times in a row: map gone") || !out.down {
		t.Errorf("shut down %v, stderr: %s", out.down, a.err)
	}
	if n := strings.Count(a.err.String(), `msg="read samples"`); n != 1 {
		t.Errorf("%d log lines about one problem", n)
	}
}

func TestQuietHandler(t *testing.T) {
	out := new(lockedBuffer)
	h := newQuietHandler(slog.NewTextHandler(out, nil))
	begin := time.Unix(1000, 0)
	for _, seconds := range []int{0, 1, 59, 61} {
		for _, message := range []string{"a", "b"} {
			r := slog.NewRecord(begin.Add(time.Duration(seconds)*time.Second), slog.LevelError, message, 0)
			if err := h.WithAttrs([]slog.Attr{slog.Int("n", seconds)}).Handle(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := strings.Count(out.String(), "\n"); got != 4 || strings.Count(out.String(), "left_out=2") != 2 {
		t.Errorf("log:\n%s", out)
	}
}
