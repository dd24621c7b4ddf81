package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/agent/merge"
	"github.com/staccato-profiler/staccato/bpf"
)

// ErrPermission says that a privilege is missing.
var ErrPermission = bpf.ErrPermission

const (
	defaultFrequency = 99
	defaultWindow    = 5 * time.Second
	// tick is how often the kernel's news are read: a new process or library
	// is known to the kernel side after this time at the latest.
	tick = 100 * time.Millisecond
	// fullEnough is the fill of the tables at which they are read early.
	fullEnough = 0.5
)

// Profiler samples a host: it runs the kernel side, keeps track of processes,
// names frames and adds samples up. Its methods may be called from several
// goroutines.
type Profiler struct {
	cfg  Config
	note string

	mu      sync.Mutex
	sampler *bpf.Sampler
	names   *names
	procs   *processes
	merger  *merge.Merger
	sum     Summary // of the current cut
	fired   uint64  // firings of the timer, of the current cut
	windows int     // read so far
	total   Status  // since Start, up to the last read
	started time.Time
	cutAt   time.Time
	lastCPU time.Duration
	read    time.Time // of the last window
	err     error     // that ended the loop

	cancel context.CancelFunc
	done   chan struct{}
}

// New loads and attaches the kernel side; sampling begins with Start. The
// error is ErrPermission when a privilege is missing, ErrNoTarget when nothing
// fits the target, and a *bpf.RejectedError when the kernel refused a program.
func New(cfg Config) (*Profiler, error) {
	if cfg.Frequency == 0 {
		cfg.Frequency = defaultFrequency
	}
	if cfg.Window == 0 {
		cfg.Window = defaultWindow
	}
	limit, err := maxFrequency()
	if err != nil {
		return nil, err
	}
	cfg.Frequency = min(cfg.Frequency, limit)
	filter, err := cfg.Target.filter()
	if err != nil {
		return nil, err
	}
	sampler, err := bpf.Load(bpf.Config{
		Frequency: cfg.Frequency,
		Unwinders: unwinders(),
		Filter:    filter,
		Idle:      cfg.Idle,
		Threads:   cfg.ThreadIDs,
		NoKernel:  cfg.NoKernel,
		NoUser:    cfg.NoUser,
		TimeIdle:  cfg.timeIdle,
		TableSize: cfg.tableSize,
		LogWords:  cfg.logWords,
	})
	if err != nil {
		return nil, err
	}
	p := &Profiler{cfg: cfg, sampler: sampler}
	if err := p.open(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// maxFrequency is the kernel's limit for samples per second.
func maxFrequency() (int, error) {
	const path = "/proc/sys/kernel/perf_event_max_sample_rate"
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("read the kernel's highest sampling frequency: %w", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || n < 1 {
		return 0, fmt.Errorf("read the kernel's highest sampling frequency: %s holds %q", path, text)
	}
	return n, nil
}

func (p *Profiler) open() error {
	p.names = newNames()
	procs, err := openProcesses(p.sampler, p.cfg.Target)
	if err != nil {
		return err
	}
	p.procs = procs
	p.newCut(time.Now())
	// Attached last: from here on births of processes are told, and everything
	// that was there before is found when it is first sampled.
	return p.sampler.Attach()
}

func (p *Profiler) newCut(now time.Time) {
	p.merger = merge.New(merge.Config{Period: int64(p.sampler.Period()), Name: p.names.name, Reason: p.names.reason})
	p.cutAt = now
	p.fired = 0
	p.sum = Summary{Lost: make(map[string]uint64), Frequency: p.cfg.Frequency}
}

// Start begins sampling.
func (p *Profiler) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done != nil {
		return errors.New("start sampling: already started")
	}
	if err := p.sampler.Start(); err != nil {
		return err
	}
	now := time.Now()
	p.started, p.cutAt, p.read = now, now, now
	p.lastCPU = usedCPU()
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done = cancel, make(chan struct{})
	go p.loop(ctx)
	return nil
}

func (p *Profiler) loop(ctx context.Context) {
	defer close(p.done)
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		p.mu.Lock()
		err := p.turn()
		if err != nil && p.err == nil {
			p.err = err
		}
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// turn is one round of the loop: news of processes, and now and then a window.
func (p *Profiler) turn() error {
	if err := p.procs.update(p.names.symbolsChanged); err != nil {
		return err
	}
	if time.Since(p.read) < p.cfg.Window && (p.cfg.noEarlyRead || p.sampler.Fill() < fullEnough) {
		return nil
	}
	return p.window()
}

// window reads what the kernel side has collected and adds it up.
func (p *Profiler) window() error {
	p.read = time.Now()
	w, err := p.sampler.Read(p.procs, p.names.kernel, func() error {
		return p.procs.update(p.names.symbolsChanged)
	})
	if err != nil {
		return err
	}
	p.windows++
	p.merger.Add(w.Samples)
	p.procs.windowRead()

	s, t := &p.sum, &w.Tally
	s.Entries += t.Entries
	s.Samples += t.Stored
	s.Filtered += t.Filtered
	s.Idle += t.Idle
	s.Late += t.Late
	s.Estimated = t.Estimated
	p.fired += t.Fired
	for cause, n := range t.Lost {
		s.Lost[cause] += n
		p.total.Lost += n
	}
	p.total.Samples += t.Stored
	return nil
}

// Status is a cheap look at the run so far.
func (p *Profiler) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.total
	now := p.sampler.Peek()
	s.Samples += now.Stored
	for _, n := range now.Lost {
		s.Lost += n
	}
	s.Elapsed = time.Since(p.started)
	if sec := s.Elapsed.Seconds(); sec > 0 {
		s.BusyCPUs = float64(s.Samples) * float64(p.sampler.Period()) / 1e9 / sec
	}
	s.ProfilerCPU = usedCPU() - p.lastCPU
	return s
}

// Cut returns everything sampled since the last Cut, or since Start.
func (p *Profiler) Cut() (*Profile, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		return nil, p.err
	}
	if err := p.window(); err != nil {
		return nil, err
	}
	return p.finish(), nil
}

// Stop ends sampling and returns everything sampled since the last Cut.
func (p *Profiler) Stop() (*Profile, error) {
	if p.done == nil {
		return nil, errors.New("stop sampling: not started")
	}
	p.cancel()
	<-p.done
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.sampler.Stop(); err != nil {
		return nil, err
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := p.window(); err != nil {
		return nil, err
	}
	return p.finish(), nil
}

// finish closes the current cut and begins the next.
func (p *Profiler) finish() *Profile {
	// Samples end with the last swap of the tables, not with their reading.
	now := p.read
	s := p.sum
	s.Start = p.cutAt
	s.Duration = now.Sub(p.cutAt)
	cpu := usedCPU()
	s.ProfilerCPU = cpu - p.lastCPU
	p.lastCPU = cpu
	s.Achieved = float64(s.Frequency)
	if due := p.due(&s); due > 0 {
		s.Achieved *= float64(s.Entries) / float64(due)
	}
	c := p.merger.Counts()
	s.Truncated = c.Truncated
	s.Complete, s.Named = 1, 1
	if c.Samples > 0 {
		s.Complete = float64(c.Complete) / float64(c.Samples)
		s.Named = float64(c.Named) / float64(c.Samples)
	}
	for _, u := range p.merger.Unnamed() {
		s.Unnamed = append(s.Unnamed, UnnamedIn(u))
	}
	procs := p.merger.Processes()
	in := p.merger.Finish(p.mainPath(), s.Start, s.Duration, p.comments(&s))
	in.Side.Host = hostAttributes()
	in.Side.Processes = processAttributes(procs)
	p.newCut(now)
	return &Profile{Input: in, Summary: s}
}

// due is how often the program should have run.
func (p *Profiler) due(s *Summary) uint64 {
	if s.Estimated != "" {
		return s.Entries + s.Lost[bpf.LostNotSampled]
	}
	return max(p.fired, s.Entries+s.Lost[bpf.LostNotSampled]) + s.Late
}

// mainPath is the program of a profile of one process.
func (p *Profiler) mainPath() string {
	if len(p.cfg.Target.PIDs) != 1 {
		return ""
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", p.cfg.Target.PIDs[0]))
	if err != nil {
		return p.procs.executable(p.cfg.Target.PIDs[0])
	}
	return path
}

// Frequency is the frequency in force, after clamping.
func (p *Profiler) Frequency() int { return p.cfg.Frequency }

// CPUs is the number of CPUs being sampled.
func (p *Profiler) CPUs() int { return p.sampler.CPUs() }

// Close ends everything and frees the kernel side.
func (p *Profiler) Close() error {
	if p.cancel != nil {
		p.cancel()
		<-p.done
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.procs != nil {
		p.procs.close()
	}
	return p.sampler.Close()
}

// usedCPU is the processor time that this process has used.
func usedCPU() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func (s *Summary) lostTotal() uint64 {
	var n uint64
	for _, lost := range s.Lost {
		n += lost
	}
	return n
}

func sortedKeys(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }
