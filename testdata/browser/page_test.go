package browser

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// boxes are the boxes of the graph as the page laid them out: the way from the
// root, total, x, width.
const boxesScript = `staccato.graph.rows.flat().filter((c) => c.box.parent).map((c) => ({
	path: c.box.path().map((b) => "\n" + b.info.name).join(""), total: c.box.total, width: c.width, kind: c.box.info.class }))`

type box struct {
	Path         string
	Total, Width float64
	Kind         string
}

func boxes(p *tab) map[string]box {
	p.t.Helper()
	all := make(map[string]box)
	for _, b := range eval[[]box](p, boxesScript) {
		all[b.Path] = b
	}
	return all
}

func total(p *tab) float64 {
	p.t.Helper()
	return eval[float64](p, "staccato.selection.total[0]")
}

func TestLoad(t *testing.T) {
	in := host()
	p := open(t, writePage(t, in), "")
	p.size(1280, 800)
	p.screenshot("flame")
	if got, want := total(p), sum(in.Profile, everything); got != want {
		t.Errorf("total %v, want %v", got, want)
	}
	want := paths(in.Profile)
	got := boxes(p)
	for path, value := range want {
		if got[path].Total != value {
			t.Errorf("box %q has %v, want %v", path, got[path].Total, value)
		}
		if w := value / total(p) * eval[float64](p, "staccato.graph.width"); math.Abs(got[path].Width-w) > 0.001 {
			t.Errorf("box %q is %v pixels wide, want %v", path, got[path].Width, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d boxes, want %d", len(got), len(want))
	}
	facts := p.text("facts")
	for _, part := range []string{"db-7", "Linux 6.12.48", "30.0 s", "asked 99 Hz, achieved 98.7 Hz", "10.1 ms", "3,584", "table full: 12 samples (0.21%)", "99.31%", "96.90%", "2026-09-21 14:13:20 UTC"} {
		if !strings.Contains(facts, part) {
			t.Errorf("nothing about %q in %q", part, facts)
		}
	}
	if got, want := p.text("command"), "staccato record -a -d 30 -o profile.html"; got != want {
		t.Errorf("command is %q", got)
	}
	for path, kind := range map[string]string{
		"\n_start":                   "native",
		"\nruntime.goexit":           "go",
		"\nnode::Start(int, char**)": "cplusplus",
		"\n[lost: table full]":       "lost",
		"\nPy_BytesMain\nPy_RunMain\n<module> (report.py)": "interpreter",
	} {
		if got[path].Kind != kind {
			t.Errorf("box %q is of kind %q, want %q", path, got[path].Kind, kind)
		}
	}
	for path, b := range got {
		if strings.HasSuffix(path, "\nqsort_tuple\nmed3_tuple") && b.Kind != "inlined" || strings.HasSuffix(path, "\ndo_syscall_64") && b.Kind != "kernel" {
			t.Errorf("box %q is of kind %q", path, b.Kind)
		}
	}
}

// Names are text and never HTML, in every view.
func TestHostileNames(t *testing.T) {
	in := host()
	in.Profile.Comments[1] = "command: " + hostile
	p := open(t, writePage(t, in), "")
	p.press("t")
	p.press("c")
	p.press("f")
	p.click(hostile)
	p.press("s")
	time.Sleep(100 * time.Millisecond)
	if n := eval[int](p, "document.images.length + document.querySelectorAll('script').length"); n != 2 {
		t.Errorf("%d images and scripts, want the page's own 2 scripts", n)
	}
	if title := eval[string](p, "document.title"); title != hostile+" – staccato" {
		t.Errorf("title is %q", title)
	}
	if name := p.text("about-name"); name != hostile {
		t.Errorf("name is %q", name)
	}
}

// What every test looks for at its end is found.
func TestRequestsAndErrorsAreSeen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.html")
	bad := `<body class="ready"><img src="http://127.0.0.1:1/x"><script>console.error("wrong"); setTimeout(() => { throw new Error("worse"); })</script>`
	if err := os.WriteFile(file, []byte(bad), 0o666); err != nil {
		t.Fatal(err)
	}
	p := newTab(t)
	p.load(file, "")
	p.wait("document.images[0].complete")
	time.Sleep(200 * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	if all := strings.Join(p.errors, "\n"); len(p.requests) != 1 || !strings.Contains(all, "wrong") || !strings.Contains(all, "worse") {
		t.Errorf("requests %q, errors %q", p.requests, p.errors)
	}
}

// The policy in the page stops what a hole in the page would let through.
func TestPolicy(t *testing.T) {
	p := newTab(t)
	p.load(writePage(t, host()), "")
	for _, attempt := range []string{
		"new Image().src = 'http://127.0.0.1:1/x'", "fetch('http://127.0.0.1:1/x').catch(() => 0)",
		"document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.owned = 1'}))",
	} {
		p.run(evaluate("window.blocked = false; addEventListener('securitypolicyviolation', () => { window.blocked = true; }, {once: true}); " + attempt + "; 0"))
		p.wait("window.blocked")
	}
	if eval[bool](p, "window.owned === 1") {
		t.Error("a script that was added ran")
	}
}

func TestZoom(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	p.size(1280, 800)
	root := func() string { return eval[string](p, "staccato.root.info.name") }
	p.click("ExecSort")
	if root() != "ExecSort" {
		t.Fatalf("a click zooms to %q", root())
	}
	if w, all := boxes(p), eval[float64](p, "staccato.graph.width"); !within(widthOf(w, "ExecSort"), all) || !within(widthOf(w, "ExecProcNode"), all) {
		t.Errorf("the box and its callers are %v and %v wide, of %v", widthOf(w, "ExecSort"), widthOf(w, "ExecProcNode"), all)
	}
	p.screenshot("zoom")
	p.click("qsort_tuple")
	crumbs := eval[[]string](p, "[...document.querySelectorAll('#crumbs button')].map((b) => b.textContent)")
	if got := strings.Join(crumbs[len(crumbs)-3:], " "); got != "ExecSort tuplesort_performsort qsort_tuple" {
		t.Errorf("breadcrumbs end in %q", got)
	}
	// The line below tells about what the pointer is on.
	at := eval[[]float64](p, "(() => { const b = staccato.graph.canvas.getBoundingClientRect(); return [b.left + 40, b.top + staccato.graph.offset + staccato.graph.rows.length * 21 - 30]; })()")
	p.run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1]))
	if name, sums := p.text("about-name"), p.text("about-sums"); name != "_start" || sums != "62.00% · 22.4 s" {
		t.Errorf("over _start the page says %q, %q", name, sums)
	}
	// Back takes one zoom, not the page, away; forward brings it again.
	p.run(evaluate("history.back()"))
	p.wait("staccato.root.info.name === 'ExecSort'")
	p.run(evaluate("history.forward()"))
	p.wait("staccato.root.info.name === 'qsort_tuple'")
	p.run(chromedp.Click(chromedp.CSS("#crumbs li:nth-child(3) button")))
	if root() != "main" {
		t.Errorf("the third breadcrumb leads to %q", root())
	}
	p.press("0")
	if root() != "all" {
		t.Errorf("0 leads to %q", root())
	}
}

