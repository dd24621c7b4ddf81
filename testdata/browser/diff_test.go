package browser

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

type changedBox struct {
	Path, Verdict, Colour string
	Before, Total, Change float64
}

const changedScript = `staccato.graph.rows.flat().filter((c) => c.box.parent).map(({box}) => ({
	path: box.path().map((b) => "\n" + b.info.name).join(""), before: box.before, total: box.total,
	change: staccato.comparison.change(box.before, box.total), verdict: staccato.comparison.verdict(box.before, box.total), colour: staccato.colourOf(box) }))`

func TestDiff(t *testing.T) {
	before, after := hostWith(3, false), host()
	p := open(t, writePage(t, before, after), "")
	p.size(1280, 800)
	p.screenshot("diff")
	if text := p.text("vanished-title"); text != "Vanished: 1 call with 13.56% of before" {
		t.Errorf("the page says %q", text)
	}
	if list := eval[[]string](p, "[...document.querySelectorAll('#vanished-list li')].map((li) => li.title)"); len(list) != 1 || !strings.HasSuffix(list[0], "\nExecProcNode\nExecMergeJoin") {
		t.Errorf("vanished: %q", list)
	}

	check := func(scaleOf func(before, after float64) float64) {
		t.Helper()
		old, now := paths(before.Profile), paths(after.Profile)
		allBefore, allAfter := sum(before.Profile, everything), sum(after.Profile, everything)
		scale := scaleOf(allBefore, allAfter)
		whole := max(allAfter, allBefore*scale)
		list := eval[[]changedBox](p, changedScript)
		if len(list) != len(now) {
			t.Errorf("%d boxes, want %d", len(list), len(now))
		}
		verdicts := make(map[string]int)
		for _, b := range list {
			if b.Before != old[b.Path] || b.Total != now[b.Path] {
				t.Errorf("%q went from %v to %v, want %v to %v", b.Path, b.Before, b.Total, old[b.Path], now[b.Path])
			}
			change := (b.Total - b.Before*scale) / whole
			if math.Abs(change-b.Change) > 1e-12 {
				t.Errorf("%q changed by %v, want %v", b.Path, b.Change, change)
			}
			verdicts[b.Verdict]++
			hue := ""
			fmt.Sscanf(b.Colour, "hsl(%s", &hue)
			want := map[string]string{"same": "220", "new": "50", "grew": "4", "shrank": "214"}[b.Verdict]
			if hue != want {
				t.Errorf("%q, which %s, has the colour %s", b.Path, b.Verdict, b.Colour)
			}
			if b.Verdict == "grew" && change <= 0 || b.Verdict == "shrank" && change >= 0 || b.Verdict == "new" && b.Before != 0 {
				t.Errorf("%q changed by %v and is said to be %q", b.Path, change, b.Verdict)
			}
			// What did not change in number of samples is the same by duration.
			if scale == 1 && b.Before == b.Total && b.Verdict != "same" {
				t.Errorf("%q is as before, but said to be %q", b.Path, b.Verdict)
			}
		}
		if verdicts["new"] == 0 || verdicts["shrank"] == 0 || verdicts["same"] == 0 {
			t.Errorf("boxes by verdict: %v", verdicts)
		}
	}
	check(func(before, after float64) float64 { return 1 })
	p.run(evaluate("staccato.change({scale: 'total'})"))
	check(func(before, after float64) float64 { return after / before })

	p.run(evaluate("staccato.change({palette: 'orange', search: ''})"))
	for _, b := range eval[[]changedBox](p, changedScript) {
		if b.Verdict == "grew" && !strings.HasPrefix(b.Colour, "hsl(30 ") {
			t.Errorf("%q, which grew, has the colour %s in the orange palette", b.Path, b.Colour)
		}
	}
	p.run(evaluate("staccato.change({palette: 'red', scale: 'duration', view: 'table'})"))
	p.screenshot("diff-table")
	rows := eval[[]string](p, "[...document.querySelectorAll('#table tbody tr')].map((r) => r.textContent)")
	all := strings.Join(rows, "\n")
	for _, part := range []string{"ExecMergeJoin", "gone", "ExecHashJoin", "new"} {
		if !strings.Contains(all, part) {
			t.Errorf("no %q in the table:\n%s", part, all)
		}
	}
	if strings.Contains(all, "heapgettup_pagemode") || !strings.Contains(p.text("table"), "within noise (2σ) are hidden") {
		t.Errorf("what did not change is in the table:\n%s", p.text("table"))
	}
	p.run(chromedp.Click(chromedp.CSS("#noise")))
	if !strings.Contains(p.text("table"), "heapgettup_pagemode") {
		t.Error("changes within noise are not shown although that was asked")
	}
	p.scheme(true)
	p.wait("staccato.palette.dark")
	p.run(evaluate("staccato.change({view: 'flame'})"))
	p.screenshot("diff-dark")
}

// Twice the same samples in twice the time is no change; scaled by total, it is
// none either.
func TestDiffOfDurations(t *testing.T) {
	before, after := host(), host()
	for _, s := range after.Profile.Sample {
		s.Value[0] *= 2
		s.Value[1] *= 2
	}
	after.Profile.DurationNanos *= 2
	p := open(t, writePage(t, before, after), "")
	for _, scale := range []string{"duration", "total"} {
		p.run(evaluate(fmt.Sprintf("staccato.change({scale: %q})", scale)))
		for _, b := range eval[[]changedBox](p, changedScript) {
			if b.Change != 0 || b.Verdict != "same" {
				t.Errorf("by %s: %q changed by %v and is said to be %q", scale, b.Path, b.Change, b.Verdict)
			}
		}
	}
}
