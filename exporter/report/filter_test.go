package report_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/report"
)

// labelled are samples with labels, each of value 1.
func labelled() *profile.Profile {
	p := &profile.Profile{SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}}}
	for _, s := range []*profile.Sample{
		{Label: map[string][]string{"comm": {"app"}}, NumLabel: map[string][]int64{"pid": {42}}},
		{Label: map[string][]string{"comm": {"app-1"}, "container": {"web"}}, NumLabel: map[string][]int64{"pid": {43}}},
		{NumLabel: map[string][]int64{"bytes": {2048}}, NumUnit: map[string][]string{"bytes": {"bytes"}}},
		{NumLabel: map[string][]int64{"wait": {3}}, NumUnit: map[string][]string{"wait": {"ms"}}},
	} {
		s.Value = []int64{1}
		p.Sample = append(p.Sample, s)
	}
	return p
}

func TestTags(t *testing.T) {
	for _, test := range []struct {
		tags string // separated by spaces
		kept int
	}{
		{"pid=42", 1}, {"pid=42:43", 2}, {"pid=43:", 1}, {"pid=:42", 1}, {"42", 1},
		{"comm=app", 2}, {"comm=^app$", 1}, {"comm=app-1", 1}, {"comm=no,app$", 1},
		{"app", 2}, {"comm:app,container:web", 1}, {"web", 1},
		{"bytes=2kb", 1}, {"bytes=1kb:4kb", 1}, {"bytes=2048", 0}, {"bytes=2048b", 1}, {"bytes=1mb:", 0},
		// As in pprof, numbers without a unit are of any.
		{"2kb:", 3},
		{"wait=3000us", 1}, {"wait=1ms:5ms", 1}, {"wait=:2ms", 0}, {"wait=1s", 0},
		{"comm=app pid=43", 1}, {"comm=app pid=44", 0},
	} {
		filters, err := report.Filter{Tags: strings.Fields(test.tags)}.Compile()
		if err != nil {
			t.Fatal(err)
		}
		r, err := report.New(labelled(), "", filters)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(r.Profile.Sample); got != test.kept {
			t.Errorf("%s: %d samples, want %d", test.tags, got, test.kept)
		}
		if (len(r.Unmatched) > 0) != (test.kept == 0) {
			t.Errorf("%s: unmatched %q", test.tags, r.Unmatched)
		}
		if r.All != 4 {
			t.Errorf("%s: shares refer to %d, want 4", test.tags, r.All)
		}
	}
}

func TestFilterErrors(t *testing.T) {
	for want, f := range map[string]report.Filter{
		"--focus (: ":               {Focus: "("},
		"--ignore *: ":              {Ignore: "*"},
		"--hide [: ":                {Hide: "["},
		"--show a{2,1}: ":           {Show: "a{2,1}"},
		"--show-from \\: ":          {ShowFrom: "\\"},
		"--tag k=(: ":               {Tags: []string{"k=("}},
		"--tag-ignore ): ":          {TagIgnore: []string{")"}},
		"99999999999999999999 is o": {Tags: []string{"pid=99999999999999999999"}},
	} {
		_, err := f.Compile()
		var filter *report.FilterError
		if !errors.As(err, &filter) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

func TestUnknownValue(t *testing.T) {
	_, err := report.New(labelled(), "cpu", nil)
	if err == nil || err.Error() != `the profile has no value "cpu": there are samples` {
		t.Errorf("error %v", err)
	}
}

// Whatever is asked of labels: a filter or an error.
func FuzzTag(f *testing.F) {
	for _, tag := range []string{"pid=42", "1kb:4mb", "comm=a,b", "=", "-1:", "+5h", "a=:9223372036854775808"} {
		f.Add(tag)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		filters, err := report.Filter{Tags: []string{tag}}.Compile()
		if err != nil {
			return
		}
		if _, err := report.New(labelled(), "", filters); err != nil {
			t.Error(err)
		}
	})
}