func within(a, b float64) bool { return math.Abs(a-b) < 0.001 }

func widthOf(all map[string]box, name string) float64 {
	for path, b := range all {
		if strings.HasSuffix(path, "\n"+name) {
			return b.Width
		}
	}
	return -1
}

func TestSearch(t *testing.T) {
	in := host()
	p := open(t, writePage(t, in), "")
	p.size(1280, 800)
	all := sum(in.Profile, everything)
	for _, expression := range []string{"Exec", "^main$", "qsort|med3|cmp_", "^runtime\\.", "no such function", "do_syscall_64", "</script>", "."} {
		p.search(expression)
		want := sum(in.Profile, matching("(?i)"+expression))
		got := eval[map[string]float64](p, "staccato.matched")
		if got["matched"] != want || got["all"] != all {
			t.Errorf("%q matches %v, want %v of %v", expression, got, want, all)
		}
		if text, share := p.text("matched"), fmt.Sprintf("%.2f%% matched", 100*want/all); want != all && want != 0 && text != share {
			t.Errorf("%q: the page says %q, want %q", expression, text, share)
		}
	}
	p.search("exec_")
	p.screenshot("search")

	// Case matters only when that is chosen.
	p.search("EXECSORT")
	folded := eval[float64](p, "staccato.matched.matched")
	p.run(chromedp.Click(chromedp.CSS("#case")))
	if exact := eval[float64](p, "staccato.matched.matched"); folded == 0 || exact != 0 {
		t.Errorf("EXECSORT matches %v, and %v with case", folded, exact)
	}

	// An expression that is none is said to be none.
	p.search("exec(")
	if text := p.text("matched"); text != "not a regular expression" {
		t.Errorf("the page says %q", text)
	}

	// Only the samples that match.
	p.search("ExecSort|scanobject")
	p.run(chromedp.Click(chromedp.CSS("#only")))
	if got, want := total(p), sum(in.Profile, matching("ExecSort|scanobject")); got != want {
		t.Errorf("only matches: %v, want %v", got, want)
	}
}

