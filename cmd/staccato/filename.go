package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/folded"
	"github.com/staccato-profiler/staccato/exporter/html"
	"github.com/staccato-profiler/staccato/exporter/pprof"
	"github.com/staccato-profiler/staccato/exporter/speedscope"
)

const defaultOutput = "profile.pb.gz"

// writeFunc encodes a profile.
type writeFunc func(context.Context, io.Writer, exporter.Input) error

// fileFormat is a format that profiles are written in.
type fileFormat struct {
	name     string // for --to
	suffix   string
	what     string
	write    writeFunc
	isBinary bool
}

var fileFormats = []fileFormat{
	{name: "pprof", suffix: ".pb.gz", what: "pprof", write: pprof.Write, isBinary: true},
	{name: "pb", suffix: ".pb", what: "pprof without compression", write: pprof.WriteUncompressed, isBinary: true},
	{name: "html", suffix: ".html", what: "a page", write: html.Write},
	{name: "folded", suffix: ".folded", what: "folded stacks", write: folded.Write},
	{name: "speedscope", suffix: ".speedscope.json", what: "speedscope", write: speedscope.Write},
}

// formatOf finds what to write by a file's name; what is the argument or flag
// that it is from.
func formatOf(what, name string) (fileFormat, error) {
	if name == "-" {
		return fileFormats[0], nil
	}
	var known []string
	for _, f := range fileFormats {
		if strings.HasSuffix(name, f.suffix) {
			return f, nil
		}
		known = append(known, fmt.Sprintf("%s (%s)", f.suffix, f.what))
	}
	return fileFormat{}, usageError("%s %s: the name must end in %s, or be - for pprof on standard output", what, name, strings.Join(known, ", "))
}

func formatByName(name string) (fileFormat, error) {
	var known []string
	for _, f := range fileFormats {
		if f.name == name {
			return f, nil
		}
		known = append(known, f.name)
	}
	return fileFormat{}, usageError("--to %s: there are %s", name, strings.Join(known, ", "))
}

// expand puts values in the place of %p (process ID), %t (local time as
// 20060102-150405) and %h (host name); %% is a percent sign.
func expand(name string, pid int, now time.Time) (string, error) {
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] != '%' {
			b.WriteByte(name[i])
			continue
		}
		i++
		if i == len(name) {
			return "", usageError("-o %s: %% at the end; write %%%% for a percent sign", name)
		}
		switch name[i] {
		case 'p':
			b.WriteString(strconv.Itoa(pid))
		case 't':
			b.WriteString(now.Format("20060102-150405"))
		case 'h':
			host, err := os.Hostname()
			if err != nil {
				return "", fmt.Errorf("read host name for %%h: %w", err)
			}
			b.WriteString(host)
		case '%':
			b.WriteByte('%')
		default:
			return "", usageError("-o %s: unknown %%%c; there are %%p (process ID), %%t (time), %%h (host) and %%%%", name, name[i])
		}
	}
	return b.String(), nil
}

func formatIsPprof(name string) bool {
	return strings.HasSuffix(name, ".pb.gz") || strings.HasSuffix(name, ".pb")
}
