package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/folded"
	"github.com/staccato-profiler/staccato/exporter/html"
	"github.com/staccato-profiler/staccato/exporter/input"
	"github.com/staccato-profiler/staccato/exporter/report"
)

const defaultRows = 50

// reportOptions are the flags of report.
type reportOptions struct {
	filters            filterFlags
	flat, tree, folded bool
	html               bool
	peek, list         string
	total              bool
	limit              int
	sourcePath         string
	output             string
	noPager            bool
}

func (a *app) reportCommand() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use:   "report [flags] [FILE]",
		Short: "Print a profile: functions, call tree, callers and callees, source lines",
		Long: "Report prints what a profile says. FILE is one that any program wrote (pprof,\n" +
			"folded stacks, perf script), - for standard input, or a URL such as\n" +
			"http://localhost:6060/debug/pprof/profile?seconds=10; default profile.pb.gz.\n" +
			"Figures and filters are those of go tool pprof.",
		Example: "  staccato report                          # functions of profile.pb.gz\n" +
			"  staccato report --tree --tag comm=postgres\n" +
			"  staccato report --peek '^malloc$' other.pb.gz\n" +
			"  staccato report --list 'main\\.work' --no-pager",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			kinds := o.kinds(cmd)
			if len(kinds) > 1 {
				return usageError("choose one of %s", strings.Join(kinds, " and "))
			}
			if len(kinds) == 0 && strings.HasSuffix(o.output, ".html") {
				o.html = true
			}
			name := defaultOutput
			if len(args) > 0 {
				name = args[0]
			}
			return a.showReport(o, name)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.flat, "flat", false, "functions, the largest own value first (the default)")
	flags.BoolVar(&o.tree, "tree", false, "the call tree")
	flags.BoolVar(&o.folded, "folded", false, "folded stacks, for flame graph tools")
	flags.BoolVar(&o.html, "html", false, "one page that shows it all in a browser; with -o FILE.html, too")
	flags.StringVar(&o.peek, "peek", "", "callers and callees of functions that match `REGEX`")
	flags.StringVar(&o.list, "list", "", "source lines of functions that match `REGEX`")
	flags.BoolVar(&o.total, "total", false, "sort functions by total")
	flags.IntVarP(&o.limit, "limit", "n", defaultRows, "print at most `N` rows; 0 is all")
	flags.StringVar(&o.sourcePath, "source-path", "", "look for source files in these `FOLDERS`, separated by colons")
	flags.StringVarP(&o.output, "output", "o", "-", "write to this `FILE`; - is standard output")
	flags.BoolVar(&o.noPager, "no-pager", false, "do not start $PAGER when the report is longer than the screen")
	o.filters.add(flags)
	return cmd
}

// kinds are the kinds of report that the command line asks for.
func (o *reportOptions) kinds(cmd *cobra.Command) (kinds []string) {
	for _, name := range []string{"flat", "tree", "folded", "html", "peek", "list"} {
		if cmd.Flags().Changed(name) {
			kinds = append(kinds, "--"+name)
		}
	}
	return kinds
}

// printer writes one kind of report.
type printer func(w io.Writer, r *report.Report) error

func (a *app) showReport(o reportOptions, name string) error {
	filters, err := o.filters.Compile()
	if err != nil {
		return explainReport(err)
	}
	if o.limit < 0 {
		return usageError("-n %d: want 0 for all, or more", o.limit)
	}
	t := a.text()
	if o.output != "-" {
		t = text{}
	}
	write, err := o.printer(t)
	if err != nil {
		return err
	}
	if o.html && o.output == "-" && a.stdoutTerminal {
		return usageError("--html: a page is nothing for a terminal; name a file: -o profile.html")
	}
	value := o.filters.value
	if o.folded && value == "" {
		value = "0" // as record -o out.folded does
	}

	var out bytes.Buffer
	err = a.orStop(func() error {
		p, err := a.readProfile(name, input.Auto)
		if err != nil {
			return err
		}
		r, err := report.New(p, value, filters)
		if err != nil {
			return explainReport(err)
		}
		a.noteUnmatched(r)
		return write(&out, r)
	})
	if err != nil {
		return err
	}
	if o.output == "-" {
		return a.page(out.Bytes(), o.noPager || o.folded || o.html)
	}
	return a.saveText(o.output, out.Bytes())
}

