package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/staccato-profiler/staccato/exporter/report"
)

// text is how reports are written.
type text struct {
	style style
	width int // columns; 0: as many as it takes
}

// text is how reports are written to standard output.
func (a *app) text() text { return text{style: style(a.color), width: a.stdoutWidth} }

// figures are the columns before a name: own value and share, total and share.
const figuresHead = "    self   self%     total  total%"

func figures(f report.Function, r *report.Report) string {
	return fmt.Sprintf("%8s %7s  %8s %7s",
		report.Format(float64(f.Self), r.Value.Unit), percent(f.Self, r.All),
		report.Format(float64(f.Total), r.Value.Unit), percent(f.Total, r.All))
}

// flat writes the table of functions.
func (t text) flat(w io.Writer, r *report.Report, byTotal bool, limit int) error {
	rows := r.Functions()
	if byTotal {
		report.SortByTotal(rows)
	}
	shown := rows
	if limit > 0 {
		shown = rows[:min(limit, len(rows))]
	}
	names, executables := newColumn("function"), newColumn("binary")
	for _, f := range shown {
		names.add(functionName(f))
		executables.add(binaryName(f.Executable))
	}
	if t.width > 0 {
		left := t.width - len(figuresHead) - 4
		executables.width = min(executables.width, max(len("binary"), left/3))
		names.width = min(names.width, max(len("function"), left-executables.width))
	}
	fmt.Fprintln(w, t.style.bold(strings.TrimRight(figuresHead+"  "+names.cell(0)+"  "+executables.cell(0), " ")))
	for i, f := range shown {
		fmt.Fprintln(w, strings.TrimRight(figures(f, r)+"  "+names.cell(i+1)+"  "+executables.cell(i+1), " "))
	}
	if more := len(rows) - len(shown); more > 0 {
		fmt.Fprintf(w, "(%s more; all with -n 0)\n", thousandsOf(more, "function"))
	}
	return nil
}

// functionName is a function's name with what there is to say about it.
func functionName(f report.Function) string {
	name := printable(f.Label())
	if f.Inlined {
		name += " (inlined)"
	}
	return name
}

// column is the cells of one column, the head first.
type column struct {
	cells []string
	width int
}

func newColumn(head string) *column {
	c := new(column)
	c.add(head)
	return c
}

func (c *column) add(text string) {
	c.cells = append(c.cells, text)
	c.width = max(c.width, utf8.RuneCountInString(text))
}

// cell is a cell in the column's width.
func (c *column) cell(i int) string {
	return fmt.Sprintf("%-*s", c.width, shorten(c.cells[i], c.width))
}

// thousandsOf is "1 function" or "1,234 functions".
func thousandsOf(n int, what string) string {
	text := thousands(uint64(n)) + " " + what
	if n != 1 {
		text += "s"
	}
	return text
}

// fit cuts a line to the width of the terminal.
func (t text) fit(line string) string {
	if t.width == 0 {
		return line
	}
	return shorten(line, t.width)
}
