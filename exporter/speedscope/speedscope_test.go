package speedscope_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/speedscope"
)

// example has an inlined call, code without a name, a command name, and a
// sample that only one of the values counts.
func example() *profile.Profile {
	m := &profile.Mapping{ID: 1, File: "/usr/bin/app"}
	f := func(id uint64, name string) *profile.Function {
		return &profile.Function{ID: id, Name: name, Filename: "/src/" + name + ".c"}
	}
	main, work, inner := f(1, "main"), f(2, "work"), f(3, "inner")
	inMain := &profile.Location{ID: 1, Mapping: m, Line: []profile.Line{{Function: main}}}
	inWork := &profile.Location{ID: 2, Mapping: m, Line: []profile.Line{{Function: inner}, {Function: work}}}
	unnamed := &profile.Location{ID: 3, Mapping: m, Address: 0x123}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Mapping:    []*profile.Mapping{m}, Function: []*profile.Function{main, work, inner},
		Location: []*profile.Location{inMain, inWork, unnamed},
		Sample: []*profile.Sample{
			{Location: []*profile.Location{inWork, inMain}, Value: []int64{3, 30}, Label: map[string][]string{"comm": {"app"}}},
			{Location: []*profile.Location{unnamed, inMain}, Value: []int64{1, 0}},
			{Value: []int64{1, 10}},
		},
	}
}

type document struct {
	Schema string `json:"$schema"`
	Active int    `json:"activeProfileIndex"`
	Shared struct {
		Frames []struct{ Name, File string }
	}
	Profiles []struct {
		Type, Name, Unit     string
		StartValue, EndValue int64
		Samples              [][]int
		Weights              []int64
	}
}

func write(t *testing.T, p *profile.Profile) (d document) {
	t.Helper()
	var b bytes.Buffer
	if err := speedscope.Write(t.Context(), &b, exporter.Input{Profile: p}); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.Bytes(), &d); err != nil {
		t.Fatalf("%v: %s", err, b.Bytes())
	}
	return d
}

func TestWrite(t *testing.T) {
	d := write(t, example())
	if d.Schema != "https://www.speedscope.app/file-format-schema.json" || d.Active != 1 || len(d.Profiles) != 2 {
		t.Fatalf("document %+v", d)
	}
	stacks := func(i int) (stacks []string) {
		for _, s := range d.Profiles[i].Samples {
			var names []string
			for _, n := range s {
				names = append(names, d.Shared.Frames[n].Name)
			}
			stacks = append(stacks, strings.Join(names, " "))
		}
		return stacks
	}
	if got, want := stacks(0), []string{"app main work inner", "main app+0x123", "[no stack]"}; !reflect.DeepEqual(got, want) {
		t.Errorf("stacks %q, want %q", got, want)
	}
	if got, want := stacks(1), []string{"app main work inner", "[no stack]"}; !reflect.DeepEqual(got, want) {
		t.Errorf("stacks %q, want %q", got, want)
	}
	cpu := d.Profiles[1]
	if cpu.Type != "sampled" || cpu.Name != "cpu" || cpu.Unit != "nanoseconds" || cpu.EndValue != 40 || !reflect.DeepEqual(cpu.Weights, []int64{30, 10}) {
		t.Errorf("second profile %+v", cpu)
	}
	if d.Profiles[0].Unit != "none" || d.Shared.Frames[1].File != "/src/main.c" {
		t.Errorf("first profile's unit %q, frame %+v", d.Profiles[0].Unit, d.Shared.Frames[1])
	}
}

// Lists are there, though empty: speedscope wants them.
func TestNoSamples(t *testing.T) {
	var b bytes.Buffer
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "cpu", Unit: "nanoseconds"}}}
	if err := speedscope.Write(t.Context(), &b, exporter.Input{Profile: p}); err != nil || strings.Contains(b.String(), "null") {
		t.Errorf("%v: %s", err, b.String())
	}
}

func TestErrors(t *testing.T) {
	negative := example()
	negative.Sample[0].Value[1] = -1
	broken := example()
	broken.Sample[0].Value = nil
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for want, test := range map[string]struct {
		ctx context.Context
		p   *profile.Profile
	}{
		"negative":      {t.Context(), negative},
		"check profile": {t.Context(), broken},
		"canceled":      {cancelled, example()},
	} {
		err := speedscope.Write(test.ctx, new(bytes.Buffer), exporter.Input{Profile: test.p})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if err := speedscope.Write(t.Context(), fullDisk{}, exporter.Input{Profile: example()}); !errors.Is(err, errFull) {
		t.Errorf("error %v, want %v", err, errFull)
	}
}

var errFull = errors.New("no space left")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

// Whatever names strangers give their functions, it is JSON.
func FuzzNames(f *testing.F) {
	f.Add("app", "operator<<\x00\xff\"", "a\\b")
	f.Fuzz(func(t *testing.T, comm, name, file string) {
		p := example()
		p.Sample[0].Label["comm"][0] = comm
		p.Function[0].Name, p.Mapping[0].File = name, file
		if d := write(t, p); d.Profiles[0].EndValue != 5 {
			t.Errorf("sum %d", d.Profiles[0].EndValue)
		}
	})
}
