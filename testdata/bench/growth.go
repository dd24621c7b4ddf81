package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// growthRates are the frequencies at which processes and starts are varied.
var growthRates = []int{20, 999}

var processCounts = []int{1, 50, 500, 2000}

func processesTakes(b *bench) time.Duration {
	return time.Duration(len(growthRates)*len(processCounts)) * (b.warm + b.span)
}

// processes prints the agent's cost by the number of processes that are there
// when it starts.
func processes(b *bench) error {
	fmt.Printf("Load: idle.c, where one process in a hundred is busy (together: one CPU) and the others wake once a second; %v measured after %v.\n\n", b.span, b.warm)
	table("Hz", "processes", "CPU s", "% of a CPU", "RSS MiB", "peak MiB", "lost")
	for _, hz := range growthRates {
		for _, n := range processCounts {
			b.say("%d processes at %d Hz", n, hz)
			if err := processesAt(b, hz, n); err != nil {
				return fmt.Errorf("%d processes: %w", n, err)
			}
		}
	}
	return nil
}

func processesAt(b *bench, hz, n int) error {
	all, err := start(b.path("idle"), strconv.Itoa(n), seconds(time.Hour))
	if err != nil {
		return err
	}
	defer all.kill()
	time.Sleep(time.Second) // until all are there
	p, err := b.startAgent(hz)
	if err != nil {
		return err
	}
	defer p.kill()
	c, err := b.measure(p)
	if err != nil {
		return err
	}
	counters, err := p.stop()
	if err != nil {
		return err
	}
	if all.kill(); !strings.Contains(all.out.String(), "ready") {
		return fmt.Errorf("not all processes were there: %s", all.errors.Bytes())
	}
	row(append([]string{strconv.Itoa(hz), strconv.Itoa(n)}, c.cells(counters)...)...)
	return nil
}

// cells are those that all tables of growth have.
func (c cost) cells(counters map[string]int64) []string {
	return []string{
		fmt.Sprintf("%.3f", c.cpu.Seconds()), fmt.Sprintf("%.2f", c.percent()),
		fmt.Sprintf("%.0f", c.rss), fmt.Sprintf("%.0f", c.peak), lost(counters),
	}
}

// stackTrials are frequencies and numbers of paths of calls per CPU.
var stackTrials = []struct {
	hz    int
	paths string
}{
	{4999, "1"}, {4999, "100"}, {4999, "1000"}, {4999, "10000"}, {4999, allNew}, {97, allNew}, {997, allNew}, {9999, allNew},
}

// allNew stands for a new path in each pass.
const allNew = "all new"

func stacksTakes(b *bench) time.Duration {
	return time.Duration(len(stackTrials)) * (b.warm + b.span)
}

// stacks prints the agent's cost by the number of distinct stacks.
func stacks(b *bench) error {
	fmt.Printf("Load: manystacks.c, once per CPU: that many paths of 50 calls, along each of which samples find up to 200 stacks, or a new one in each pass; %v measured after %v.\n\n", b.span, b.warm)
	table("Hz", "paths per CPU", "distinct stacks per profile", "CPU s", "% of a CPU", "RSS MiB", "peak MiB", "lost", "achieved %")
	for _, t := range stackTrials {
		b.say("paths at %d Hz: %s", t.hz, t.paths)
		if err := stacksAt(b, t.hz, t.paths); err != nil {
			return fmt.Errorf("paths at %d Hz: %s: %w", t.hz, t.paths, err)
		}
	}
	return nil
}

func stacksAt(b *bench, hz int, paths string) error {
	args := []string{seconds(time.Hour)}
	if paths != allNew {
		args = append(args, paths)
	}
	p, err := b.startAgent(hz)
	if err != nil {
		return err
	}
	defer p.kill()
	for range runtime.NumCPU() {
		load, err := start(b.path("manystacks"), args...)
		if err != nil {
			return err
		}
		defer load.kill()
	}
	c, err := b.measure(p)
	if err != nil {
		return err
	}
	counters, err := p.stop()
	if err != nil {
		return err
	}
	cells := append([]string{strconv.Itoa(hz), paths, fmt.Sprintf("%.0f", c.stacks)}, c.cells(counters)...)
	row(append(cells, fmt.Sprintf("%.1f", achieved(counters)))...)
	return nil
}

var startRates = []int{0, 50, 200}

func startsTakes(b *bench) time.Duration {
	return time.Duration(len(growthRates)*len(startRates)) * (b.warm + b.span)
}

// starts prints the agent's cost by the number of processes started.
func starts(b *bench) error {
	fmt.Printf("Load: %s; and spawn.c, which starts /bin/true; %v measured after %v.\n\n", loadText, b.span, b.warm)
	table("Hz", "starts per second", "CPU s", "% of a CPU", "RSS MiB", "peak MiB", "lost", "more than without, % of a CPU")
	for _, hz := range growthRates {
		var without cost
		for _, rate := range startRates {
			b.say("%d starts per second at %d Hz", rate, hz)
			c, cells, err := startsAt(b, hz, rate)
			if err != nil {
				return fmt.Errorf("%d starts per second: %w", rate, err)
			}
			if rate == 0 {
				without = c
			}
			row(append(cells, fmt.Sprintf("%.2f", c.percent()-without.percent()))...)
		}
	}
	return nil
}

func startsAt(b *bench, hz, rate int) (c cost, cells []string, err error) {
	p, err := b.startAgent(hz)
	if err != nil {
		return c, nil, err
	}
	defer p.kill()
	span := b.warm + b.span
	var started float64
	_, err = b.underLoad(span, func() (err error) {
		if rate == 0 {
			c, err = b.measure(p)
			return err
		}
		spawn, err := start(b.path("spawn"), strconv.Itoa(rate), seconds(span), "/bin/true")
		if err != nil {
			return err
		}
		if c, err = b.measure(p); err != nil {
			spawn.kill()
			return err
		}
		started, err = spawn.number()
		return err
	})
	if err != nil {
		return c, nil, err
	}
	counters, err := p.stop()
	if err != nil {
		return c, nil, err
	}
	return c, append([]string{strconv.Itoa(hz), fmt.Sprintf("%.0f", started/span.Seconds())}, c.cells(counters)...), nil
}
