package report

import (
	"cmp"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Listing is a function with the lines of its source that have values.
type Listing struct {
	// Name is the function's, File the source file's as the profile has it, empty
	// when that is not known.
	Name, File string
	// StartLine is where the function begins; 0 when that is not known.
	StartLine   int64
	Self, Total int64
	Lines       []Line
}

// Line is a line of source with its values. Number 0 stands for code of which
// the line is not known.
type Line struct {
	Number      int64
	Self, Total int64
}

type lineKey struct {
	name, file string
	line       int64
}

type lineValue struct {
	lineKey
	self, total int64
	seen        int // number of the last sample with it, counted from 1
}

// Lines returns the functions whose names match, the largest total first.
func (r *Report) Lines(names *regexp.Regexp) []Listing {
	values := make(map[lineKey]*lineValue)
	listings := make(map[lineKey]*Listing)
	inSample := make(map[lineKey]int)
	matches := make(map[string]bool)
	matched := func(f *profile.Function) bool {
		if f == nil || f.Name == "" {
			return false
		}
		m, ok := matches[f.Name]
		if !ok {
			m = names.MatchString(f.Name)
			matches[f.Name] = m
		}
		return m
	}
	for i, s := range r.Profile.Sample {
		value := s.Value[r.Value.Index]
		if value == 0 {
			continue
		}
		leaf := true
		for _, l := range s.Location {
			for _, line := range l.Line {
				isLeaf := leaf
				leaf = false
				if !matched(line.Function) {
					continue
				}
				f := line.Function
				key := lineKey{f.Name, cleanPath(f.Filename), line.Line}
				v := values[key]
				if v == nil {
					v = &lineValue{lineKey: key}
					values[key] = v
				}
				whole := lineKey{name: key.name, file: key.file}
				listing := listings[whole]
				if listing == nil {
					listing = &Listing{Name: key.name, File: key.file, StartLine: f.StartLine}
					listings[whole] = listing
				}
				if isLeaf {
					v.self += value
					listing.Self += value
				}
				if v.seen != i+1 {
					v.seen = i + 1
					v.total += value
				}
				if inSample[whole] != i+1 {
					inSample[whole] = i + 1
					listing.Total += value
				}
			}
			if len(l.Line) == 0 {
				leaf = false
			}
		}
	}

	for key, v := range values {
		listing := listings[lineKey{name: key.name, file: key.file}]
		listing.Lines = append(listing.Lines, Line{Number: key.line, Self: v.self, Total: v.total})
	}
	found := make([]Listing, 0, len(listings))
	for _, l := range listings {
		slices.SortFunc(l.Lines, func(a, b Line) int { return cmp.Compare(a.Number, b.Number) })
		found = append(found, *l)
	}
	slices.SortFunc(found, func(a, b Listing) int {
		return cmp.Or(-cmp.Compare(abs(a.Total), abs(b.Total)), strings.Compare(a.Name, b.Name), strings.Compare(a.File, b.File))
	})
	return found
}

func cleanPath(file string) string {
	if file == "" {
		return ""
	}
	return path.Clean(file)
}
