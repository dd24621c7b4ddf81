// Bench measures what staccato costs and how true it is, with nothing but what
// the kernel says of processes and BPF programs, perf, and the clocks of the
// programs that are profiled. It prints tables in Markdown; what it is doing
// goes to standard error. See docs/BENCHMARKS.md.
//
//	go run ./testdata/bench [-part overhead,starts,…] [-scale 0.1] [-loads redis,…]
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// part is one of the things that are measured.
type part struct {
	name string
	// takes is about how long it takes.
	takes func(*bench) time.Duration
	run   func(*bench) error
}

var parts = []part{
	{"overhead", overheadTakes, overhead},
	{"processes", processesTakes, processes},
	{"stacks", stacksTakes, stacks},
	{"starts", startsTakes, starts},
	{"remap", remapTakes, remap},
	{"accuracy", accuracyTakes, accuracy},
	{"lockstep", lockstepTakes, lockstep},
	{"roots", rootsTakes, roots},
	{"report", reportTakes, reports},
	{"names", namesTakes, names},
	{"namedhost", namedHostTakes, namedHost},
}

func main() {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	all := strings.Join(names, ",")
	chosen := flag.String("part", all, "what to measure")
	scale := flag.Float64("scale", 1, "make every span and number of runs this much longer or shorter")
	only := flag.String("loads", "", "of the part roots: these loads alone, such as redis,perl")
	more := flag.String("files", "", "of the part names: these files with debugging information, too")
	flag.Parse()
	if err := run(strings.Split(*chosen, ","), names, *scale, *only, *more); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(chosen, names []string, scale float64, loads, files string) error {
	for _, name := range chosen {
		if !slices.Contains(names, name) {
			return fmt.Errorf("no part %q: there are %s", name, strings.Join(names, ", "))
		}
	}
	if scale <= 0 {
		return fmt.Errorf("-scale %v: must be above 0", scale)
	}
	b, err := newBench(scale)
	if err != nil {
		return err
	}
	defer b.close()
	if loads != "" {
		b.loads = strings.Split(loads, ",")
	}
	if files != "" {
		b.files = strings.Split(files, ",")
	}
	var total time.Duration
	for _, p := range parts {
		if slices.Contains(chosen, p.name) {
			total += p.takes(b)
			b.say("%s takes about %v", p.name, p.takes(b).Round(time.Second))
		}
	}
	b.say("all takes about %v; leave the machine alone meanwhile", total.Round(time.Second))
	// The first figure is the mean number of running threads in the last minute.
	load, _ := os.ReadFile("/proc/loadavg")
	b.say("load average before: %s", strings.TrimSpace(string(load)))
	for _, p := range parts {
		if slices.Contains(chosen, p.name) {
			if err := p.run(b); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			fmt.Println()
		}
	}
	return nil
}
