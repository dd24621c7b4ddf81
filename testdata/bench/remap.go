package main

import (
	"fmt"
	"strconv"
	"time"
)

// remapLoads are what remap.c does: of how many files, and how many mappings at a
// time.
var remapLoads = []struct {
	what        string
	files, maps int
}{
	{"nothing", 0, 0},
	{"memory without a file", 0, 1},
	{"a file", 1, 1},
	{"1,000 files, 100 mappings at a time", 1000, 100},
}

const (
	remapRate = 20 // Hz
	// remapSpan is over how long the cost is measured: at once, since some work is
	// allowed at once, and then again.
	remapSpan = 10 * time.Second
)

func remapTakes(b *bench) time.Duration {
	return time.Duration(len(remapLoads)) * (b.warm + 2*remapSpan)
}

// remap prints the agent's cost while a process maps and unmaps executable pages.
func remap(b *bench) error {
	fmt.Printf("Load: remap.c on one CPU, which maps and unmaps executable pages as fast as it can; %d Hz, begun %v after the agent.\n\n", remapRate, b.warm)
	table("mapped", "mappings per second", "first 10 s: CPU s", "% of a CPU", "more than without", "next 10 s: CPU s", "% of a CPU", "more than without", "RSS MiB", "lost")
	var without [2]cost
	for i, l := range remapLoads {
		b.say("mapping and unmapping %s", l.what)
		costs, rate, lost, err := remapAt(b, l.files, l.maps)
		if err != nil {
			return fmt.Errorf("mapping %s: %w", l.what, err)
		}
		if i == 0 {
			without = costs
		}
		cells := []string{l.what, fmt.Sprintf("%.0f", rate)}
		for k, c := range costs {
			cells = append(cells, fmt.Sprintf("%.3f", c.cpu.Seconds()), fmt.Sprintf("%.2f", c.percent()), fmt.Sprintf("%.2f", c.percent()-without[k].percent()))
		}
		row(append(cells, fmt.Sprintf("%.0f", costs[1].rss), lost)...)
	}
	return nil
}

// remapAt measures with a load that begins when the agent has settled.
func remapAt(b *bench, files, maps int) (costs [2]cost, rate float64, lostSamples string, err error) {
	p, err := b.startAgent(remapRate)
	if err != nil {
		return costs, 0, "", err
	}
	defer p.kill()
	time.Sleep(b.warm)
	const span = 2*remapSpan + time.Second
	var load *program
	if maps > 0 {
		if load, err = start(b.path("remap"), seconds(span), strconv.Itoa(files), strconv.Itoa(maps)); err != nil {
			return costs, 0, "", err
		}
		defer load.kill()
	}
	for k := range costs {
		if costs[k], err = b.measureFor(p, remapSpan); err != nil {
			return costs, 0, "", err
		}
	}
	if load != nil {
		times, err := load.number()
		if err != nil {
			return costs, 0, "", err
		}
		rate = times / span.Seconds()
	}
	counters, err := p.stop()
	return costs, rate, lost(counters), err
}
