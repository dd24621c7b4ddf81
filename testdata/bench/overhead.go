package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const statsSysctl = "/proc/sys/kernel/bpf_stats_enabled"

// overhead prints a table of the agent's cost by frequency, and perf's beside.
func (b *bench) overhead(rates []int) error {
	fmt.Printf("load: mixed.cc (C++, no frame pointers) and python3, both busy; %v measured after %v; agent --interval 5s to a local sink\n\n", b.span, b.warm)
	fmt.Println("| Hz | CPU s | % of a CPU | BPF ns/sample | RSS MiB | peak MiB | maps MiB | achieved % | lost | C++ speed | python speed | perf record CPU s |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|---|")
	base, err := b.speedsAlone()
	if err != nil {
		return err
	}
	for _, hz := range rates {
		if err := b.overheadAt(hz, base); err != nil {
			return fmt.Errorf("at %d Hz: %w", hz, err)
		}
	}
	return nil
}

func (b *bench) speedsAlone() ([]float64, error) {
	l, err := b.startLoad(b.span)
	if err != nil {
		return nil, err
	}
	return l.speeds()
}

func (b *bench) overheadAt(hz int, base []float64) error {
	p, err := b.startAgent(hz)
	if err != nil {
		return err
	}
	const statsTime = 5 * time.Second
	l, err := b.startLoad(b.warm + b.span)
	if err != nil {
		return err
	}
	time.Sleep(b.warm)
	before := p.cpu()
	time.Sleep(b.span)
	used := p.cpu() - before
	rss, peak := p.status("VmRSS"), p.status("VmHWM")
	speeds, err := l.speeds()
	if err != nil {
		return err
	}

	// The kernel's statistics of BPF programs cost time of their own, so they
	// are taken apart from the rest.
	if l, err = b.startLoad(statsTime); err != nil {
		return err
	}
	if err := os.WriteFile(statsSysctl, []byte("1"), 0); err != nil {
		return err
	}
	time.Sleep(statsTime)
	maps, runs, spent := p.bpf()
	os.WriteFile(statsSysctl, []byte("0"), 0)
	if _, err := l.speeds(); err != nil {
		return err
	}
	last := p.stop()
	perf, err := b.perf(hz)
	if err != nil {
		return err
	}
	fmt.Printf("| %d | %.3f | %.2f | %d | %.0f | %.0f | %.1f | %.1f | %s | %.1f %% | %.1f %% | %.3f |\n",
		hz, used.Seconds(), 100*used.Seconds()/b.span.Seconds(), int64(spent)/max(runs, 1), rss, peak,
		float64(maps)/(1<<20), achieved(last), lost(last), 100*speeds[0]/base[0], 100*speeds[1]/base[1], perf.Seconds())
	return nil
}

// perf returns the CPU time of `perf record -a -g` at the same frequency under
// the same load.
func (b *bench) perf(hz int) (time.Duration, error) {
	l, err := b.startLoad(b.span)
	if err != nil {
		return 0, err
	}
	cmd := exec.Command("perf", "record", "-q", "-a", "-g", "-e", "cpu-clock", "-F", strconv.Itoa(hz), "-o", b.path("perf.data"),
		"--", "sleep", strconv.FormatFloat(b.span.Seconds(), 'f', 1, 64))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("perf record: %w: %s", err, out)
	}
	if _, err := l.speeds(); err != nil {
		return 0, err
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

var counter = regexp.MustCompile(`"?(staccato\.[a-z.]+(?:\{[^}]*\})?)"?=([0-9]+)`)

// counted reads the counters that the agent logs when it ends.
func counted(log string) map[string]int64 {
	all := make(map[string]int64)
	for _, m := range counter.FindAllStringSubmatch(log, -1) {
		all[m[1]], _ = strconv.ParseInt(m[2], 10, 64)
	}
	return all
}

func lost(log string) string {
	var parts []string
	for name, n := range counted(log) {
		if cause, ok := strings.CutPrefix(name, "staccato.samples.lost"); ok {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.Trim(cause, "{}")))
		}
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ", ")
}

// achieved is the share of the samples due that were taken.
func achieved(log string) float64 {
	c := counted(log)
	due := c["staccato.runs"] + c["staccato.samples.lost{not sampled}"] + c["staccato.timer.late"]
	if due == 0 {
		return 0
	}
	return 100 * float64(c["staccato.runs"]) / float64(due)
}
