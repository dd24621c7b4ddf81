package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/staccato-profiler/staccato/exporter/report"
)

// around is how many lines of source are shown before and after those with
// values.
const around = 4

// list writes source lines with their values.
func (t text) list(w io.Writer, r *report.Report, names *regexp.Regexp, sources sources, limit int) error {
	found := r.Lines(names)
	if len(found) == 0 {
		return fmt.Errorf("--list %s: %w", names, errNoMatch)
	}
	shown := found
	if limit > 0 {
		shown = found[:min(limit, len(found))]
	}
	for i, l := range shown {
		if i > 0 {
			fmt.Fprintln(w)
		}
		file := printable(l.File)
		if file == "" {
			file = "a file that the profile does not name"
		}
		fmt.Fprintln(w, t.style.bold(fmt.Sprintf("%s in %s", printable(l.Name), file)))
		f := report.Function{Self: l.Self, Total: l.Total}
		fmt.Fprintln(w, figuresHead+"    line")
		fmt.Fprintln(w, figures(f, r)+"     all")
		t.listing(w, r, l, sources)
	}
	if more := len(found) - len(shown); more > 0 {
		fmt.Fprintf(w, "\n(%s more; all with -n 0)\n", thousandsOf(more, "function"))
	}
	return nil
}

func (t text) listing(w io.Writer, r *report.Report, l report.Listing, sources sources) {
	lines := l.Lines
	if lines[0].Number == 0 {
		f := report.Function{Self: lines[0].Self, Total: lines[0].Total}
		fmt.Fprintln(w, figures(f, r)+"       ?  (line not known)")
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return
	}
	source, err := sources.read(l.File, lines[len(lines)-1].Number+around)
	if err != nil {
		fmt.Fprintf(w, "(no source: %v)\n", err)
	}
	values := make(map[int64]report.Line, len(lines))
	for _, line := range lines {
		values[line.Number] = line
	}
	written := int64(0)
	for _, line := range lines {
		from, to := line.Number, line.Number
		if err == nil {
			from, to = max(line.Number-around, written+1, 1), line.Number+around
		}
		if l.StartLine > 0 && l.StartLine <= line.Number {
			from = max(from, min(l.StartLine, line.Number))
		}
		if written > 0 && from > written+1 && err == nil {
			fmt.Fprintf(w, "%*s…\n", len(figuresHead)+7, "")
		}
		for n := from; n <= to; n++ {
			if n <= written || err == nil && n > int64(len(source)) && values[n] == (report.Line{}) {
				continue
			}
			numbers := strings.Repeat(" ", len(figuresHead))
			if v, ok := values[n]; ok {
				numbers = figures(report.Function{Self: v.Self, Total: v.Total}, r)
			}
			code := ""
			if n <= int64(len(source)) {
				code = source[n-1]
			}
			fmt.Fprintln(w, strings.TrimRight(t.fit(fmt.Sprintf("%s  %6d  %s", numbers, n, code)), " "))
			written = n
		}
	}
}
