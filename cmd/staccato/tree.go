package main

import (
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/staccato-profiler/staccato/exporter/report"
)

const treeHead = "   total  total%   self%  call tree"

// tree writes the call tree. Lines go right only where the tree forks, so that
// deep stacks fit.
func (t text) tree(w io.Writer, r *report.Report, limit int) error {
	root := r.Tree(limit)
	fmt.Fprintln(w, t.style.bold(treeHead))
	t.children(w, r, root, "")
	if root.Cut > 0 {
		fmt.Fprintf(w, "(%s more; all with -n 0)\n", thousandsOf(root.Cut, "outermost function"))
	}
	return nil
}

func (t text) children(w io.Writer, r *report.Report, n *report.Node, indent string) {
	for len(n.Children) == 1 {
		n = n.Children[0]
		t.node(w, r, n, indent)
	}
	for i, child := range n.Children {
		branch, below := "├ ", "│ "
		if i == len(n.Children)-1 {
			branch, below = "└ ", "  "
		}
		t.node(w, r, child, indent+branch)
		t.children(w, r, child, indent+below)
	}
}

func (t text) node(w io.Writer, r *report.Report, n *report.Node, indent string) {
	line := fmt.Sprintf("%8s %7s %7s  %s%s", report.Format(float64(n.Total), r.Value.Unit),
		percent(n.Total, r.All), percent(n.Self, r.All), t.shift(indent), functionName(n.Function))
	if n.Cut > 0 {
		line += fmt.Sprintf("  (+%s smaller)", thousands(uint64(n.Cut)))
	}
	fmt.Fprintln(w, t.fit(line))
}

// shift leaves room for a name however deep it is: it shows how deep by a number.
func (t text) shift(indent string) string {
	const name, head = 24, 26
	depth := utf8.RuneCountInString(indent)
	if most := max(t.width-head-name, 8); t.width > 0 && depth > most {
		keep := most - 6
		return fmt.Sprintf("%4d… %s", depth/2, string([]rune(indent)[depth-keep:]))
	}
	return indent
}