// noteUnmatched tells of filters that did nothing.
func (a *app) noteUnmatched(r *report.Report) {
	for _, filter := range r.Unmatched {
		fmt.Fprintf(a.stderr, "Note: %s matches nothing.\n", printable(filter))
	}
}

func (o *reportOptions) printer(t text) (printer, error) {
	matching := func(flag, value string) (*regexp.Regexp, error) {
		re, err := regexp.Compile(value)
		if err != nil {
			return nil, usageError("%s %s: %w", flag, value, err)
		}
		return re, nil
	}
	switch {
	case o.tree:
		return o.headed(t, func(w io.Writer, r *report.Report) error { return t.tree(w, r, o.limit) }), nil
	case o.folded:
		return writeFolded, nil
	case o.html:
		return o.writeHTML, nil
	case o.peek != "":
		names, err := matching("--peek", o.peek)
		return o.headed(t, func(w io.Writer, r *report.Report) error { return t.peek(w, r, names, o.limit) }), err
	case o.list != "":
		names, err := matching("--list", o.list)
		sources := newSources(o.sourcePath)
		return o.headed(t, func(w io.Writer, r *report.Report) error { return t.list(w, r, names, sources, o.limit) }), err
	}
	return o.headed(t, func(w io.Writer, r *report.Report) error { return t.flat(w, r, o.total, o.limit) }), nil
}

// headed puts the header before a report.
func (o *reportOptions) headed(t text, body printer) printer {
	return func(w io.Writer, r *report.Report) error {
		fmt.Fprintln(w, t.style.bold(headline(r)))
		if given := o.filters.given(); len(given) > 0 {
			sum := r.Sum()
			fmt.Fprintf(w, "filtered: %s (%s) by %s\n", report.Format(float64(sum), r.Value.Unit), percent(sum, r.All), printable(strings.Join(given, ", ")))
		}
		fmt.Fprintln(w)
		if len(r.Profile.Sample) == 0 {
			fmt.Fprintln(w, "no samples")
			return nil
		}
		return body(w, r)
	}
}

// headline is what a profile is about, in one line.
func headline(r *report.Report) string {
	p := r.Profile
	line := fmt.Sprintf("%s: %s", printable(r.Value.Type), report.Format(float64(r.All), r.Value.Unit))
	if p.DurationNanos > 0 {
		line += " in " + report.Format(float64(p.DurationNanos), "nanoseconds")
		if r.Value.Unit == "nanoseconds" {
			line += fmt.Sprintf(" (%s)", percent(r.All, p.DurationNanos))
		}
	}
	if p.TimeNanos != 0 {
		line += ", " + time.Unix(0, p.TimeNanos).UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return line
}

func writeFolded(w io.Writer, r *report.Report) error {
	r.KeepValue()
	return folded.Write(context.Background(), w, exporter.Input{Profile: r.Profile})
}

func (o *reportOptions) writeHTML(w io.Writer, r *report.Report) error {
	if o.filters.value != "" {
		r.KeepValue()
	}
	return html.Write(context.Background(), w, exporter.Input{Profile: r.Profile})
}

// saveText writes a file that is there as a whole or not at all.
func (a *app) saveText(path string, content []byte) error {
	out, err := openOutput(path, false, func(_ context.Context, w io.Writer, _ exporter.Input) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	defer out.discard()
	size, err := out.save(a.stop, exporter.Input{})
	if err != nil {
		return err
	}
	a.saved(path, size)
	return nil
}

var errNoMatch = errors.New("no function matches")
