package main

import (
	"strings"

	"github.com/spf13/pflag"

	"github.com/staccato-profiler/staccato/exporter/report"
)

// filterFlags choose what of a profile counts.
type filterFlags struct {
	report.Filter
	value string
}

func (f *filterFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.Focus, "focus", "", "only samples with a frame that matches `REGEX` (function, file or binary)")
	flags.StringVar(&f.Ignore, "ignore", "", "no samples with a frame that matches `REGEX`")
	flags.StringVar(&f.Hide, "hide", "", "leave out frames that match `REGEX`")
	flags.StringVar(&f.Show, "show", "", "leave out frames that do not match `REGEX`")
	flags.StringVar(&f.ShowFrom, "show-from", "", "begin stacks at the outermost frame that matches `REGEX`")
	flags.StringArrayVar(&f.Tags, "tag", nil, "only samples with this label: `KEY=VALUE`, as in pid=4242, comm=REGEX,\nbytes=1kb:64kb; several must all match")
	flags.StringArrayVar(&f.TagIgnore, "tag-ignore", nil, "no samples with this label, `KEY=VALUE`")
	flags.StringVar(&f.value, "sample-index", "", "which `VALUE` of the samples counts, by name or number; default: the profile's")
	flags.SetNormalizeFunc(pprofNames)
}

// pprofNames lets the flags be written as pprof has them.
func pprofNames(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	switch name = strings.ReplaceAll(name, "_", "-"); name {
	case "tagfocus":
		name = "tag"
	case "tagignore":
		name = "tag-ignore"
	case "cum":
		name = "total"
	case "nodecount":
		name = "limit"
	}
	return pflag.NormalizedName(name)
}

// given lists the filters that are set, for the header of a report.
func (f *filterFlags) given() []string {
	var given []string
	for _, each := range []struct{ name, value string }{
		{"focus", f.Focus}, {"ignore", f.Ignore}, {"hide", f.Hide}, {"show", f.Show}, {"show-from", f.ShowFrom},
	} {
		if each.value != "" {
			given = append(given, each.name+"="+each.value)
		}
	}
	for _, tag := range f.Tags {
		given = append(given, "tag "+tag)
	}
	for _, tag := range f.TagIgnore {
		given = append(given, "tag-ignore "+tag)
	}
	return given
}