func TestNextMatch(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	p.size(1280, 800)
	focused := func() string { return eval[string](p, "staccato.graph.focused.box.info.name") }
	p.press("/")
	p.press("^(ExecSort|ExecSeqScan|ExecHashJoin)$")
	p.press(kb.Enter)
	p.run(evaluate("document.getElementById('canvas').focus()"))
	var seen []string
	for _, key := range []string{"n", "n", "n", "N"} {
		seen = append(seen, focused())
		p.press(key)
	}
	seen = append(seen, focused())
	// The widest comes first; after the last the first again.
	if got, want := strings.Join(seen, " "), "ExecSeqScan ExecSort ExecHashJoin ExecSeqScan ExecHashJoin"; got != want {
		t.Errorf("went to %s, want %s", got, want)
	}
}

func TestFilters(t *testing.T) {
	in := host()
	p := open(t, writePage(t, in), "")
	p.size(1280, 800)
	for _, test := range []struct {
		filter, value string
		want          float64
	}{
		{"process", "postgres (4250)", sum(in.Profile, ofProcess(4250))},
		{"process", "server (900)", sum(in.Profile, ofProcess(900))},
		{"process", "no process", sum(in.Profile, ofProcess(0))},
		{"thread", "server (900): gc-worker (903)", sum(in.Profile, ofThread(903))},
		{"container", "api-77d0", sum(in.Profile, ofContainer("api-77d0"))},
		{"container", "no container", sum(in.Profile, ofContainer(""))},
	} {
		p.set(test.filter, test.value, "change")
		if got := total(p); got != test.want {
			t.Errorf("%s %s: %v, want %v", test.filter, test.value, got, test.want)
		}
		if text := p.text("sum"); !strings.Contains(text, fmt.Sprintf("%.0f samples", test.want/period)) && !strings.Contains(text, fmt.Sprintf("1,%03.0f samples", test.want/period-1000)) {
			t.Errorf("%s %s: the page says %q", test.filter, test.value, text)
		}
		p.run(evaluate("staccato.change({process: '', thread: '', container: ''})"))
	}

	// Two filters at once.
	p.run(evaluate("staccato.change({process: 'server (900)', thread: 'server (900): server (905)'})"))
	if got, want := total(p), sum(in.Profile, ofThread(905)); got != want {
		t.Errorf("process and thread: %v, want %v", got, want)
	}
	p.run(evaluate("staccato.change({process: '', thread: ''})"))

	// Grouping keeps every sample, and gives each group its own.
	for by, groups := range map[string]map[string]float64{
		"process":   {"postgres (4242)": sum(in.Profile, ofProcess(4242)), "python3 (1200)": sum(in.Profile, ofProcess(1200)), "no process": sum(in.Profile, ofProcess(0))},
		"thread":    {"node (1300): V8 Worker (1307)": sum(in.Profile, ofThread(1307)), "server (900): gc-worker (903)": sum(in.Profile, ofThread(903))},
		"container": {"db-3f9c2ab1": sum(in.Profile, ofContainer("db-3f9c2ab1")), "no container": sum(in.Profile, ofContainer(""))},
	} {
		for _, reverse := range []string{"false", "true"} {
			p.run(evaluate(fmt.Sprintf("staccato.change({by: %q, reverse: %s})", by, reverse)))
			if got, want := eval[float64](p, "staccato.view.root.total"), sum(in.Profile, everything); got != want {
				t.Errorf("by %s, reverse %s: %v, want %v", by, reverse, got, want)
			}
			all := eval[float64](p, "staccato.view.root.children.reduce((sum, b) => sum + b.total, 0)")
			if want := sum(in.Profile, everything); all != want {
				t.Errorf("by %s, reverse %s: the groups have %v, want %v", by, reverse, all, want)
			}
			got := make(map[string]float64)
			for path, b := range boxes(p) {
				got[path] = b.Total
			}
			for name, want := range groups {
				if got["\n"+name] != want {
					t.Errorf("by %s, reverse %s: group %s has %v, want %v", by, reverse, name, got["\n"+name], want)
				}
			}
		}
		p.screenshot("by-" + by)
	}
}

