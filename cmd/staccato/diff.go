package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/html"
	"github.com/staccato-profiler/staccato/exporter/input"
	"github.com/staccato-profiler/staccato/exporter/report"
)

// diffOptions are the flags of diff.
type diffOptions struct {
	filters filterFlags
	scale   string
	all     bool
	total   bool
	limit   int
	failIf  []string
	html    bool
	output  string
	noPager bool
}

func (a *app) diffCommand() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff [flags] BEFORE AFTER",
		Short: "Print what changed between two profiles",
		Long: "Diff compares two profiles, function by function: own values and totals, what is\n" +
			"new and what is gone. Changes smaller than twice what chance makes of so many\n" +
			"samples (2σ) are hidden. With --fail-if it exits with code 6 when a condition\n" +
			"holds: self(REGEX) or total(REGEX), then > >= < or <=, then a change in points\n" +
			"of everything (pt) or relative to the value before (%). It must be beyond noise.",
		Example: "  staccato diff before.pb.gz after.pb.gz\n" +
			"  staccato diff --scale total --tag comm=postgres before.pb.gz after.pb.gz\n" +
			"  staccato diff --fail-if 'total(^json\\.) > +2pt' --fail-if 'self(.) > 10%' a.pb.gz b.pb.gz",
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return a.diff(o, args[0], args[1]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.scale, "scale", "", "make the profiles comparable by `duration`, total (shares of each), or none;\ndefault: duration, or total when a profile has none")
	flags.BoolVar(&o.all, "all", false, "print changes inside noise, too")
	flags.BoolVar(&o.total, "total", false, "sort functions by the change of their totals")
	flags.IntVarP(&o.limit, "limit", "n", defaultRows, "print at most `N` rows; 0 is all")
	flags.StringArrayVar(&o.failIf, "fail-if", nil, "exit with code 6 when this `CONDITION` holds; several are possible")
	flags.BoolVar(&o.html, "html", false, "one page that shows it all in a browser; with -o FILE.html, too")
	flags.StringVarP(&o.output, "output", "o", "-", "write to this `FILE`; - is standard output")
	flags.BoolVar(&o.noPager, "no-pager", false, "do not start $PAGER when the table is longer than the screen")
	o.filters.add(flags)
	return cmd
}

func (a *app) diff(o diffOptions, before, after string) error {
	filters, err := o.filters.Compile()
	if err != nil {
		return explainReport(err)
	}
	scale := report.Scale(o.scale)
	switch scale {
	case "", report.ByDuration, report.ByTotal, report.NotScaled:
	default:
		return usageError("--scale %s: want duration, total or none", o.scale)
	}
	if o.limit < 0 {
		return usageError("-n %d: want 0 for all, or more", o.limit)
	}
	if before == "-" && after == "-" {
		return usageError("only one of the profiles can come from standard input")
	}
	o.html = o.html || strings.HasSuffix(o.output, ".html")
	if o.html && o.output == "-" && a.stdoutTerminal {
		return usageError("--html: a page is nothing for a terminal; name a file: -o diff.html")
	}
	var conditions []report.Condition
	for _, each := range o.failIf {
		c, err := report.ParseCondition(each)
		if err != nil {
			return explainCondition(err)
		}
		conditions = append(conditions, c)
	}

	var out bytes.Buffer
	var verdicts []report.Verdict
	err = a.orStop(func() error {
		var reports [2]*report.Report
		for i, name := range []string{before, after} {
			p, err := a.readProfile(name, input.Auto)
			if err != nil {
				return err
			}
			if reports[i], err = report.New(p, o.filters.value, filters); err != nil {
				return explainReport(err)
			}
		}
		d, err := report.Compare(reports[0], reports[1], scale)
		if err != nil {
			return explainCompare(err)
		}
		for _, c := range conditions {
			verdicts = append(verdicts, d.Check(c))
		}
		return a.writeDiff(&out, d, o)
	})
	if err != nil {
		return err
	}
	if o.output != "-" {
		err = a.saveText(o.output, out.Bytes())
	} else {
		err = a.page(out.Bytes(), o.noPager || o.html)
	}
	if err != nil {
		return err
	}
	return a.judge(verdicts)
}

func (a *app) writeDiff(w io.Writer, d *report.Diff, o diffOptions) error {
	if o.html {
		return html.Diff(a.stop, w, exporter.Input{Profile: d.Before.Profile}, exporter.Input{Profile: d.After.Profile})
	}
	t := a.text()
	if o.output != "-" {
		t = text{}
	}
	if given := o.filters.given(); len(given) > 0 {
		fmt.Fprintf(w, "filtered by %s\n", printable(strings.Join(given, ", ")))
	}
	t.diff(w, d, o)
	return nil
}

func explainCompare(err error) error {
	if errors.Is(err, report.ErrNoDuration) {
		return usageError("--scale duration: %w; use --scale total", err)
	}
	return fmt.Errorf("compare profiles: %w", err)
}

