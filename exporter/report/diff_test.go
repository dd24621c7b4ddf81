package report_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/input"
	"github.com/staccato-profiler/staccato/exporter/report"
)

// counts makes a profile of leaves below main, by their samples.
func counts(seconds int64, samples map[string]int64) *report.Report {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 1e7, DurationNanos: seconds * 1e9,
	}
	location := func(name string) *profile.Location {
		id := uint64(len(p.Location) + 1)
		l := &profile.Location{ID: id, Line: []profile.Line{{Function: &profile.Function{ID: id, Name: name}}}}
		p.Location = append(p.Location, l)
		return l
	}
	main := location("main")
	for name, n := range samples {
		p.Sample = append(p.Sample, &profile.Sample{Location: []*profile.Location{location(name), main}, Value: []int64{n, n * 1e7}})
	}
	r, err := report.New(p, "", nil)
	if err != nil {
		panic(err)
	}
	return r
}

func find(t *testing.T, d *report.Diff, name string) report.Change {
	t.Helper()
	i := slices.IndexFunc(d.Functions, func(c report.Change) bool { return c.Name == name })
	if i < 0 {
		t.Fatalf("no %s", name)
	}
	return d.Functions[i]
}

func compare(t *testing.T, before, after *report.Report, scale report.Scale) *report.Diff {
	t.Helper()
	d, err := report.Compare(before, after, scale)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCompare(t *testing.T) {
	before := counts(10, map[string]int64{"a": 600, "b": 300, "old": 100})
	after := counts(20, map[string]int64{"a": 1200, "b": 200, "fresh": 100})
	for _, test := range []struct {
		scale           report.Scale
		factor          float64
		a, b, fresh     float64 // changes of self, in samples before
		allBefore, allA float64
	}{
		{"", 0.5, 0, -200, 50, 1000, 750},
		{report.ByDuration, 0.5, 0, -200, 50, 1000, 750},
		{report.ByTotal, 1000. / 1500, 200, -300 + 400./3, 200. / 3, 1000, 1000},
		{report.NotScaled, 1, 600, -100, 100, 1000, 1500},
	} {
		d := compare(t, before, after, test.scale)
		for name, want := range map[string]float64{"a": test.a, "b": test.b, "fresh": test.fresh, "old": -100} {
			if got := find(t, d, name).Self() / 1e7; math.Abs(got-want) > 1e-6 {
				t.Errorf("%s: %s changed by %v, want %v", test.scale, name, got, want)
			}
		}
		if got := find(t, d, "main").Total() / 1e7; math.Abs(got-(test.allA-test.allBefore)) > 1e-6 {
			t.Errorf("%s: main changed by %v", test.scale, got)
		}
		if math.Abs(d.Factor-test.factor) > 1e-9 || math.Abs(d.AllAfter/1e7-test.allA) > 1e-6 {
			t.Errorf("%s: factor %v, all after %v", test.scale, d.Factor, d.AllAfter)
		}
		if c := find(t, d, "fresh"); !c.New() || c.Gone() {
			t.Errorf("fresh is not new: %+v", c)
		}
		if c := find(t, d, "old"); c.New() || !c.Gone() {
			t.Errorf("old is not gone: %+v", c)
		}
	}
}

// Without a duration it is shares that are compared, unless asked otherwise.
func TestCompareWithoutDuration(t *testing.T) {
	before, after := counts(0, map[string]int64{"a": 1}), counts(5, map[string]int64{"a": 2})
	if d := compare(t, before, after, ""); d.Scale != report.ByTotal {
		t.Errorf("scaled by %s", d.Scale)
	}
	if _, err := report.Compare(before, after, report.ByDuration); !errors.Is(err, report.ErrNoDuration) {
		t.Errorf("error %v", err)
	}
	if _, err := report.Compare(counts(0, nil), after, report.ByTotal); err == nil {
		t.Error("no error for a profile without samples")
	}
}

// Of profiles that differ by chance alone, about one change in twenty is beyond
// 2σ, and the spread is that of the standard deviation.
func TestNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	poisson := func(mean float64) (n int64) {
		for limit, p := math.Exp(-mean), random.Float64(); p > limit; p *= random.Float64() {
			n++
		}
		return n
	}
	for _, scale := range []report.Scale{report.ByDuration, report.ByTotal} {
		beyond, all := 0, 0
		var squares float64
		for range 100 {
			draw := func(seconds int64) *report.Report {
				samples := make(map[string]int64)
				for i := range 20 {
					samples[fmt.Sprint("f", i)] = poisson(float64(10+i) * float64(seconds))
				}
				// One that has most, since shares of it spread less.
				for range 5 {
					samples["most"] += poisson(100 * float64(seconds))
				}
				return counts(seconds, samples)
			}
			d := compare(t, draw(2), draw(4), scale)
			for _, c := range d.Functions {
				if c.Name == "main" {
					continue
				}
				all++
				if d.Significant(c) {
					beyond++
				}
				z := c.Self() / d.Sigma(c.SelfBefore, c.SelfAfter)
				squares += z * z
			}
		}
		share, spread := float64(beyond)/float64(all), math.Sqrt(squares/float64(all))
		if share < 0.03 || share > 0.065 || spread < 0.95 || spread > 1.05 {
			t.Errorf("%s: %.3f of all changes are beyond 2σ, spread %.3f", scale, share, spread)
		}
	}
}

