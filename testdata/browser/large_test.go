package browser

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// Limits for 100,000 distinct stacks.
const (
	largestFile   = 2_000_000 // bytes
	slowestStart  = 1500.0    // milliseconds
	slowestSearch = 150.0
)

// Large profiles stay quick. Each time is the best of three, since a machine
// that is busy with something else would measure that.
func TestLarge(t *testing.T) {
	file := writePage(t, many(100_500)) // some come out the same
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > largestFile {
		t.Errorf("the file has %d bytes, at most %d are allowed", info.Size(), largestFile)
	}
	p := open(t, file, "")
	p.size(1280, 800)
	start := math.Inf(1)
	for range 3 {
		p.load(file, "")
		// From the beginning of the navigation to a page that answers.
		start = min(start, eval[float64](p, "performance.getEntriesByName('ready')[0].startTime"))
	}
	nodes := eval[[]int](p, "[staccato.profile.tree.size, staccato.profile.rows.node.length]")
	t.Logf("%d bytes, %d nodes, %d rows: ready after %.0f ms", info.Size(), nodes[0], nodes[1], start)
	if nodes[1] < 100_000 {
		t.Errorf("only %d distinct stacks", nodes[1])
	}
	if start > slowestStart {
		t.Errorf("ready after %.0f ms, at most %.0f are allowed", start, slowestStart)
	}
	p.screenshot("large")

	took := func(choices string) float64 {
		best := math.Inf(1)
		for range 3 {
			p.run(evaluate("staccato.change({search: '', reverse: false, by: 'none', view: 'flame', zoom: [], process: '', order: 'name'}, true)"))
			best = min(best, eval[float64](p, fmt.Sprintf("(() => { const t = performance.now(); staccato.change(%s, true); return performance.now() - t; })()", choices)))
		}
		return best
	}
	var searches []float64
	for _, expression := range []string{"e", "function_1", "function_.*7", `component5\\d*.*\\(int`, "no such function", "^namespace(1|2)"} {
		searches = append(searches, took(fmt.Sprintf("{search: '%s'}", expression)))
	}
	t.Logf("searches took %.0f ms", searches)
	if slowest := slices.Max(searches); slowest > slowestSearch {
		t.Errorf("a search took %.0f ms, at most %.0f are allowed", slowest, slowestSearch)
	}
	for _, choices := range []string{
		"{process: 'process-2 (1003)'}", "{reverse: true}", "{by: 'process'}", "{by: 'thread', reverse: true}", "{order: 'weight'}",
		"{view: 'table'}", "{view: 'tree'}", "{view: 'sandwich', function: 5}", "{zoom: staccato.view.root.children[0].path().map((b) => b.frame)}",
	} {
		t.Logf("%s took %.0f ms", choices, took(choices))
	}
}

// A million distinct stacks are pruned, which the page says, and keep their sum.
func TestMillion(t *testing.T) {
	in := many(1_000_000)
	file := writePage(t, in)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, file, "")
	p.size(1280, 800)
	t.Logf("%d bytes, %d nodes: ready after %.0f ms", info.Size(), eval[int](p, "staccato.profile.tree.size"), eval[float64](p, "performance.getEntriesByName('ready')[0].startTime"))
	if info.Size() > 5<<20 {
		t.Errorf("the file has %d bytes", info.Size())
	}
	if note := p.text("note"); !strings.Contains(note, "calls with less than 0.01% each are merged into “(other)”") {
		t.Errorf("the page says %q about what was merged", note)
	}
	if got, want := total(p), sum(in.Profile, everything); got != want {
		t.Errorf("total %v, want %v", got, want)
	}
	p.run(evaluate("staccato.change({process: 'process-2 (1003)'})"))
	if got, want := total(p), sum(in.Profile, ofProcess(1003)); got != want {
		t.Errorf("a process has %v, want %v", got, want)
	}
	p.screenshot("million")
}
