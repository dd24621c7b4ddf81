package rooted

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Count says of how many samples the stack is whole.
type Count struct {
	// Samples have a user part; Rooted of them reach the root.
	Samples, Rooted int64
	// Kernel are those without: in exec, or at the end of a process.
	Kernel int64
	// CPU is the time that all samples stand for, in seconds.
	CPU float64

	missed   map[string]int64 // samples, by why not to the root
	examples map[string]int64 // samples not to the root, by their stack
}

// Share is the share of the samples that reach the root, from 0 to 1.
func (r *Count) Share() float64 { return float64(r.Rooted) / float64(max(r.Samples, 1)) }

// Of counts the samples of the processes with these command names.
func Of(p *profile.Profile, processes ...string) *Count {
	find := &finder{files: make(map[string]*file)}
	r := &Count{missed: make(map[string]int64), examples: make(map[string]int64)}
	for _, s := range p.Sample {
		if len(s.Label["comm"]) != 1 || !slices.Contains(processes, s.Label["comm"][0]) {
			continue
		}
		n := s.Value[0]
		r.CPU += float64(s.Value[1]) / 1e9
		last := s.Location[len(s.Location)-1]
		if isKernel(last) {
			r.Kernel += n
			continue
		}
		r.Samples += n
		cause := find.missing(last)
		if cause == "" {
			r.Rooted += n
			continue
		}
		r.missed[cause] += n
		r.examples[stackText(s)] += n
	}
	return r
}

func isKernel(l *profile.Location) bool {
	return l.Mapping != nil && l.Mapping.File == "[kernel.kallsyms]" || nameOf(l) == "[truncated: kernel stack]"
}

// nameOf is the name of a frame's outermost function, "" without any.
func nameOf(l *profile.Location) string {
	if len(l.Line) == 0 {
		return ""
	}
	return l.Line[len(l.Line)-1].Function.Name
}

func stackText(s *profile.Sample) string {
	var names []string
	for _, l := range s.Location {
		name := nameOf(l)
		if name == "" && l.Mapping != nil {
			name = fmt.Sprintf("%s+%#x", l.Mapping.File, l.Address)
		} else if name == "" {
			name = fmt.Sprintf("%#x", l.Address)
		}
		names = append(names, name)
	}
	return strings.Join(names, " < ")
}

// byCount returns the keys, those with the largest values first.
func byCount(counts map[string]int64) (names []string) {
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if counts[a] != counts[b] {
			return int(counts[b] - counts[a])
		}
		return strings.Compare(a, b)
	})
	return names
}

// Causes says why samples do not reach the root.
func (r *Count) Causes() string {
	var parts []string
	for _, cause := range byCount(r.missed) {
		parts = append(parts, fmt.Sprintf("%d %s", r.missed[cause], cause))
	}
	return strings.Join(parts, ", ")
}

// Explain prints the most frequent stacks that do not reach the root.
func (r *Count) Explain(w io.Writer) {
	stacks := byCount(r.examples)
	for _, stack := range stacks[:min(20, len(stacks))] {
		fmt.Fprintf(w, "         %d: %s\n", r.examples[stack], stack)
	}
}
