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

const remapRate = 20 // Hz

func remapTakes(b *bench) time.Duration {
	return time.Duration(len(remapLoads)) * (b.warm + b.span)
}

// remap prints the agent's cost while a process maps and unmaps executable pages.
func remap(b *bench) error {
	fmt.Printf("Load: remap.c on one CPU, which maps and unmaps executable pages as fast as it can; %d Hz, %v measured after %v.\n\n", remapRate, b.span, b.warm)
	table("mapped", "mappings per second", "CPU s", "% of a CPU", "RSS MiB", "peak MiB", "lost", "more than without, % of a CPU")
	var without cost
	for i, l := range remapLoads {
		b.say("mapping and unmapping %s", l.what)
		c, cells, err := remapAt(b, l.files, l.maps)
		if err != nil {
			return fmt.Errorf("mapping %s: %w", l.what, err)
		}
		if i == 0 {
			without = c
		}
		row(append(append([]string{l.what}, cells...), fmt.Sprintf("%.2f", c.percent()-without.percent()))...)
	}
	return nil
}

func remapAt(b *bench, files, maps int) (c cost, cells []string, err error) {
	p, err := b.startAgent(remapRate)
	if err != nil {
		return c, nil, err
	}
	defer p.kill()
	span := b.warm + b.span + time.Second
	var times float64
	if maps > 0 {
		load, err := start(b.path("remap"), seconds(span), strconv.Itoa(files), strconv.Itoa(maps))
		if err != nil {
			return c, nil, err
		}
		if c, err = b.measure(p); err != nil {
			load.kill()
			return c, nil, err
		}
		if times, err = load.number(); err != nil {
			return c, nil, err
		}
	} else if c, err = b.measure(p); err != nil {
		return c, nil, err
	}
	counters, err := p.stop()
	if err != nil {
		return c, nil, err
	}
	return c, append([]string{fmt.Sprintf("%.0f", times/span.Seconds())}, c.cells(counters)...), nil
}
