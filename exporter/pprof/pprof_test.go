package pprof_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/pprof"
)

// twoStacks is 3 samples of main → work → inlined, and 1 of main.
func twoStacks() *profile.Profile {
	m := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x2000, File: "/usr/bin/app", BuildID: "abcd", HasFunctions: true}
	main := &profile.Function{ID: 1, Name: "main", SystemName: "main"}
	work := &profile.Function{ID: 2, Name: "work", SystemName: "work"}
	inlined := &profile.Function{ID: 3, Name: "inlined", SystemName: "inlined"}
	locMain := &profile.Location{ID: 1, Mapping: m, Address: 0x1100, Line: []profile.Line{{Function: main, Line: 5}}}
	locWork := &profile.Location{ID: 2, Mapping: m, Address: 0x1200, Line: []profile.Line{{Function: inlined, Line: 8}, {Function: work, Line: 9}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     10_000_000,
		TimeNanos:  1, DurationNanos: 1_000_000_000,
		Sample: []*profile.Sample{
			{Location: []*profile.Location{locWork, locMain}, Value: []int64{3, 30_000_000}, NumLabel: map[string][]int64{"pid": {42}}},
			{Location: []*profile.Location{locMain}, Value: []int64{1, 10_000_000}, NumLabel: map[string][]int64{"pid": {43}}},
		},
		Mapping:  []*profile.Mapping{m},
		Function: []*profile.Function{main, work, inlined},
		Location: []*profile.Location{locMain, locWork},
	}
}

// The reader is Go's own pprof.
func TestGoToolPprofReads(t *testing.T) {
	for name, write := range map[string]func(context.Context, *os.File, exporter.Input) error{
		"p.pb.gz": func(ctx context.Context, f *os.File, in exporter.Input) error { return pprof.Write(ctx, f, in) },
		"p.pb": func(ctx context.Context, f *os.File, in exporter.Input) error {
			return pprof.WriteUncompressed(ctx, f, in)
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), name)
			f, err := os.Create(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := write(t.Context(), f, exporter.Input{Profile: twoStacks()}); err != nil {
				t.Fatal(err)
			}
			f.Close()

			top := goToolPprof(t, "-top", file)
			for _, want := range []string{
				"Type: cpu", "Total samples = 40ms",
				"30ms 75.00% 75.00%       30ms 75.00%  inlined",
				"10ms 25.00%   100%       40ms   100%  main",
				"0     0%   100%       30ms 75.00%  work",
			} {
				if !strings.Contains(top, want) {
					t.Errorf("-top misses %q:\n%s", want, top)
				}
			}
			raw := goToolPprof(t, "-raw", file)
			for _, want := range []string{"samples/count cpu/nanoseconds", "/usr/bin/app abcd [FN]", "pid:[42]"} {
				if !strings.Contains(raw, want) {
					t.Errorf("-raw misses %q:\n%s", want, raw)
				}
			}
			focused := goToolPprof(t, "-tagfocus=pid=43", "-top", file)
			if !strings.Contains(focused, "10ms 25.00%") || strings.Contains(focused, "inlined") {
				t.Errorf("-tagfocus=pid=43 does not choose process 43:\n%s", focused)
			}
		})
	}
}

func goToolPprof(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"tool", "pprof"}, args...)...)
	cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go tool pprof %v: %v\n%s", args, err, stderr.Bytes())
	}
	return string(out)
}

func TestInvalidProfileWritesNothing(t *testing.T) {
	p := twoStacks()
	p.Sample[0].Value = []int64{1} // two are due
	var out bytes.Buffer
	if err := pprof.Write(t.Context(), &out, exporter.Input{Profile: p}); err == nil {
		t.Error("a sample with too few values was accepted")
	}
	if out.Len() != 0 {
		t.Errorf("%d bytes were written", out.Len())
	}
}

func TestWriteStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := pprof.Write(ctx, &out, exporter.Input{Profile: twoStacks()}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