func TestTable(t *testing.T) {
	in := host()
	p := open(t, writePage(t, in), "#view=table")
	p.size(1280, 800)
	self, all := selfAndTotal(in.Profile)
	gotSelf, gotTotal := make(map[string]float64), make(map[string]float64)
	// Names that two binaries have are two rows.
	for _, row := range eval[[]struct {
		Name        string
		Self, Total float64
	}](p, "(() => { const f = staccato.selection.functions(); return staccato.profile.functions.name.map((name, i) => ({name, self: f.self[i], total: f.total[i]})); })()") {
		gotSelf[row.Name] += row.Self
		gotTotal[row.Name] += row.Total
	}
	maps.DeleteFunc(gotSelf, func(_ string, v float64) bool { return v == 0 })
	if !maps.Equal(gotSelf, self) || !maps.Equal(gotTotal, all) {
		t.Errorf("self %v\nwant %v\ntotal %v\nwant %v", gotSelf, self, gotTotal, all)
	}
	first := func() []string {
		return eval[[]string](p, "[...document.querySelectorAll('#table tbody tr:first-child > *')].map((c) => c.textContent)")
	}
	want := 100 * self["heapgettup_pagemode"] / sum(in.Profile, everything)
	if got := first(); !strings.HasPrefix(got[0], fmt.Sprintf("%.2f%%", want)) || got[2] != "heapgettup_pagemode" {
		t.Errorf("first row is %q, want heapgettup_pagemode with %.2f%%", got, want)
	}
	p.screenshot("table")
	p.run(chromedp.Click(chromedp.CSS("#table th[data-key=total] button")))
	if got := first(); got[2] != "_start" {
		t.Errorf("by total the first row is %q", got)
	}
	p.run(chromedp.Click(chromedp.CSS("#table th[data-key=name] button")))
	if got := first(); got[2] != "</script><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>" {
		t.Errorf("by name the first row is %q", got)
	}
	if sorted := eval[string](p, "document.querySelector('#table th[data-key=name]').ariaSort"); sorted != "ascending" {
		t.Errorf("the column is said to be sorted %q", sorted)
	}
}

func TestReverseAndSandwich(t *testing.T) {
	in := host()
	p := open(t, writePage(t, in), "#reverse=1")
	p.size(1280, 800)
	self, all := selfAndTotal(in.Profile)
	got := make(map[string]float64)
	for path, b := range boxes(p) {
		if strings.Count(path, "\n") == 1 {
			got[path[1:]] += b.Total
		}
	}
	if !maps.Equal(got, self) {
		t.Errorf("reversed: %v, want %v", got, self)
	}
	p.screenshot("reverse")

	for _, name := range []string{"heapgettup_pagemode", "do_syscall_64", "main"} {
		p.run(evaluate(fmt.Sprintf("staccato.change({view: 'sandwich', function: staccato.profile.functions.name.indexOf(%q)})", name)))
		sums := eval[[]float64](p, "[staccato.sandwich.callers.root.total, staccato.sandwich.callees.root.total, staccato.sandwich.callers.root.children.reduce((s, b) => s + b.total, 0)]")
		if sums[0] != all[name] || sums[1] != all[name] || sums[2] != all[name] {
			t.Errorf("sandwich of %s has %v, want %v", name, sums, all[name])
		}
	}
	p.run(evaluate("staccato.change({view: 'sandwich', function: staccato.profile.functions.name.indexOf('heapgettup_pagemode')})"))
	p.screenshot("sandwich")
	p.click("ReadBuffer_common")
	if name := p.text("about-name"); name != "ReadBuffer_common" {
		t.Errorf("a click on a callee leads to %q", name)
	}
}

