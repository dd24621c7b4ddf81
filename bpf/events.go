package bpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/source/cpu"
	"github.com/staccato-profiler/staccato/bpf/without"
)

// cpuEvent is the perf event of one CPU, whose overflows run the program.
type cpuEvent struct {
	cpu  int
	fd   int
	kind string
	link link.Link // nil when not attached, or not by a link

	enabled uint64 // ns, when runs was last called
	idle    uint64 // ns, of the CPU, when the event was enabled
	// What the last window knew, see Sampler.expected.
	expected float64
	came     uint64
}

// What makes an event overflow.
const (
	kindCycles = "cycles"
	kindClock  = "cpu-clock"
)

// close also detaches the program.
func (e *cpuEvent) close() {
	if e.link != nil {
		e.link.Close()
	}
	unix.Close(e.fd)
}

// EventFD returns the file descriptor of a CPU's sampling event, which stays the
// sampler's; -1 when it has none.
func (s *Sampler) EventFD(cpu int) int {
	for _, e := range s.events {
		if e.cpu == cpu {
			return e.fd
		}
	}
	return -1
}

// attach makes the event's overflows run a program.
func (e *cpuEvent) attach(prog *ebpf.Program) error {
	if !havePerfLinks() {
		return unix.IoctlSetInt(e.fd, unix.PERF_EVENT_IOC_SET_BPF, prog.FD())
	}
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: e.fd, Program: prog, Attach: ebpf.AttachPerfEvent})
	if err != nil {
		return err
	}
	e.link = l
	return nil
}

// openEvents opens the sampling event on every CPU, stopped.
func (s *Sampler) openEvents() error {
	s.choices = s.eventChoices()
	for _, n := range s.cpus {
		e, err := s.openEvent(n)
		if errors.Is(err, unix.ENODEV) {
			continue // it went offline
		}
		if err != nil {
			return err
		}
		s.events = append(s.events, e)
	}
	if len(s.events) == 0 {
		return fmt.Errorf("open perf events: none of the CPUs %v is online", s.cpus)
	}
	return nil
}

// eventChoice is an event that may be had.
type eventChoice struct {
	kind string
	attr unix.PerfEventAttr
}

// eventChoices are the events to sample by, the best first: hardware cycles
// where there is a counter for them, the kernel's CPU clock where not.
func (s *Sampler) eventChoices() []eventChoice {
	excludeIdle := uint64(unix.PerfBitExcludeIdle)
	if s.withIdle() {
		excludeIdle = 0
	}
	cycles := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_HARDWARE,
		Config:      unix.PERF_COUNT_HW_CPU_CYCLES,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Sample:      uint64(s.cfg.Frequency),
		Read_format: unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING,
		Bits:        unix.PerfBitDisabled | unix.PerfBitFreq | unix.PerfBitExcludeHv | excludeIdle,
	}
	// arm64 counters cannot leave idle time out; there the program does.
	cyclesAndIdle := cycles
	cyclesAndIdle.Bits &^= unix.PerfBitExcludeIdle
	// A period is what the kernel makes of the CPU clock's frequency, without
	// its limit for frequencies, which may be lower by now than it was.
	clock := cycles
	clock.Type, clock.Config = unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CPU_CLOCK
	clock.Sample = s.period
	clock.Bits &^= unix.PerfBitFreq

	choices := []eventChoice{{kindCycles, cycles}, {kindCycles, cyclesAndIdle}, {kindClock, clock}}
	if without.Set(without.Cycles) {
		choices = choices[2:]
	}
	return choices
}

// openEvent opens the sampling event of a CPU, stopped. What the first CPU
// takes is what the others get. The error is ENODEV when the CPU is offline.
func (s *Sampler) openEvent(n int) (*cpuEvent, error) {
	var err error
	for i, c := range s.choices {
		if s.cfg.Dump != nil {
			s.cfg.Dump(&c.attr)
		}
		var fd int
		if fd, err = openPerfEvent(c.attr, n); err == nil {
			s.choices, s.eventKind = s.choices[i:i+1], c.kind
			if c.kind == kindCycles {
				s.period = 1e9 / uint64(s.cfg.Frequency) // the kernel keeps to the frequency
			}
			return &cpuEvent{cpu: n, fd: fd, kind: c.kind}, nil
		}
		if !noCounter(err) {
			return nil, Permission(fmt.Sprintf("open perf event (%s) on CPU %d", c.kind, n), err)
		}
	}
	return nil, fmt.Errorf("open perf event on CPU %d: %w", n, err)
}

