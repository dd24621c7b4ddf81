package main

import (
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/agent"
)

const (
	topRows      = 10
	unnamedRows  = 3
	unreadRows   = 3
	leastUnnamed = 0.005 // of the samples
	defaultWidth = 100   // of lines that go to no terminal
)

// closing is what a recording says when it is over.
type closing struct {
	reason  string // why it ended
	profile *agent.Profile
	width   int // of the terminal, 0 when there is none
	system  system
}

func (c closing) print(w io.Writer) {
	s := c.profile.Summary
	lost := sum(s.Lost)
	if s.Samples == 0 {
		fmt.Fprintf(w, "Stopped: %s. 0 samples, lost %s.\n", c.reason, thousands(lost))
	} else {
		fmt.Fprintf(w, "Stopped: %s. %s samples (%.1f CPU-s) at %.1f Hz, lost %s (%s), stacks complete %.1f%%, named %.1f%%.\n",
			c.reason, thousands(s.Samples), c.cpuSeconds(), s.Achieved, thousands(lost), share(lost, s.Samples+lost),
			100*s.Complete, 100*s.Named)
	}

	if len(c.profile.Profile.Sample) > 0 {
		width := c.width
		if width == 0 {
			width = defaultWidth
		}
		rows, all := topFunctions(c.profile.Profile, topRows)
		io.WriteString(w, writeTable(rows, all, width))
	}

	if lost > 0 {
		fmt.Fprintf(w, "! Lost, and shown as frames of their own: %s.\n", causes(s.Lost))
		if s.Estimated != "" {
			fmt.Fprintf(w, "    What was not sampled is an estimate: %s.\n", printable(s.Estimated))
		}
	}
	if s.Late > 0 {
		fmt.Fprintf(w, "! About %s more samples were due, but the CPUs were not running or the kernel held them back.\n", thousands(s.Late))
	}
	if sum(s.Truncated) > 0 {
		fmt.Fprintf(w, "! Stacks that are not whole: %s.\n", causes(s.Truncated))
	}
	c.printTableFaults(w)
	c.printUnread(w)
	if s.NoIndex != nil {
		fmt.Fprintf(w, "! What is read of debug information cannot be kept for the next time: %s.\n", printable(s.NoIndex.Error()))
	}
	c.printUnnamed(w)
}

// printUnread lists what was not waited for to the end.
func (c closing) printUnread(w io.Writer) {
	unread := c.profile.Summary.Unread
	if len(unread) == 0 {
		return
	}
	fmt.Fprintln(w, "! Saved before all debug information was there: no lines and inlined calls in")
	for _, file := range unread[:min(unreadRows, len(unread))] {
		fmt.Fprintf(w, "    %s\n", printable(file))
	}
	if more := len(unread) - unreadRows; more > 0 {
		fmt.Fprintf(w, "    and %d more\n", more)
	}
	if c.profile.Summary.NoIndex == nil {
		fmt.Fprintln(w, "  Record again for them: what has been read is kept.")
	}
}

func (c closing) printTableFaults(w io.Writer) {
	s := &c.profile.Summary
	if len(s.TableFaults) == 0 {
		return
	}
	fmt.Fprintln(w, "! Unwound without tables, or without some:")
	for _, f := range s.TableFaults[:min(unnamedRows, len(s.TableFaults))] {
		fmt.Fprintf(w, "    %s: %s\n", printable(f.Path), printable(f.Reason))
	}
	if more := max(len(s.TableFaults)-unnamedRows, 0) + int(s.TableFaultsBeyond); more > 0 {
		fmt.Fprintf(w, "    and %d more\n", more)
	}
}

// printUnnamed explains the largest shares of samples that have frames without
// names, and what would give them names.
func (c closing) printUnnamed(w io.Writer) {
	s := c.profile.Summary
	for _, u := range s.Unnamed[:min(unnamedRows, len(s.Unnamed))] {
		if float64(u.Samples) < leastUnnamed*float64(s.Samples) {
			return
		}
		what := "code in no executable"
		switch {
		case u.Program != "":
			what = "code that " + path.Base(u.Program) + " generated"
		case u.Path != "":
			what = executableName(&profile.Mapping{File: u.Path})
		}
		reason := u.Reason
		switch {
		case reason == "":
			reason = "has no symbols for it"
		case reason == "no symbols":
			reason = "has no symbols"
		default:
			what += ":"
		}
		line := fmt.Sprintf("! %s without names: %s %s", share(u.Samples, s.Samples), what, reason)
		if u.BuildID != "" {
			line += fmt.Sprintf(" (build ID %s)", shorten(u.BuildID, 13))
		}
		line += "."
		if fix := c.system.fix(u); fix != "" {
			line += " Fix: " + fix + "."
		}
		fmt.Fprintln(w, printable(line))
	}
}

// cpuSeconds is the CPU time that the samples stand for.
func (c closing) cpuSeconds() float64 {
	return float64(c.profile.Summary.Samples) * float64(c.profile.Profile.Period) / 1e9
}

// causes lists counts by cause, the largest first.
func causes(counts map[string]uint64) string {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			if counts[a] > counts[b] {
				return -1
			}
			return 1
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, name := range names {
		if counts[name] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", thousands(counts[name]), printable(name)))
		}
	}
	return strings.Join(parts, ", ")
}

func sum(counts map[string]uint64) uint64 {
	var n uint64
	for _, count := range counts {
		n += count
	}
	return n
}

func share(part, all uint64) string {
	if all == 0 {
		return "0.0%"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(all))
}
