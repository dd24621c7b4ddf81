package main

import (
	"fmt"
	"os/exec"
	"strconv"
	"time"
)

var overheadRates = []int{19, 97, 997, 4999, 9999}

// statsTime is how long the kernel counts the time of BPF programs: apart from
// the rest, because that costs time too.
const statsTime = 5 * time.Second

func overheadTakes(b *bench) time.Duration {
	return time.Duration(len(overheadRates)) * (b.span/2 + b.warm + b.span + statsTime + b.span)
}

// overhead prints the agent's cost by frequency, and perf's beside.
func overhead(b *bench) error {
	fmt.Printf("Load: %s; %v measured after %v; `staccato agent -F Hz --interval %v` to a local sink.\n", loadText, b.span, b.warm, interval)
	fmt.Printf("Beside it `perf record -a -g -F Hz` for %v.\n\n", b.span)
	table("Hz", "CPU s", "% of a CPU", "BPF ns per sample", "all BPF, % of a CPU", "RSS MiB", "peak MiB", "maps MiB", "achieved %", "lost",
		"C++ slower %", "python slower %", "perf CPU s", "C++ slower %", "python slower %")
	for _, hz := range overheadRates {
		b.say("overhead at %d Hz", hz)
		if err := overheadAt(b, hz); err != nil {
			return fmt.Errorf("at %d Hz: %w", hz, err)
		}
	}
	return nil
}

func overheadAt(b *bench, hz int) error {
	alone, err := b.underLoad(b.span/2, func() error { return nil })
	if err != nil {
		return err
	}
	p, err := b.startAgent(hz)
	if err != nil {
		return err
	}
	defer p.kill()
	var c cost
	with, err := b.underLoad(b.warm+b.span, func() (err error) {
		c, err = b.measure(p)
		return err
	})
	if err != nil {
		return err
	}
	bpf, err := p.withStats(func() error {
		_, err := b.underLoad(statsTime, func() error { return nil })
		return err
	})
	if err != nil {
		return err
	}
	counters, err := p.stop()
	if err != nil {
		return err
	}
	var perf time.Duration
	withPerf, err := b.underLoad(b.span, func() (err error) {
		perf, err = b.perf(hz)
		return err
	})
	if err != nil {
		return err
	}
	cc, py := with.slower(alone)
	perfCC, perfPy := withPerf.slower(alone)
	row(strconv.Itoa(hz), fmt.Sprintf("%.3f", c.cpu.Seconds()), fmt.Sprintf("%.2f", c.percent()),
		strconv.FormatInt(int64(bpf.sample)/bpf.runs, 10), fmt.Sprintf("%.2f", 100*bpf.all.Seconds()/statsTime.Seconds()),
		fmt.Sprintf("%.0f", c.rss), fmt.Sprintf("%.0f", c.peak), fmt.Sprintf("%.1f", float64(bpf.maps)/(1<<20)),
		fmt.Sprintf("%.1f", achieved(counters)), lost(counters), cc, py,
		fmt.Sprintf("%.3f", perf.Seconds()), perfCC, perfPy)
	return nil
}

// underLoad does something while the load runs for d, and returns the load's
// speed.
func (b *bench) underLoad(d time.Duration, during func() error) (speed, error) {
	l, err := b.startLoad(d)
	if err != nil {
		return speed{}, err
	}
	if err := during(); err != nil {
		l.kill()
		return speed{}, err
	}
	return l.speed()
}

// perf returns the CPU time of perf record, from its start to the end.
func (b *bench) perf(hz int) (time.Duration, error) {
	cmd := exec.Command("perf", "record", "-q", "-a", "-g", "-F", strconv.Itoa(hz), "-o", b.path("perf.data"), "--", "sleep", seconds(b.span))
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("perf record: %w: %s", err, out)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}