// openPerfEvent opens an event for all threads of a CPU. The kernel lowers its
// limit for frequencies when samples take long; then the event has the
// frequency that is left, and what it lacks is counted as not sampled.
func openPerfEvent(attr unix.PerfEventAttr, cpu int) (int, error) {
	for {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if !errors.Is(err, unix.EINVAL) || attr.Bits&unix.PerfBitFreq == 0 {
			return fd, err
		}
		limit, e := sysctl("kernel/perf_event_max_sample_rate")
		if e != nil || limit < 1 || uint64(limit) >= attr.Sample {
			return fd, err
		}
		attr.Sample = uint64(limit)
	}
}

// clockPeriod is the time between two firings of the kernel's CPU clock, in
// nanoseconds. The kernel fires it at exact multiples of the period, on the clock
// that also wakes programs: at 100 Hz each sample would find a program that does
// something every 10 ms at the same point of it, or never. So periods that divide
// 10 ms, or are whole milliseconds, are made 1.6 % longer: samples then wander
// through every such rhythm.
func clockPeriod(frequency int) uint64 {
	const millisecond = 1_000_000
	period := 1_000_000_000 / uint64(frequency)
	if period%millisecond == 0 || 10*millisecond%period == 0 {
		period += period * 16 / 1000
	}
	return period
}

// noCounter says whether the error means that the machine has no such counter.
func noCounter(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV)
}

// Attach connects programs and events. Sampling begins with Start.
func (s *Sampler) Attach() error {
	if err := s.setFilter(); err != nil {
		return err
	}
	var err error
	if s.Notices, err = openNotices(s.maps["notices"], &s.control[0].Told, s.cpus); err != nil {
		return err
	}
	for _, p := range s.progs {
		if p.Prog.Type() != ebpf.Tracing {
			continue
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: p.Prog})
		if err != nil {
			return Permission("attach program "+p.Name, err)
		}
		s.links = append(s.links, l)
	}
	if err := s.openEvents(); err != nil {
		return err
	}
	prog := s.program(progSample)
	for _, e := range s.events {
		if err := e.attach(prog); err != nil {
			return Permission(fmt.Sprintf("attach program %s to the perf event of CPU %d", progSample, e.cpu), err)
		}
	}
	if err := s.attachTimer(); err != nil {
		return err
	}
	s.sampled.Store(int32(len(s.events)))
	s.types = nil // some 10 MB
	return nil
}

// attachTimer counts the firings of the sampling timer, for the exact number
// of samples that the kernel skipped. Without the privilege to read kernel
// addresses, or with a hardware counter, that number is estimated instead.
func (s *Sampler) attachTimer() error {
	if s.eventKind != kindClock {
		s.timerReason = "hardware counter"
		return nil
	}
	address, err := timerAddress()
	if err != nil {
		s.timerReason = err.Error()
		return nil
	}
	for _, e := range s.events {
		if err := s.countFirings(e); err != nil {
			return err
		}
	}
	spec, err := cpu.TimerSpec()
	if err != nil {
		return fmt.Errorf("parse object timer: %w", err)
	}
	vars, err := s.variables()
	if err != nil {
		return err
	}
	vars["timer_function"] = address
	if err := s.loadObject(object{"timer", spec, -1, ""}, vars, s.sizes()); err != nil {
		return err
	}
	l, err := link.AttachTracing(link.TracingOptions{Program: s.program(progTimer)})
	if err != nil {
		return Permission("attach program "+progTimer, err)
	}
	s.links = append(s.links, l)
	s.useTimer = true
	return nil
}