// Unscaled changes are those of pprof -diff_base.
func TestChangesArePprofs(t *testing.T) {
	files := goProfiles(t)
	for _, name := range []string{"go cpu 1", "go heap debug=0"} {
		other := map[string]string{"go cpu 1": "go cpu 2", "go heap debug=0": "go allocs debug=0"}[name]
		var reports []*report.Report
		for _, file := range []string{files[name], files[other]} {
			p, err := input.Read(t.Context(), file, input.Config{})
			if err != nil {
				t.Fatal(err)
			}
			r, err := report.New(p, "1", nil)
			if err != nil {
				t.Fatal(err)
			}
			reports = append(reports, r)
		}
		d := compare(t, reports[0], reports[1], report.NotScaled)
		var got []figures
		for _, c := range d.Functions {
			if c.Self() != 0 || c.Total() != 0 {
				got = append(got, figures{c.Label(), int64(c.Self()), int64(c.Total())})
			}
		}
		want, all := top(t, runPprof(t, "-top", "-sample_index=1", "-unit="+d.Before.Value.Unit, "-diff_base="+files[name], files[other]))
		want = slices.DeleteFunc(want, func(f figures) bool { return f.self == 0 && f.total == 0 })
		if got = sortFigures(got); !slices.Equal(got, want) || name == "go cpu 1" && len(want) < 5 {
			t.Errorf("%s:\n%v\nwant:\n%v", name, differing(got, want), differing(want, got))
		}
		if all != int64(d.AllBefore) {
			t.Errorf("%s: all before %v, want %d", name, d.AllBefore, all)
		}
	}
}

func TestDifferentKinds(t *testing.T) {
	a, b := counts(1, map[string]int64{"a": 1}), counts(1, map[string]int64{"a": 1})
	b.Value.Type = "wall"
	if _, err := report.Compare(a, b, ""); err == nil || !strings.Contains(err.Error(), "one profile has cpu and the other wall") {
		t.Errorf("error %v", err)
	}
	b.Value.Type, b.Value.Unit = "cpu", "microseconds"
	d := compare(t, a, b, report.NotScaled)
	if d.Factor != 1000 {
		t.Errorf("factor %v, want 1000", d.Factor)
	}
	b.Value.Unit = "bytes"
	if _, err := report.Compare(a, b, ""); err == nil {
		t.Error("bytes were compared with nanoseconds")
	}
}

func TestCheck(t *testing.T) {
	// 2σ of a change of a is 2·√(600+700) = 72 samples or 7.2 points.
	d := compare(t, counts(10, map[string]int64{"a": 600, "b": 400}), counts(10, map[string]int64{"a": 700, "b": 399, "fresh": 50}), report.ByDuration)
	for _, test := range []struct {
		condition   string
		holds       bool
		noise       bool
		change      float64
		unmatchable bool
	}{
		{"self(^a$) > +2pt", true, false, 10, false},
		{"total(^a$)>=10pt", true, false, 10, false},
		{"self(^a$) > 10.1pt", false, false, 10, false},
		{"self(^a$) > 15%", true, false, 100. / 6, false},
		{"self(^a$) < +11pt", true, false, 10, false}, // holds without a change, too
		{"self(^b$) < 0pt", false, true, -0.1, false},
		{"self(^b$) > -1pt", true, false, -0.1, false},
		{"total(a|b|fresh) > 1pt", true, false, 14.9, false}, // each sample once
		{"total(main) > 1 pt", true, false, 14.9, false},
		{"self(main) > 1pt", false, false, 0, true},
		{"self(fresh) > 10%", true, false, math.Inf(1), false},
		{"self(no such) > 0pt", false, false, 0, true},
	} {
		c, err := report.ParseCondition(test.condition)
		if err != nil {
			t.Fatal(err)
		}
		v := d.Check(c)
		if v.Holds != test.holds || v.Noise != test.noise || v.Matched == test.unmatchable ||
			v.Change != test.change && math.Abs(v.Change-test.change) > 1e-9 {
			t.Errorf("%s: %+v", test.condition, v)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	for _, test := range []struct {
		text string
		at   int
		want string
	}{
		{"", 0, "self or total"},
		{"cum(x) > 1pt", 0, "self or total"},
		{"self x > 1pt", 5, "want ("},
		{"total", 5, "want ("},
		{"total(x", 7, "want )"},
		{"total() > 1pt", 6, "want a regular expression"},
		{"total(() > 1pt", 6, "missing closing )"},
		{"total(x) = 1pt", 9, "want >"},
		{"total(x) >", 10, "want a number"},
		{"total(x) > x", 11, "want a number"},
		{"total(x) > 1e5pt", 12, "want pt"},
		{"total(x) > 1..2pt", 11, "want a number"},
		{"total(x) > 1", 12, "want pt"},
		{"total(x) > 1pt and more", 12, "want pt"},
		{"  total(x) > 1 pts", 15, "want pt"},
	} {
		_, err := report.ParseCondition(test.text)
		var condition *report.ConditionError
		if !errors.As(err, &condition) || condition.At != test.at || !strings.Contains(condition.Want, test.want) {
			t.Errorf("%q: %#v, want %q at %d", test.text, err, test.want, test.at)
		}
	}
}

// Whatever is asked: a condition that can be checked, or an error that points
// into the text.
func FuzzCondition(f *testing.F) {
	f.Add("total(^parse) > +2pt")
	f.Add("self(a|(b)) <= -1.5 %")
	d, err := report.Compare(counts(1, map[string]int64{"a": 5}), counts(2, map[string]int64{"b": 5}), "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := report.ParseCondition(text)
		var condition *report.ConditionError
		if errors.As(err, &condition) {
			if condition.At < 0 || condition.At > len(text) {
				t.Errorf("%q: mistake at %d", text, condition.At)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if v := d.Check(c); v.Holds && v.Noise {
			t.Errorf("%q: %+v", text, v)
		}
	})
}