// explainCondition points at the mistake.
func explainCondition(err error) error {
	var condition *report.ConditionError
	if !errors.As(err, &condition) {
		return err
	}
	text := printable(condition.Text)
	at := utf8.RuneCountInString(condition.Text[:min(condition.At, len(condition.Text))])
	return &exitError{exitUsage, fmt.Errorf("--fail-if: %w", err), []string{text, strings.Repeat(" ", at) + "^"}}
}

const diffHead = "   change  before   after     change  before   after"

// diff writes the table of changes.
func (t text) diff(w io.Writer, d *report.Diff, o diffOptions) {
	fmt.Fprintln(w, t.style.bold(diffHeadline(d)))
	switch d.Scale {
	case report.ByDuration:
		fmt.Fprintln(w, "scaled to equal durations; shares are of all before")
	case report.ByTotal:
		fmt.Fprintln(w, "scaled to equal totals; shares are of all in each")
	default:
		fmt.Fprintln(w, "not scaled; shares are of all before")
	}
	if !d.Noise {
		fmt.Fprintln(w, "what chance does is not known: nothing says how many samples values stand for")
	}
	fmt.Fprintln(w)

	var rows []report.Change
	hidden := 0
	for _, c := range d.Functions {
		switch {
		case o.all || d.Significant(c):
			rows = append(rows, c)
		case c.Self() != 0 || c.Total() != 0:
			hidden++
		}
	}
	if o.total {
		report.SortByTotalChange(rows)
	}
	shown := rows
	if o.limit > 0 {
		shown = rows[:min(o.limit, len(rows))]
	}
	if len(shown) > 0 {
		fmt.Fprintln(w, t.style.bold("     self                      total"))
		fmt.Fprintln(w, t.style.bold(diffHead+"  function"))
	} else {
		fmt.Fprintln(w, "nothing changed")
	}
	for _, c := range shown {
		name := functionName(c.Function)
		paint := t.style.cyan // shrank
		if c.Self() > 0 || c.Self() == 0 && c.Total() > 0 {
			paint = t.style.red
		}
		switch {
		case c.New():
			name = "new: " + name
			paint = t.style.yellow
		case c.Gone():
			name = "gone: " + name
		}
		line := fmt.Sprintf("%s  %s  %s", d3(c.SelfBefore, c.SelfAfter, d.AllBefore), d3(c.TotalBefore, c.TotalAfter, d.AllBefore), name)
		fmt.Fprintln(w, paint(t.fit(line)))
	}
	if more := len(rows) - len(shown); more > 0 {
		fmt.Fprintf(w, "(%s more; all with -n 0)\n", thousandsOf(more, "change"))
	}
	if hidden > 0 {
		fmt.Fprintf(w, "(%s below noise, under 2σ, hidden: --all)\n", thousandsOf(hidden, "change"))
	}
}

// d3 are three columns: the change in points, both shares.
func d3(before, after report.Amount, all float64) string {
	return fmt.Sprintf("%9s %7s %7s", points(after.Value-before.Value, all), shareOf(before.Value, all), shareOf(after.Value, all))
}

func points(change, all float64) string {
	if all == 0 {
		return "-"
	}
	if change == 0 {
		return "0.0 pt"
	}
	return fmt.Sprintf("%+.1f pt", 100*change/all)
}

func shareOf(part, all float64) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*part/all)
}

func diffHeadline(d *report.Diff) string {
	side := func(r *report.Report) string {
		text := report.Format(float64(r.All), r.Value.Unit)
		if r.Profile.DurationNanos > 0 {
			text += " in " + report.Format(float64(r.Profile.DurationNanos), "nanoseconds")
		}
		return text
	}
	line := fmt.Sprintf("%s: before %s → after %s", printable(d.Before.Value.Type), side(d.Before), side(d.After))
	if d.Scale != report.ByTotal && d.AllBefore != 0 {
		line += fmt.Sprintf("   (%+.1f%%)", 100*(d.AllAfter-d.AllBefore)/d.AllBefore)
	}
	return line
}

// judge says what became of the conditions of --fail-if, and fails when one
// holds.
func (a *app) judge(verdicts []report.Verdict) error {
	failed := 0
	for _, v := range verdicts {
		verdict := "no"
		switch {
		case v.Holds:
			verdict = "YES"
			failed++
		case v.Noise:
			verdict = "no, it is inside noise"
		case !v.Matched:
			verdict = "no, nothing matches in either profile"
		}
		unit := " pt"
		if v.Condition.Relative() {
			unit = "%"
		}
		change := fmt.Sprintf("%+.2f%s", v.Change, unit)
		switch {
		case math.IsInf(v.Change, 0):
			change = "new"
		case v.Sigma > 0:
			change += fmt.Sprintf(" ± %.2f (2σ)", 2*v.Sigma)
		}
		fmt.Fprintf(a.stderr, "%s: %s (change %s)\n", printable(v.Condition.String()), verdict, change)
	}
	if failed > 0 {
		return &exitError{exitCondition, fmt.Errorf("--fail-if: %s", holding(failed)), nil}
	}
	return nil
}

func holding(n int) string {
	if n == 1 {
		return "1 condition holds"
	}
	return fmt.Sprintf("%d conditions hold", n)
}