// Everything can be done without a pointer.
func TestKeyboard(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	p.size(1280, 800)
	state := func(key string) any { return eval[any](p, "staccato.state."+key) }
	focused := func() string { return eval[string](p, "staccato.graph.focused?.box.info.name ?? ''") }

	p.press(kb.ArrowUp)
	if got := focused(); got != "_start" {
		t.Errorf("up leads to %q, want the widest child", got)
	}
	p.press(kb.ArrowUp)
	p.press(kb.ArrowRight)
	if got := focused(); got != "node::SpinEventLoopInternal(node::Environment*)" {
		t.Errorf("right leads to %q", got)
	}
	p.press(kb.ArrowDown)
	p.press(kb.ArrowLeft)
	p.press(kb.ArrowUp)
	if got := focused(); got != "main" {
		t.Errorf("down, left, up lead to %q", got)
	}
	if got := p.text("spoken"); !strings.HasPrefix(got, "main. 62.00%") {
		t.Errorf("spoken is %q", got)
	}
	if got := eval[[]string](p, "[...document.querySelectorAll('#path li')].map((li) => li.ariaLevel + li.textContent)"); strings.Join(got, "|") != "1all, 100%|2_start, 62.00%|3main, 62.00%" {
		t.Errorf("the path is %q", got)
	}
	p.press(kb.Enter)
	if got := eval[string](p, "staccato.root.info.name"); got != "main" {
		t.Errorf("Enter zooms to %q", got)
	}
	p.press(kb.Escape)
	if got := eval[string](p, "staccato.root.info.name"); got != "_start" {
		t.Errorf("Esc zooms to %q", got)
	}
	p.press("0")
	for _, step := range []struct {
		key, state string
		want       any
	}{
		{"i", "icicle", true}, {"i", "icicle", false}, {"r", "reverse", true}, {"r", "reverse", false},
		{"o", "order", "weight"}, {"o", "order", "name"}, {"t", "view", "table"}, {"t", "view", "flame"},
		{"c", "view", "tree"}, {"f", "view", "flame"}, {"d", "theme", "dark"}, {"d", "theme", "light"},
	} {
		p.press(step.key)
		if got := state(step.state); got != step.want {
			t.Errorf("%s: %s is %v, want %v", step.key, step.state, got, step.want)
		}
	}
	p.press("?")
	if !eval[bool](p, "document.getElementById('help').open") {
		t.Error("? shows no help")
	}
	p.screenshot("help")
	p.press(kb.Escape)
	p.press("/")
	p.press("scanobject")
	p.press(kb.Enter)
	if got := focused(); got != "runtime.scanobject" {
		t.Errorf("a search leads to %q", got)
	}
	p.press(kb.Escape)
	if got := state("search"); got != "" {
		t.Errorf("Esc leaves the search %q", got)
	}
	p.press("s")
	if got := p.text("about-name"); state("view") != "sandwich" || got != "runtime.scanobject" {
		t.Errorf("s shows %v of %q", state("view"), got)
	}

	// The call tree, as a tree widget is used.
	p.press("c")
	p.run(evaluate("document.querySelector('#tree li').focus()"))
	for _, key := range []string{kb.ArrowRight, kb.ArrowDown, kb.ArrowRight, kb.ArrowRight, kb.ArrowRight} {
		p.press(key)
	}
	const label = "document.activeElement.textContent"
	if got := eval[string](p, label); got != "62.00% total, 0% self, ▾BackendStartuppostgres" {
		t.Errorf("the tree's item is %q", got)
	}
	p.press(kb.ArrowLeft)
	p.press(kb.ArrowLeft)
	if got := eval[string](p, label); !strings.HasSuffix(got, "▾ServerLooppostgres") {
		t.Errorf("left leads to %q", got)
	}
	p.press(kb.Enter)
	if got := eval[string](p, "staccato.root.info.name"); got != "ServerLoop" || state("view") != "flame" {
		t.Errorf("Enter in the tree shows %v of %q", state("view"), got)
	}
}

