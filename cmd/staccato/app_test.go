package main

import (
	"bytes"
	"context"

	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"go.opentelemetry.io/otel/metric"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/exporter"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// TestMain lets tests start this program as a process of its own, with a
// profiler that needs no kernel: see startProcess.
func TestMain(m *testing.M) {
	if os.Getenv("STACCATO_TEST_PROCESS") != "" {
		a := newApp()
		fake := newFake(threeSamples())
		a.newProfiler = fake.new
		a.limits = func() ([]string, error) { return nil, nil }
		os.Exit(a.run(os.Args[1:]))
	}
	os.Unsetenv("DEBUGINFOD_URLS") // some distributions set it for everyone
	os.Exit(m.Run())
}

// fakeProfiler gives the same profile at every cut.
type fakeProfiler struct {
	profile func() *agent.Profile
	// The errors of its methods.
	newErr, startErr, cutErr, stopErr error
	// onStart is called by Start, onStop by Stop; stopWaits makes Stop wait for ever.
	onStart   func(agent.Config)
	onStop    func()
	stopWaits bool
	// reading is an executable whose debugging information Stop waits for, and
	// asked how many files servers have not sent yet. With hurry Stop waits until
	// that is closed, which StopWaiting does.
	reading string
	asked   int
	hurry   chan struct{}

	mu     sync.Mutex
	config agent.Config
	cuts   int
	closed bool
}

func newFake(profile func() *agent.Profile) *fakeProfiler { return &fakeProfiler{profile: profile} }

func (f *fakeProfiler) new(config agent.Config) (profiler, error) {
	f.config = config
	if f.newErr != nil {
		return nil, f.newErr
	}
	return f, nil
}

func (f *fakeProfiler) Start() error {
	if f.onStart != nil {
		f.onStart(f.config)
	}
	return f.startErr
}

func (f *fakeProfiler) Frequency() int { return min(f.config.Frequency, 50_000) }
func (f *fakeProfiler) CPUs() int      { return 2 }

func (f *fakeProfiler) Status() agent.Status {
	return agent.Status{
		Elapsed: 18 * time.Second, Samples: 5412, BusyCPUs: 3, ProfilerCPU: 54 * time.Millisecond,
		Reading: f.reading, Waiting: 3, Asked: f.asked,
	}
}

func (f *fakeProfiler) StopWaiting() { close(f.hurry) }

func (f *fakeProfiler) Observe(metric.Meter) error { return nil }

func (f *fakeProfiler) Cut() (*agent.Profile, error) {
	f.mu.Lock()
	f.cuts++
	f.mu.Unlock()
	if f.cutErr != nil {
		return nil, f.cutErr
	}
	return f.profile(), nil
}

func (f *fakeProfiler) Stop() (*agent.Profile, error) {
	if f.onStop != nil {
		f.onStop()
	}
	if f.stopWaits {
		select {}
	}
	if f.hurry != nil {
		<-f.hurry
	} else if f.reading != "" || f.asked > 0 {
		time.Sleep(5 * lookEvery)
	}
	if f.stopErr != nil {
		return nil, f.stopErr
	}
	return f.profile(), nil
}

func (f *fakeProfiler) Close() error {
	f.closed = true
	return nil
}

func noSamples() *agent.Profile {
	return &agent.Profile{
		Input: exporter.Input{Profile: &profile.Profile{
			SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
			PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
			Period:     10_101_010, TimeNanos: time.Now().UnixNano(),
		}},
		Summary: agent.Summary{Duration: 10 * time.Second, Frequency: 99},
	}
}

// threeSamples is work ← main twice and main once, all named.
func threeSamples() func() *agent.Profile {
	return func() *agent.Profile {
		p := noSamples()
		m := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x2000, File: "/usr/bin/app"}
		main := &profile.Function{ID: 1, Name: "main"}
		work := &profile.Function{ID: 2, Name: "work"}
		inMain := &profile.Location{ID: 1, Mapping: m, Address: 0x1100, Line: []profile.Line{{Function: main}}}
		inWork := &profile.Location{ID: 2, Mapping: m, Address: 0x1200, Line: []profile.Line{{Function: work}}}
		p.Profile.Mapping = []*profile.Mapping{m}
		p.Profile.Function = []*profile.Function{main, work}
		p.Profile.Location = []*profile.Location{inMain, inWork}
		comm := map[string][]string{"comm": {"app"}}
		p.Profile.Sample = []*profile.Sample{
			{Location: []*profile.Location{inWork, inMain}, Value: []int64{2, 20_202_020}, Label: comm},
			{Location: []*profile.Location{inMain}, Value: []int64{1, 10_101_010}, Label: comm},
		}
		p.Summary = agent.Summary{Duration: 10 * time.Second, Frequency: 99, Achieved: 99, Entries: 3, Samples: 3, Complete: 1, Named: 1}
		return p
	}
}

// testApp is an app whose words can be read and whose signals can be sent.
type testApp struct {
	*app
	out, err *lockedBuffer
	signals  chan os.Signal
	fake     *fakeProfiler
}

// newTestApp also makes the test's own empty folder the working directory.
func newTestApp(t *testing.T) testApp {
	t.Helper()
	t.Chdir(t.TempDir())
	signals := make(chan os.Signal, 2)
	out, stderr := new(lockedBuffer), new(lockedBuffer)
	a := testApp{&app{stdin: strings.NewReader(""), stdout: out, stderr: stderr, args: []string{"staccato", "record", "-a"}}, out, stderr, signals, newFake(threeSamples())}
	a.newProfiler = a.fake.new
	a.interrupts = watch(signals, 0)
	a.newOTLP = newOTLP
	a.lookupEnv = func(string) (string, bool) { return "", false }
	a.doctor = func() (doctorReport, error) { return doctorReport{}, nil }
	a.limits = func() ([]string, error) { return nil, nil }
	return a
}

// files lists the working directory, hidden files included.
func files(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// golden compares with testdata/name, or rewrites it under -update.
func golden(t *testing.T, folder, name, got string) {
	t.Helper()
	file := filepath.Join(folder, "testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test ./cmd/staccato -update rewrites it):\n%s\nwant:\n%s", name, got, want)
	}
}

// waitFor waits until something is so, at most 10 s.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for !so() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// here is the folder of this package, whatever the working directory becomes.
var here = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(fmt.Sprintf("find the package's folder: %v", err))
	}
	return dir
}()