// countFirings makes an event's the timer that is counted on its CPU.
func (s *Sampler) countFirings(e *cpuEvent) error {
	id, err := eventID(e.fd)
	if err != nil {
		return err
	}
	atomic.StoreUint64(&s.timers[e.cpu].EventId, id)
	return nil
}

// timerAddress is the address of the function that the kernel's CPU clock
// calls when it is time for a sample.
func timerAddress() (uint64, error) {
	if without.Set(without.Timer) {
		return 0, errors.New("switched off")
	}
	return kernelSymbol("perf_swevent_hrtimer")
}

// eventID asks for the number by which the kernel knows the event.
func eventID(fd int) (uint64, error) {
	var id uint64
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.PERF_EVENT_IOC_ID, uintptr(unsafe.Pointer(&id)))
	if errno != 0 {
		return 0, fmt.Errorf("read ID of perf event: %w", errno)
	}
	return id, nil
}

func (s *Sampler) program(name string) *ebpf.Program {
	for _, p := range s.progs {
		if p.Name == name {
			return p.Prog
		}
	}
	return nil
}

// setFilter fills the maps of wanted processes and cgroup.
func (s *Sampler) setFilter() error {
	one := uint32(1)
	for _, pid := range s.cfg.Filter.PIDs {
		if err := s.Want(pid, one); err != nil {
			return err
		}
	}
	if path := s.cfg.Filter.Cgroup; path != "" {
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("open cgroup: %w", err)
		}
		defer f.Close()
		if err := s.maps["wanted_cgroup"].Put(uint32(0), uint32(f.Fd())); err != nil {
			return fmt.Errorf("filter by cgroup %s: %w", path, err)
		}
	}
	return nil
}

// Want adds a process to those that the filter by PID accepts.
func (s *Sampler) Want(pid int, one uint32) error {
	if err := s.maps["wanted_pids"].Put(uint32(pid), one); err != nil {
		return fmt.Errorf("filter by PID %d: %w", pid, err)
	}
	return nil
}

// Unwant takes a process that has ended off those that the filter by PID
// accepts; one that is not among them is no error.
func (s *Sampler) Unwant(pid int) error {
	if err := s.maps["wanted_pids"].Delete(uint32(pid)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("filter by PID without %d: %w", pid, err)
	}
	return nil
}

// Start begins sampling on every CPU.
func (s *Sampler) Start() error {
	idle := readIdle()
	for _, e := range s.events {
		e.idle = idle[e.cpu]
		if err := e.switchOn(); err != nil {
			return err
		}
	}
	return nil
}

// Stop ends sampling on every CPU; what was sampled can still be read.
func (s *Sampler) Stop() error {
	for _, e := range s.events {
		if err := unix.IoctlSetInt(e.fd, unix.PERF_EVENT_IOC_DISABLE, 0); err != nil {
			return fmt.Errorf("stop perf event of CPU %d: %w", e.cpu, err)
		}
	}
	return nil
}

func (e *cpuEvent) switchOn() error {
	if err := unix.IoctlSetInt(e.fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return fmt.Errorf("start perf event of CPU %d: %w", e.cpu, err)
	}
	return nil
}

// counter is what the kernel says of an event: for the CPU clock, nanoseconds.
type counter struct{ value, enabled, running uint64 }

func (e *cpuEvent) read() (counter, error) {
	var b [24]byte
	n, err := unix.Read(e.fd, b[:])
	if err == nil && n != len(b) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return counter{}, fmt.Errorf("read perf event of CPU %d: %w", e.cpu, err)
	}
	word := binary.NativeEndian.Uint64
	return counter{word(b[0:]), word(b[8:]), word(b[16:])}, nil
}

// Runs is how often the kernel ran the sampling program, and how long a run
// took with everything it called: the kernel's own statistics, which it keeps
// only while something has switched them on (ebpf.EnableStats).
func (s *Sampler) Runs() (n uint64, each time.Duration) {
	stats, err := s.program(progSample).Stats()
	if err != nil || stats.RunCount == 0 {
		return 0, 0
	}
	return stats.RunCount, stats.Runtime / time.Duration(stats.RunCount)
}
