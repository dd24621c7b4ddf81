package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// interval is how often the agent sends a profile.
const interval = 5 * time.Second

// profiler is an agent that is measured.
type profiler struct {
	cmd *exec.Cmd
	log bytes.Buffer
}

func (b *bench) startAgent(hz int) (*profiler, error) {
	p := &profiler{}
	p.cmd = exec.Command(b.path("staccato"), "agent", "-F", strconv.Itoa(hz), "--interval", interval.String(),
		"--otlp-protocol", "http", "--otlp-endpoint", b.sink.url())
	p.cmd.Stderr = &p.log
	return p, p.cmd.Start()
}

// cost is what an agent used.
type cost struct {
	cpu       time.Duration
	span      time.Duration // in which it used it
	rss, peak float64       // MiB
	// stacks is the number of distinct stacks per profile sent.
	stacks float64
}

// percent is the CPU time in percent of one CPU.
func (c cost) percent() float64 { return 100 * c.cpu.Seconds() / c.span.Seconds() }

// measure lets the agent run for a while, and then measures it.
func (b *bench) measure(p *profiler) (c cost, err error) {
	time.Sleep(b.warm)
	return b.measureFor(p, b.span)
}

func (b *bench) measureFor(p *profiler, span time.Duration) (c cost, err error) {
	before, err := p.cpu()
	if err != nil {
		return c, err
	}
	begin, sent := time.Now(), b.sink.stacks.Load()
	time.Sleep(span)
	after, err := p.cpu()
	if err != nil {
		return c, err
	}
	c.cpu, c.span = after-before, time.Since(begin)
	c.stacks = float64(b.sink.stacks.Load()-sent) * interval.Seconds() / c.span.Seconds()
	c.rss, c.peak = p.status("VmRSS"), p.status("VmHWM")
	return c, nil
}

// stop ends the agent and returns the counters that it then logs.
func (p *profiler) stop() (map[string]int64, error) {
	p.cmd.Process.Signal(os.Interrupt)
	if err := p.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("agent: %w: %s", err, p.log.Bytes())
	}
	c := counted(p.log.String())
	if c["staccato.runs"] == 0 {
		return nil, fmt.Errorf("the agent has logged no runs: %s", p.log.Bytes())
	}
	return c, nil
}

// kill ends an agent whose measurement has failed.
func (p *profiler) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// cpu is the time on a CPU of all threads so far: the first figure of each
// thread's schedstat, in nanoseconds.
func (p *profiler) cpu() (sum time.Duration, err error) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			return 0, fmt.Errorf("read the agent's CPU time: %w", err)
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read the agent's CPU time: %w", err)
		}
		sum += time.Duration(n)
	}
	if sum == 0 {
		p.kill()
		return 0, fmt.Errorf("the agent has ended: %s", p.log.Bytes())
	}
	return sum, nil
}

// status returns a field of /proc/PID/status that counts kB, in MiB.
func (p *profiler) status(field string) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// bpfCost is what the kernel says of the agent's BPF objects.
type bpfCost struct {
	maps int64 // bytes
	// runs and sample are the runs of the sampling program, and their time with
	// all that it calls; all is the time of every program, such as the one that
	// looks at each timer of the kernel for those that sample.
	runs        int64
	sample, all time.Duration
}

// The numbers of a program's type in fdinfo are those of enum bpf_prog_type.
const progTypePerfEvent = 7

// withStats runs a function while the kernel counts the time of BPF programs,
// and returns the counts. Counting costs time of its own.
func (p *profiler) withStats(during func() error) (c bpfCost, err error) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	if err != nil {
		return c, err
	}
	if err := errors.Join(during(), stats.Close()); err != nil {
		return c, err
	}
	infos, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", p.cmd.Process.Pid))
	seen := make(map[string]bool)
	for _, path := range infos {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // a connection that was closed meanwhile
		}
		f := make(map[string]int64)
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			f[key], _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
		if id, ok := f["map_id"]; ok && !seen[fmt.Sprint("map", id)] {
			seen[fmt.Sprint("map", id)] = true
			c.maps += f["memlock"]
		}
		// Links have the ID of their program, and nothing else of it.
		if id, ok := f["prog_id"]; ok && f["run_cnt"] > 0 && !seen[fmt.Sprint("prog", id)] {
			seen[fmt.Sprint("prog", id)] = true
			c.all += time.Duration(f["run_time_ns"])
			if f["prog_type"] == progTypePerfEvent {
				c.runs += f["run_cnt"]
				c.sample += time.Duration(f["run_time_ns"])
			}
		}
	}
	if c.runs == 0 {
		return c, errors.New("the kernel counted no run of the sampling program")
	}
	return c, nil
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

// lost lists the losses by cause.
func lost(counters map[string]int64) string {
	var parts []string
	for name, n := range counters {
		if cause, ok := strings.CutPrefix(name, "staccato.samples.lost"); ok {
			parts = append(parts, fmt.Sprintf("%d %s", n, strings.Trim(cause, "{}")))
		}
	}
	if len(parts) == 0 {
		return "0"
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// achieved is the share of the samples due that were taken, in percent.
func achieved(c map[string]int64) float64 {
	due := c["staccato.runs"] + c["staccato.samples.lost{not sampled}"] + c["staccato.timer.late"]
	return 100 * float64(c["staccato.runs"]) / float64(max(due, 1))
}
