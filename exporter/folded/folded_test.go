package folded_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/folded"
)

// sample is one sample of a profile that build makes.
type sample struct {
	comm   string
	frames [][]string // leaf first; several names are inlined calls, innermost first
	value  int64
}

func build(samples ...sample) *profile.Profile {
	m := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x9000, File: "/usr/lib/libx.so.1"}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Mapping:    []*profile.Mapping{m},
	}
	for _, s := range samples {
		ps := &profile.Sample{Value: []int64{s.value, s.value * 1000}}
		if s.comm != "" {
			ps.Label = map[string][]string{"comm": {s.comm}}
		}
		for _, names := range s.frames {
			loc := &profile.Location{ID: uint64(len(p.Location) + 1), Mapping: m, Address: 0x1234}
			for _, name := range names {
				f := &profile.Function{ID: uint64(len(p.Function) + 1), Name: name}
				p.Function = append(p.Function, f)
				loc.Line = append(loc.Line, profile.Line{Function: f})
			}
			p.Location = append(p.Location, loc)
			ps.Location = append(ps.Location, loc)
		}
		p.Sample = append(p.Sample, ps)
	}
	return p
}

func TestWrite(t *testing.T) {
	for _, test := range []struct {
		name string
		in   []sample
		want string
	}{
		{"root first", []sample{{"app", [][]string{{"leaf"}, {"mid"}, {"main"}}, 3}}, "app;main;mid;leaf 3\n"},
		{"no comm", []sample{{"", [][]string{{"leaf"}, {"main"}}, 1}}, "main;leaf 1\n"},
		{"inlined calls", []sample{{"app", [][]string{{"inner", "outer"}, {"main"}}, 2}}, "app;main;outer;inner 2\n"},
		{"equal stacks add up", []sample{
			{"app", [][]string{{"main"}}, 2}, {"app", [][]string{{"main"}}, 5},
		}, "app;main 7\n"},
		{"sorted", []sample{
			{"b", [][]string{{"main"}}, 1}, {"a", [][]string{{"main"}}, 1}, {"a", [][]string{{"f"}, {"main"}}, 1},
		}, "a;main 1\na;main;f 1\nb;main 1\n"},
		{"unnamed", []sample{{"app", [][]string{{}, {"main"}}, 1}}, "app;main;libx.so.1+0x1234 1\n"},
		{"semicolons, newlines and spaces", []sample{
			{"a;b", [][]string{{"f[struct { A int; B\nint }]"}}, 1},
		}, "a:b;f[struct { A int: B int }] 1\n"},
		{"empty stack", []sample{{"app", nil, 4}, {"", nil, 2}}, "[no stack] 2\napp 4\n"},
		{"zero is left out", []sample{{"app", [][]string{{"main"}}, 0}}, ""},
		{"no samples", nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			for range 3 { // the order must not depend on that of a map
				var out bytes.Buffer
				if err := folded.Write(t.Context(), &out, exporter.Input{Profile: build(test.in...)}); err != nil {
					t.Fatal(err)
				}
				if out.String() != test.want {
					t.Errorf("wrote %q, want %q", out.String(), test.want)
				}
			}
		})
	}
}

func TestUnnamedWithoutMapping(t *testing.T) {
	p := build(sample{"", [][]string{{}}, 1})
	p.Location[0].Mapping = nil
	var out bytes.Buffer
	if err := folded.Write(t.Context(), &out, exporter.Input{Profile: p}); err != nil || out.String() != "0x1234 1\n" {
		t.Errorf("wrote %q, error %v", out.String(), err)
	}
}

func TestErrors(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	broken := build(sample{"app", [][]string{{"main"}}, 1})
	broken.Sample[0].Value = nil
	for _, test := range []struct {
		name string
		ctx  context.Context
		p    *profile.Profile
		want string
	}{
		{"negative value", t.Context(), build(sample{"app", [][]string{{"main"}}, -1}), "negative"},
		{"invalid profile", t.Context(), broken, "check profile"},
		{"cancelled", cancelled, build(sample{"app", [][]string{{"main"}}, 1}), "canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := folded.Write(test.ctx, new(bytes.Buffer), exporter.Input{Profile: test.p})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
}

type fullDisk struct{}

var errFull = errors.New("no space left")

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestWriterError(t *testing.T) {
	err := folded.Write(t.Context(), fullDisk{}, exporter.Input{Profile: build(sample{"app", [][]string{{"main"}}, 1})})
	if !errors.Is(err, errFull) {
		t.Errorf("error %v, want %v", err, errFull)
	}
}

// Whatever names strangers give their functions, each stack is one line that
// ends in its number, with as many parts as it has frames.
func FuzzNames(f *testing.F) {
	f.Add("comm", "leaf", "main")
	f.Add("a;b", "f\n 3", "\x00\u2028")
	f.Add("", "operator new(unsigned long)", "struct { A; B }")
	f.Fuzz(func(t *testing.T, comm, leaf, root string) {
		var out bytes.Buffer
		if err := folded.Write(t.Context(), &out, exporter.Input{Profile: build(sample{comm, [][]string{{leaf}, {root}}, 9})}); err != nil {
			t.Fatal(err)
		}
		line, ended := strings.CutSuffix(out.String(), " 9\n")
		want := 2
		if comm != "" {
			want = 3
		}
		if !ended || strings.ContainsAny(line, "\n\r") || strings.Count(line, ";") != want-1 {
			t.Errorf("%q does not have %d frames in one line", out.String(), want)
		}
	})
}
