package main

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"
)

// function is a row of the table of top functions. Self counts the samples in
// which it was innermost, total those in which it was anywhere.
type function struct {
	name, executable string
	self, total      int64
}

// unnamed stands for all code of an executable that has no name.
const unnamed = "(no name)"

// topFunctions sums up the samples' first value by function, the largest self
// first, and returns the n first rows and the sum of all samples. Inlined calls
// are functions of their own.
func topFunctions(p *profile.Profile, n int) (rows []function, all int64) {
	type key struct{ name, executable string }
	functions := make(map[key]*function)
	at := func(name, executable string) *function {
		k := key{name, executable}
		f := functions[k]
		if f == nil {
			f = &function{name: name, executable: executable}
			functions[k] = f
		}
		return f
	}

	seen := make(map[*function]bool) // recursion counts once per sample
	for _, s := range p.Sample {
		value := s.Value[0]
		all += value
		clear(seen)
		innermost := true
		count := func(f *function) {
			if innermost {
				f.self += value
				innermost = false
			}
			if !seen[f] {
				f.total += value
				seen[f] = true
			}
		}
		for _, loc := range s.Location {
			executable := executableName(loc.Mapping)
			for _, line := range loc.Line {
				if line.Function != nil && line.Function.Name != "" {
					count(at(line.Function.Name, executable))
				}
			}
			if len(loc.Line) == 0 {
				// Addresses would fill the table with rows that say nothing.
				count(at(unnamed, executable))
			}
		}
	}

	for _, f := range functions {
		rows = append(rows, *f)
	}
	slices.SortFunc(rows, func(a, b function) int {
		return cmp.Or(-cmp.Compare(a.self, b.self), -cmp.Compare(a.total, b.total),
			strings.Compare(a.name, b.name), strings.Compare(a.executable, b.executable))
	})
	return rows[:min(n, len(rows))], all
}

func executableName(m *profile.Mapping) string {
	if m == nil {
		return ""
	}
	return binaryName(m.File)
}

// binaryName is what the executable of a path is called in tables.
func binaryName(file string) string {
	switch {
	case file == "":
		return ""
	case strings.HasPrefix(file, "["):
		// [kernel.kallsyms] is what files call it.
		return strings.Replace(printable(file), ".kallsyms", "", 1)
	}
	return printable(path.Base(file))
}

// writeTable writes rows into lines of at most width columns.
func writeTable(rows []function, all int64, width int) string {
	const head, gap = 16, 2 // columns of the two numbers
	executableWidth := len("binary")
	for i := range rows {
		rows[i].name, rows[i].executable = printable(rows[i].name), printable(rows[i].executable)
		executableWidth = max(executableWidth, utf8.RuneCountInString(rows[i].executable))
	}
	executableWidth = min(executableWidth, max(len("binary"), (width-head)/3))
	longest := len("function")
	for _, row := range rows {
		longest = max(longest, utf8.RuneCountInString(row.name))
	}
	nameWidth := min(longest, max(len("function"), width-head-gap-executableWidth))

	var b strings.Builder
	line := func(self, total, name, executable string) {
		text := fmt.Sprintf("%6s  %6s  %-*s  %s", self, total, nameWidth, shorten(name, nameWidth), shorten(executable, executableWidth))
		b.WriteString(strings.TrimRight(text, " "))
		b.WriteByte('\n')
	}
	line("self", "total", "function", "binary")
	for _, row := range rows {
		line(percent(row.self, all), percent(row.total, all), row.name, row.executable)
	}
	return b.String()
}

func percent(part, all int64) string {
	if all == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(all))
}

// shorten cuts the end off what has more than n characters.
func shorten(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:max(n-1, 0)]) + "…"
}
