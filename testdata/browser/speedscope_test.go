package browser

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/speedscope"
)

// speedscope itself opens a file of exporter/speedscope and shows its totals.
func TestSpeedscopeOpens(t *testing.T) {
	m := &profile.Mapping{ID: 1, File: "/usr/bin/app"}
	location := func(id uint64, name string) *profile.Location {
		return &profile.Location{ID: id, Mapping: m, Line: []profile.Line{{Function: &profile.Function{ID: id, Name: name, Filename: "/src/app.c"}}}}
	}
	main, parse, write := location(1, "main"), location(2, "parse_everything"), location(3, "write_it_out")
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Mapping:    []*profile.Mapping{m}, Location: []*profile.Location{main, parse, write},
	}
	for _, l := range p.Location {
		p.Function = append(p.Function, l.Line[0].Function)
	}
	for _, s := range []*profile.Sample{
		{Location: []*profile.Location{parse, main}, Value: []int64{60, 600e6}},
		{Location: []*profile.Location{write, main}, Value: []int64{15, 150e6}},
	} {
		s.Label = map[string][]string{"comm": {"app"}}
		p.Sample = append(p.Sample, s)
	}
	var file bytes.Buffer
	if err := speedscope.Write(t.Context(), &file, exporter.Input{Profile: p}); err != nil {
		t.Fatal(err)
	}

	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir("speedscope/node_modules/speedscope/dist/release")))
	mux.HandleFunc("/profile.speedscope.json", func(w http.ResponseWriter, _ *http.Request) { w.Write(file.Bytes()) })
	server := httptest.NewServer(mux)
	defer server.Close()

	tab := &tab{t: t, ctx: browserContext(t)}
	tab.run(chromedp.Navigate(server.URL + "/#profileURL=/profile.speedscope.json"))
	// The sandwich view is a table of text.
	var shown string
	for range 50 {
		tab.press("3")
		time.Sleep(200 * time.Millisecond)
		if shown = eval[string](tab, "document.body.innerText"); strings.Contains(shown, "parse_everything") {
			break
		}
	}
	// Cells are lines; columns are total, self, name.
	rows := strings.Join(strings.Fields(shown), " ")
	for _, want := range []string{
		"cpu (2/2)", // the kind of value that is the default
		"750.00ms (100%) 0.00ns (<0.01%) main",
		"600.00ms (80%) 600.00ms (80%) parse_everything",
		"150.00ms (20%) 150.00ms (20%) write_it_out",
	} {
		if !strings.Contains(rows, want) {
			t.Errorf("speedscope does not show %q:\n%s", want, rows)
		}
	}
}
