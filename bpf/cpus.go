package bpf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// CPUChange says that CPUs came or went.
type CPUChange struct {
	// Stayed are those that were sampled all the time; Now are all that are
	// sampled now.
	Stayed, Now []int
}

// FollowCPUs begins to sample CPUs that came since it was last called, and lets
// go of those that went. It returns nil when there were none. For calls some
// times a second, between Start and Stop.
//
// A CPU that goes offline ends its events for good, even if it is back before
// anyone has looked; so events are also asked whether they still run.
func (s *Sampler) FollowCPUs() (*CPUChange, error) {
	online, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	var change CPUChange
	var events []*cpuEvent
	for _, e := range s.events {
		if slices.Contains(online, e.cpu) && e.runs() {
			change.Stayed = append(change.Stayed, e.cpu)
			events = append(events, e)
			continue
		}
		s.expectedGone += e.expected + float64(s.came(e.cpu)-e.came)
		e.close()
	}
	changed := len(events) < len(s.events)
	s.events = events
	change.Now = slices.Clone(change.Stayed)
	for _, n := range online {
		if slices.Contains(change.Stayed, n) {
			continue
		}
		err := s.addCPU(n)
		if errors.Is(err, unix.ENODEV) {
			continue // gone again
		}
		if err != nil {
			return nil, err
		}
		change.Now = append(change.Now, n)
		changed = true
	}
	s.sampled.Store(int32(len(s.events)))
	if !changed {
		return nil, nil
	}
	for _, cpus := range [][]int{change.Stayed, change.Now} {
		if err := s.Notices.sync(cpus); err != nil {
			return nil, err
		}
	}
	return &change, nil
}

// addCPU begins to sample a CPU.
func (s *Sampler) addCPU(n int) error {
	e, err := s.openEvent(n)
	if err != nil {
		return err
	}
	s.events = append(s.events, e)
	if err := e.attach(s.program(progSample)); err != nil {
		return Permission(fmt.Sprintf("attach program %s to the perf event of CPU %d", progSample, n), err)
	}
	if s.useTimer {
		if err := s.countFirings(e); err != nil {
			return err
		}
	}
	e.idle, e.came = readIdle()[n], s.came(n)
	return e.switchOn()
}

// runs says whether the event has run since it was last asked.
func (e *cpuEvent) runs() bool {
	now, err := e.read()
	before := e.enabled
	e.enabled = now.enabled
	return err == nil && now.enabled > before
}

// came is how often a CPU was sampled, of what expected counts: firings of the
// timer or, where these are not counted, runs of the program.
func (s *Sampler) came(cpu int) uint64 {
	t := &s.timers[cpu]
	all, idle := &t.Entries, &t.EntriesIdle
	if s.useTimer {
		all, idle = &t.Fired, &t.FiredIdle
	}
	// What is idle first: it never is more than all.
	n := atomic.LoadUint64(idle)
	if s.withIdle() {
		n = 0
	}
	return atomic.LoadUint64(all) - n
}

// expected is how often a CPU should have been sampled by now: by the time that
// its event was enabled and, but for idle, the CPU busy. Of a CPU that has just
// gone offline only what was known before is taken, and what came since.
func (s *Sampler) expected(e *cpuEvent, idle map[int]uint64) float64 {
	now, err := e.read()
	idleNow, online := idle[e.cpu]
	if err != nil || !online {
		return e.expected + float64(s.came(e.cpu)-e.came)
	}
	busy := float64(now.enabled)
	if !s.withIdle() {
		busy -= float64(idleNow) - float64(e.idle)
	}
	e.expected, e.came = max(0, busy)/float64(s.period), s.came(e.cpu)
	return e.expected
}

// withIdle says whether the program runs for the idle task too.
func (s *Sampler) withIdle() bool { return s.cfg.Idle || s.cfg.TimeIdle }

// onlineCPUs reads the kernel's list of CPUs ("0-3,5").
func onlineCPUs() ([]int, error) {
	const path = "/sys/devices/system/cpu/online"
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("list CPUs: %w", err)
	}
	return parseCPUs(strings.TrimSpace(string(text)))
}

func parseCPUs(text string) ([]int, error) {
	var list []int
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		a, err := strconv.Atoi(first)
		b := a
		if err == nil && isRange {
			b, err = strconv.Atoi(last)
		}
		if err != nil || a < 0 || b < a || b > 1<<16 {
			return nil, fmt.Errorf("list CPUs: unexpected %q", text)
		}
		for ; a <= b; a++ {
			list = append(list, a)
		}
	}
	return list, nil
}

// readIdle reads how long each CPU that is online has been idle, in
// nanoseconds, from /proc/stat: the fourth and fifth figure (idle, waiting for
// I/O), in 1/100 s. Errors give nothing: it only feeds an estimate.
func readIdle() map[int]uint64 {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil
	}
	list := make(map[int]uint64)
	for line := range strings.Lines(string(stat)) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasPrefix(f[0], "cpu") || f[0] == "cpu" {
			continue
		}
		n, err := strconv.Atoi(f[0][3:])
		if err != nil {
			continue
		}
		idle, _ := strconv.ParseUint(f[4], 10, 64)
		wait, _ := strconv.ParseUint(f[5], 10, 64)
		list[n] = (idle + wait) * 1e7
	}
	return list
}
