package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// section is a part of the table: rows of something, a column for each kernel.
type section struct {
	title string
	rows  []row
}

type row struct {
	name  string
	cells []string // by kernel
}

// sections puts the results of all kernels side by side.
func sections(results []*result) []section {
	var list []section
	cell := func(title, name string, kernel int, text string) {
		s := slices.IndexFunc(list, func(s section) bool { return s.title == title })
		if s < 0 {
			s = len(list)
			list = append(list, section{title: title})
		}
		at := slices.IndexFunc(list[s].rows, func(r row) bool { return r.name == name })
		if at < 0 {
			at = len(list[s].rows)
			list[s].rows = append(list[s].rows, row{name, slices.Repeat([]string{"–"}, len(results))})
		}
		list[s].rows[at].cells[kernel] = text
	}
	for i, r := range results {
		cell("kernel", "version", i, strings.TrimSuffix(strings.TrimSuffix(r.version, "-amd64"), "-arm64"))
		cell("kernel", "time", i, r.took.Round(time.Second).String())
		if r.ended != "" {
			cell("kernel", "ended", i, r.ended)
		}
	}
	for i, r := range results {
		for _, f := range r.facts {
			cell(f.kind, f.name, i, f.value)
		}
	}
	for i, r := range results {
		for _, t := range r.tests {
			outcome := orElse(t.outcome, "did not end")
			if t.test != "" {
				cell("tests: "+t.run, t.test, i, outcome)
			} else if outcome != "pass" {
				cell("tests: "+t.run, "(all)", i, outcome)
			}
		}
	}
	return list
}

func names(results []*result) (names []string) {
	for _, r := range results {
		names = append(names, r.kernel.String())
	}
	return names
}

func printTable(out io.Writer, results []*result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s\n", strings.Join(names(results), "\t"))
	for _, s := range sections(results) {
		fmt.Fprintf(w, "%s\n", strings.ToUpper(s.title))
		for _, r := range s.rows {
			fmt.Fprintf(w, "  %s\t%s\n", r.name, strings.Join(r.cells, "\t"))
		}
	}
	return w.Flush()
}

// Where the table is in its file.
const (
	tableBegin = "<!-- Written by make test-vm. -->\n"
	tableEnd   = "<!-- End of what make test-vm writes. -->\n"
)

// writeTable puts the table in place of the one that the file has.
func writeTable(path string, results []*result) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	before, rest, begin := bytes.Cut(old, []byte(tableBegin))
	_, after, end := bytes.Cut(rest, []byte(tableEnd))
	if !begin || !end {
		return fmt.Errorf("write table: %s has no place for it", path)
	}
	var b bytes.Buffer
	b.Write(before)
	b.WriteString(tableBegin)
	for _, s := range sections(results) {
		fmt.Fprintf(&b, "\n| %s | %s |\n|---%s|\n", s.title, strings.Join(names(results), " | "), strings.Repeat("|---", len(results)))
		for _, r := range s.rows {
			fmt.Fprintf(&b, "| %s | %s |\n", strings.ReplaceAll(r.name, "|", `\|`), strings.Join(r.cells, " | "))
		}
	}
	b.WriteString("\n" + tableEnd)
	b.Write(after)
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	if err := os.WriteFile(temporary, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}
