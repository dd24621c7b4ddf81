package report_test

import (
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/input"
	"github.com/staccato-profiler/staccato/exporter/report"
)

func readTree(t *testing.T, most int) (*report.Node, *report.Report) {
	t.Helper()
	p, err := input.Read(t.Context(), "testdata/staccato.pb.gz", input.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.New(p, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return r.Tree(most), r
}

// In the whole tree each node is its own value and its children's totals, and
// own values add up to those of the functions.
func TestTreeAddsUp(t *testing.T) {
	root, r := readTree(t, 0)
	self := make(map[string]int64)
	var walk func(n *report.Node)
	walk = func(n *report.Node) {
		sum := n.Self
		for _, child := range n.Children {
			sum += child.Total
			walk(child)
		}
		if sum != n.Total || n.Cut != 0 {
			t.Errorf("%s: own value and children are %d, total %d; %d cut", n.Label(), sum, n.Total, n.Cut)
		}
		self[n.Label()] += n.Self
	}
	walk(root)
	if root.Total != r.All || root.Total != r.Sum() {
		t.Errorf("total %d, want %d", root.Total, r.All)
	}
	want := make(map[string]int64)
	for _, f := range r.Functions() {
		want[f.Label()] += f.Self
	}
	for name, v := range want {
		if self[name] != v {
			t.Errorf("%s: %d in the tree, want %d", name, self[name], v)
		}
	}
}

func TestTreeLimit(t *testing.T) {
	for _, most := range []int{1, 10, 100} {
		root, _ := readTree(t, most)
		var smallestKept, cut int64
		smallestKept = root.Total
		nodes := 0
		var walk func(n *report.Node)
		walk = func(n *report.Node) {
			nodes++
			smallestKept = min(smallestKept, n.Total)
			cut += int64(n.Cut)
			for _, child := range n.Children {
				walk(child)
			}
		}
		walk(root)
		if nodes != most+1 || cut == 0 {
			t.Errorf("%d nodes and the root, want %d; %d cut", nodes-1, most, cut)
		}
	}
}

// Negative values can make a node larger than its caller: that stays then.
func TestTreeKeepsCallers(t *testing.T) {
	f := func(name string, id uint64) *profile.Location {
		return &profile.Location{ID: id, Line: []profile.Line{{Function: &profile.Function{ID: id, Name: name}}}}
	}
	a, b, c := f("a", 1), f("b", 2), f("c", 3)
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}},
		Location:   []*profile.Location{a, b, c},
		Sample: []*profile.Sample{
			{Location: []*profile.Location{b, a}, Value: []int64{10}},
			{Location: []*profile.Location{c, a}, Value: []int64{-9}},
		},
	}
	r, err := report.New(p, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	root := r.Tree(1)
	if len(root.Children) != 1 || root.Children[0].Label() != "a" || len(root.Children[0].Children) != 1 || root.Children[0].Cut != 1 {
		t.Errorf("tree %+v", root)
	}
	if r.All != 19 || r.Sum() != 1 {
		t.Errorf("all %d, sum %d", r.All, r.Sum())
	}
}
