package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/input"
	"github.com/staccato-profiler/staccato/exporter/report"
)

// convertOptions are the flags of convert.
type convertOptions struct {
	filters  filterFlags
	from, to string
}

func (a *app) convertCommand() *cobra.Command {
	var o convertOptions
	cmd := &cobra.Command{
		Use:   "convert [flags] IN OUT",
		Short: "Write a profile in another format",
		Long: "Convert reads a profile of any program (pprof, folded stacks, the text of perf\n" +
			"script; a file, - for standard input, or a URL) and writes it in the format that\n" +
			"OUT's name says: .pb.gz, .pb (pprof), .html, .folded or .speedscope.json.",
		Example: "  staccato convert profile.pb.gz profile.speedscope.json\n" +
			"  perf script | staccato convert - perf.pb.gz\n" +
			"  staccato convert --to folded profile.pb.gz - | flamegraph.pl > profile.svg",
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return a.convert(o, args[0], args[1]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.from, "from", "auto", "`FORMAT` of IN: pprof, folded or perf; auto looks at the content")
	flags.StringVar(&o.to, "to", "", "`FORMAT` of OUT: pprof, pb, html, folded or speedscope; default: by OUT's name")
	o.filters.add(flags)
	flags.Lookup("sample-index").Usage = "keep only this `VALUE` of the samples, by name or number"
	return cmd
}

func (a *app) convert(o convertOptions, in, out string) error {
	filters, err := o.filters.Compile()
	if err != nil {
		return explainReport(err)
	}
	from, err := input.FormatByName(o.from)
	if err != nil {
		return usageError("--from: %w", err)
	}
	to, err := o.target(out)
	if err != nil {
		return err
	}
	if out == "-" && to.isBinary && a.stdoutTerminal {
		return usageError("-: a pprof file is nothing for a terminal; send it to a file or a pipe")
	}
	file := standardOutput(a.stdout, to.write)
	if out != "-" {
		if file, err = openOutput(out, false, to.write); err != nil {
			return err
		}
	}
	defer file.discard()
	var size int64
	err = a.orStop(func() error {
		p, err := a.readProfile(in, from)
		if err != nil {
			return err
		}
		// Without a filter the profile stays as it is.
		if o.filters.value != "" || len(o.filters.given()) > 0 {
			r, err := report.New(p, o.filters.value, filters)
			if err != nil {
				return explainReport(err)
			}
			a.noteUnmatched(r)
			if o.filters.value != "" {
				r.KeepValue()
			}
		}
		size, err = file.save(a.stop, exporter.Input{Profile: p})
		return err
	})
	if err != nil {
		if errors.Is(err, errAborted) {
			return errInterrupted
		}
		return err
	}
	a.saved(out, size)
	return nil
}

// target is the format to write.
func (o *convertOptions) target(out string) (fileFormat, error) {
	if o.to != "" {
		return formatByName(o.to)
	}
	return formatOf("OUT", out)
}