func TestDark(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	p.size(1280, 800)
	background := func() string { return eval[string](p, "getComputedStyle(document.body).backgroundColor") }
	if got := background(); got != "rgb(255, 255, 255)" {
		t.Errorf("light background is %s", got)
	}
	p.scheme(true)
	p.wait("staccato.palette.dark")
	if got := background(); got != "rgb(24, 24, 27)" {
		t.Errorf("dark background is %s", got)
	}
	p.screenshot("dark")
	p.press("c")
	p.screenshot("dark-tree")
	p.press("d")
	if got := background(); got != "rgb(255, 255, 255)" {
		t.Errorf("after D the background is %s", got)
	}
}

// contrastScript draws each colour that boxes can have, and returns the lowest
// contrast of text on it, by WCAG's formula.
const contrastScript = `(() => {
	const g = Object.assign(document.createElement("canvas"), {width: 1, height: 1}).getContext("2d", {willReadFrequently: true});
	const light = (colour) => {
		g.fillStyle = "#000"; g.fillStyle = colour; g.fillRect(0, 0, 1, 1);
		const [r, gr, b] = [...g.getImageData(0, 0, 1, 1).data].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * gr + 0.0722 * b;
	};
	const contrast = (a, b) => { const [x, y] = [light(a), light(b)]; return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05); };
	const seen = {};
	const { found, palette } = staccato.graph.look;
	for (const cell of staccato.graph.rows.flat()) {
		const colour = staccato.graph.fill(cell);
		const matched = found && found[cell.box.info.function];
		seen[(matched ? "match " : "") + cell.box.info.class + " " + colour] = contrast(colour, matched ? "#ffffff" : palette.text);
	}
	for (const [name, list] of Object.entries(palette.classes)) list.forEach((colour) => { seen[name + " " + colour] = contrast(colour, palette.text); });
	return seen;
})()`

func TestContrast(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	check := func(what string) {
		seen := eval[map[string]float64](p, contrastScript)
		if len(seen) < 50 {
			t.Errorf("%s: only %d colours", what, len(seen))
		}
		for colour, contrast := range seen {
			if contrast < 4.5 {
				t.Errorf("%s: text on %s has a contrast of %.2f", what, colour, contrast)
			}
		}
	}
	diff := writePage(t, hostWith(3, false), host())
	for _, theme := range []string{"light", "dark"} {
		p.load(writePage(t, host()), "#theme="+theme)
		check(theme)
		p.load(writePage(t, host()), "#search=Exec&theme="+theme)
		check(theme + ", search")
		for _, palette := range []string{"red", "orange"} {
			p.load(diff, "#palette="+palette+"&theme="+theme)
			check(theme + ", diff, " + palette)
		}
	}
}

// The address holds all that was chosen.
func TestHash(t *testing.T) {
	file := writePage(t, host())
	p := open(t, file, "")
	p.size(1280, 800)
	for _, choices := range []string{
		"{view: 'flame', icicle: true, order: 'weight', search: 'a&b=c#%', matchCase: true}",
		"{view: 'table', sort: 'name', ascending: true, process: 'postgres (4242)'}",
		"{view: 'tree', reverse: true, by: 'thread', theme: 'dark', type: 0}",
		"{view: 'sandwich', function: 7, container: 'db-3f9c2ab1', search: 'Exec', only: true}",
		"{view: 'flame', zoom: staccato.view.root.children[2].children[0].path().map((b) => b.frame)}",
	} {
		p.load(file, "")
		p.run(evaluate("staccato.change(" + choices + ")"))
		const shown = "JSON.stringify([staccato.state, staccato.shown, staccato.selection.total[0], staccato.root.info.name, staccato.hasGraph() ? staccato.graph.rows.length : 0])"
		want := eval[string](p, shown)
		hash := eval[string](p, "location.hash")
		p.load(file, hash)
		if got := eval[string](p, shown); got != want {
			t.Errorf("%s: after opening %s there is\n%s, want\n%s", choices, hash, got, want)
		}
	}
	// Nonsense is no error.
	for _, hash := range []string{"#view=x&zoom=zzzzz.q.-1&function=99999999&type=77&by=__proto__&process=%00", "#constructor=1&__proto__=2&%", "#view=sandwich&sort=change"} {
		p.load(file, hash)
		if eval[float64](p, "staccato.rendered") < 1 {
			t.Errorf("nothing is shown for %s", hash)
		}
	}
}

