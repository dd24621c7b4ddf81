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
)

const defaultOutput = "profile.pb.gz"

// writeFunc encodes a profile.
type writeFunc func(context.Context, io.Writer, exporter.Input) error

// formatOf finds what to write by a file's name.
func formatOf(name string) (writeFunc, error) {
	switch {
	case name == "-", strings.HasSuffix(name, ".pb.gz"):
		return pprof.Write, nil
	case strings.HasSuffix(name, ".pb"):
		return pprof.WriteUncompressed, nil
	case strings.HasSuffix(name, ".folded"):
		return folded.Write, nil
	case strings.HasSuffix(name, ".html"):
		return html.Write, nil
	}
	return nil, usageError("-o %s: the name must end in .pb.gz or .pb (pprof), .html (a page) or .folded (folded stacks), or be - for pprof on standard output", name)
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
