package main

import (
	"fmt"
	"io"
	"regexp"

	"github.com/staccato-profiler/staccato/exporter/report"
)

// peek writes functions with those that called them above, and those that they
// called below.
func (t text) peek(w io.Writer, r *report.Report, names *regexp.Regexp, limit int) error {
	found := r.Peek(names)
	if len(found) == 0 {
		return fmt.Errorf("--peek %s: %w", names, errNoMatch)
	}
	fmt.Fprintln(w, t.style.bold(figuresHead+"  function, its callers, its callees"))
	shown := found
	if limit > 0 {
		shown = found[:min(limit, len(found))]
	}
	for i, n := range shown {
		if i > 0 {
			fmt.Fprintln(w)
		}
		t.edges(w, r, n, n.Callers, "from", limit)
		line := figures(n.Function, r) + "  " + functionName(n.Function)
		if binary := binaryName(n.Executable); binary != "" {
			line += "  " + binary
		}
		fmt.Fprintln(w, t.style.bold(t.fit(line)))
		t.edges(w, r, n, n.Callees, "to", limit)
	}
	if more := len(found) - len(shown); more > 0 {
		fmt.Fprintf(w, "\n(%s more; all with -n 0)\n", thousandsOf(more, "function"))
	}
	return nil
}

// edges writes values with their shares of the function's total.
func (t text) edges(w io.Writer, r *report.Report, n report.Neighbours, edges []report.Edge, direction string, limit int) {
	shown := edges
	if limit > 0 {
		shown = edges[:min(limit, len(edges))]
	}
	for _, e := range shown {
		name := printable(e.Label())
		if e.Inlined {
			name += " (inlined)"
		}
		line := fmt.Sprintf("%26s %7s    %-4s %s", report.Format(float64(e.Value), r.Value.Unit), percent(e.Value, n.Total), direction, name)
		fmt.Fprintln(w, t.fit(line))
	}
	if more := len(edges) - len(shown); more > 0 {
		fmt.Fprintf(w, "%34s    %-4s (%s more)\n", "", direction, thousands(uint64(more)))
	}
}