func TestSVG(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	p.size(1280, 800)
	picture := eval[string](p, "staccato.svg()")
	decoder := xml.NewDecoder(strings.NewReader(picture))
	var rects, texts int
	titles := make(map[string]bool)
	inTitle := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the picture is not XML: %v", err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			inTitle = e.Name.Local == "title"
			switch e.Name.Local {
			case "rect":
				rects++
			case "text":
				texts++
			case "script", "img", "image":
				t.Errorf("the picture has an element %s", e.Name.Local)
			}
		case xml.EndElement:
			inTitle = false
		case xml.CharData:
			if inTitle {
				name, _, _ := strings.Cut(string(e), "\n")
				titles[name] = true
			}
		}
	}
	if n := eval[int](p, "staccato.graph.rows.flat().length"); rects < n || texts < 20 || !titles["heapgettup_pagemode"] || !titles[hostile] {
		t.Errorf("%d rectangles and %d texts for %d boxes; titles %v", rects, texts, n, titles)
	}

	// Paper gets the whole graph, and leaves nothing behind.
	p.run(evaluate("dispatchEvent(new Event('beforeprint'))"))
	if n := eval[int](p, "document.querySelectorAll('#print svg g').length"); n != eval[int](p, "staccato.graph.rows.flat().length") {
		t.Errorf("%d boxes are printed", n)
	}
	p.run(evaluate("dispatchEvent(new Event('afterprint'))"))
	if n := eval[int](p, "document.querySelectorAll('#print *').length"); n != 0 {
		t.Errorf("%d elements are left after printing", n)
	}
}

// Where there is little room, a name says the most that fits.
func TestShortNames(t *testing.T) {
	p := open(t, writePage(t, host()), "")
	for name, want := range map[string]string{
		"v8::internal::Scavenger::ScavengeObject<v8::internal::CompressedHeapObjectSlot>()": "ScavengeObject",
		"std::sort(int*, int*)":                       "sort",
		"net/http.(*conn).serve":                      "http.(*conn).serve",
		"encoding/json.appendString[go.shape.string]": "json.appendString",
		"main (report.py)":                            "main",
	} {
		got := eval[string](p, fmt.Sprintf("staccato.graph.fit(%q, staccato.graph.textWidth(%q))", name, want))
		if got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
		if got := eval[string](p, fmt.Sprintf("staccato.graph.fit(%q, 1000)", name)); got != name {
			t.Errorf("%q becomes %q although there is room", name, got)
		}
	}
	for _, name := range []string{"<module> (report.py)", "[lost: table full]", "operator()", "::", "a::", "("} {
		if got := eval[string](p, fmt.Sprintf("staccato.graph.fit(%q, 60)", name)); got == "" {
			t.Errorf("nothing is left of %q", name)
		}
	}
}

func TestValueTypes(t *testing.T) {
	in := host()
	p := open(t, writePage(t, in), "")
	p.set("type", "0", "change")
	if got, want := total(p), sum(in.Profile, everything)/period; got != want {
		t.Errorf("samples: %v, want %v", got, want)
	}
	if got := p.text("sum"); got != "3,584" {
		t.Errorf("the page says %q", got)
	}
}

func TestNarrow(t *testing.T) {
	file := writePage(t, host())
	p := open(t, file, "")
	p.size(400, 800)
	p.load(file, "")
	for _, view := range []string{"flame", "table", "tree"} {
		p.run(evaluate(fmt.Sprintf("staccato.change({view: %q})", view)))
		p.screenshot("narrow-" + view)
		if w := eval[int](p, "document.documentElement.scrollWidth"); w > 400 {
			t.Errorf("%s is %d pixels wide", view, w)
		}
	}
	p.run(evaluate("staccato.change({view: 'flame'})"), chromedp.Click(chromedp.CSS("#more")))
	// What begins at the bottom stays there when there is less room.
	p.wait("staccato.graph.height === staccato.graph.scroller.clientHeight")
	if left := eval[float64](p, "(({scrollHeight, scrollTop, clientHeight}) => scrollHeight - scrollTop - clientHeight)(staccato.graph.scroller)"); left > 1 {
		t.Errorf("the root is %v pixels below what is in view", left)
	}
	p.screenshot("narrow-options")
	if h := eval[int](p, "staccato.graph.height"); h < 120 {
		t.Errorf("with its options open the page leaves %d pixels to the graph", h)
	}
}
