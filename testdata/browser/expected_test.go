package browser

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
)

// What the page must show, computed from the profile in another way than the
// page's: sample by sample.

const cpu = 1 // index of the value that the pages show

// names are a sample's functions, its root first.
func names(s *profile.Sample) []string {
	var list []string
	for _, l := range slices.Backward(s.Location) {
		for _, line := range slices.Backward(l.Line) {
			list = append(list, line.Function.Name)
		}
		if len(l.Line) == 0 {
			list = append(list, fmt.Sprintf("postgres+0x%x", l.Address)) // the only one that is made without names
		}
	}
	return list
}

// sum adds up the samples that a condition holds for.
func sum(p *profile.Profile, holds func(*profile.Sample) bool) float64 {
	var all int64
	for _, s := range p.Sample {
		if holds(s) {
			all += s.Value[cpu]
		}
	}
	return float64(all)
}

func everything(*profile.Sample) bool { return true }

func matching(expression string) func(*profile.Sample) bool {
	re := regexp.MustCompile(expression)
	return func(s *profile.Sample) bool { return slices.ContainsFunc(names(s), re.MatchString) }
}

// labelled holds for samples with a number as label; 0 stands for none.
func labelled(key string, n int64) func(*profile.Sample) bool {
	return func(s *profile.Sample) bool {
		return n == 0 && s.NumLabel[key] == nil || slices.Contains(s.NumLabel[key], n)
	}
}

func ofProcess(pid int64) func(*profile.Sample) bool { return labelled(staccato.LabelPID, pid) }

func ofThread(tid int64) func(*profile.Sample) bool { return labelled(staccato.LabelTID, tid) }

func ofContainer(id string) func(*profile.Sample) bool {
	return func(s *profile.Sample) bool {
		return id == "" && s.Label[staccato.LabelContainer] == nil || slices.Contains(s.Label[staccato.LabelContainer], id)
	}
}

// selfAndTotal are the values of every function by name; a stack with the same
// function twice counts once.
func selfAndTotal(p *profile.Profile) (self, total map[string]float64) {
	self, total = make(map[string]float64), make(map[string]float64)
	for _, s := range p.Sample {
		stack, v := names(s), float64(s.Value[cpu])
		self[stack[len(stack)-1]] += v
		slices.Sort(stack)
		for _, name := range slices.Compact(stack) {
			total[name] += v
		}
	}
	return self, total
}

// paths are the values of every way from the root, as names joined by "\n".
func paths(p *profile.Profile) map[string]float64 {
	all := make(map[string]float64)
	for _, s := range p.Sample {
		path := ""
		for _, name := range names(s) {
			path += "\n" + name
			all[path] += float64(s.Value[cpu])
		}
	}
	return all
}
