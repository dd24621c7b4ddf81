package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

const rootsHz = 999

func (b *bench) rootsSpan() time.Duration { return b.scaled(10 * time.Second).Round(time.Second) }

func (b *bench) rootLoads() (list []rootLoad) {
	for _, l := range rootLoads {
		if len(b.loads) == 0 || slices.Contains(b.loads, l.name) {
			list = append(list, l)
		}
	}
	return list
}

func rootsTakes(b *bench) time.Duration {
	return time.Duration(len(b.rootLoads())) * (b.rootsSpan() + 3*time.Second)
}

// roots says which share of the stacks of well-known programs is whole: begins
// where the program or the thread does. What counts as a beginning is read from
// the executables, and not taken from the profiler.
func roots(b *bench) error {
	if err := installLoads(); err != nil {
		return err
	}
	span := b.rootsSpan()
	fmt.Printf("`staccato record -a -F %d -d %v`, each load started just after it; samples with a user part, of the load's processes alone.\n\n", rootsHz, span)
	table("load", "samples", "to the root %", "at least", "not to the root", "kernel part only", "CPU s of samples, % of the kernel's")
	var low []string
	for _, l := range b.rootLoads() {
		b.say("roots of %s", l.name)
		r, err := b.rootsOf(l, span)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		predicted := ""
		if r.cpu > 0 {
			predicted = fmt.Sprintf("%.1f", 100*r.sampled/r.cpu)
		}
		row(l.name, strconv.FormatInt(r.samples, 10), fmt.Sprintf("%.2f", 100*r.share()), fmt.Sprintf("%.1f", 100*l.least), r.causes(), strconv.FormatInt(r.kernel, 10), predicted)
		r.explain(os.Stderr)
		if r.samples < 100 || r.share() < l.least || r.cpu > 0 && r.sampled < 0.97*r.cpu {
			low = append(low, l.name)
		}
	}
	if len(low) > 0 {
		return fmt.Errorf("not enough: %s", strings.Join(low, ", "))
	}
	return nil
}

// rootCount is what became of a load's samples.
type rootCount struct {
	samples, rooted int64            // with a user part; to the root
	kernel          int64            // without: in exec, or at the end of a process
	missed          map[string]int64 // samples, by why not to the root
	examples        map[string]int64 // samples, by their stack
	sampled, cpu    float64          // CPU seconds: of all samples, by the kernel's count; 0: not known
}

func (r *rootCount) share() float64 { return float64(r.rooted) / float64(max(r.samples, 1)) }

// margin is how long after the recorder the load is started.
const margin = time.Second

// rootsOf records while a load runs.
func (b *bench) rootsOf(l rootLoad, span time.Duration) (*rootCount, error) {
	running, err := l.prepare(b)
	if err != nil {
		return nil, err
	}
	defer running.stop()
	file := b.path("roots.pb.gz")
	recorder, err := start(b.path("staccato"), "record", "-a", "-F", strconv.Itoa(rootsHz), "-d", span.String(), "-o", file)
	if err != nil {
		return nil, err
	}
	time.Sleep(margin) // it loads its programs
	if err := running.start(); err != nil {
		recorder.kill()
		return nil, err
	}
	// All that the load does is sampled: it ends before the recording does.
	time.Sleep(span - margin - margin/4)
	cpu, err := running.stop()
	if err != nil {
		recorder.kill()
		return nil, err
	}
	if err := recorder.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("record: %w: %s", err, recorder.errors.Bytes())
	}
	p, err := parse(file)
	if err != nil {
		return nil, err
	}
	r := countRoots(p, l.processes, newRootFinder())
	if l.predict {
		r.cpu = cpu
	}
	return r, nil
}

func parse(file string) (*profile.Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return profile.Parse(f)
}

// countRoots counts the samples of the processes with these names.
func countRoots(p *profile.Profile, processes []string, find *rootFinder) *rootCount {
	r := &rootCount{missed: make(map[string]int64), examples: make(map[string]int64)}
	for _, s := range p.Sample {
		if len(s.Label["comm"]) != 1 || !slices.Contains(processes, s.Label["comm"][0]) {
			continue
		}
		n := s.Value[0]
		r.sampled += float64(s.Value[1]) / 1e9
		last := s.Location[len(s.Location)-1]
		if isKernel(last) {
			r.kernel += n
			continue
		}
		r.samples += n
		cause := find.missing(last)
		if cause == "" {
			r.rooted += n
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

func (r *rootCount) causes() string {
	var parts []string
	for _, cause := range byCount(r.missed) {
		parts = append(parts, fmt.Sprintf("%d %s", r.missed[cause], cause))
	}
	return strings.Join(parts, ", ")
}

// explain prints the most frequent stacks that do not reach the root.
func (r *rootCount) explain(w io.Writer) {
	stacks := byCount(r.examples)
	for _, stack := range stacks[:min(20, len(stacks))] {
		fmt.Fprintf(w, "         %d: %s\n", r.examples[stack], stack)
	}
}
