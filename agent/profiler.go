package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// ErrPermission says that a privilege is missing.
var ErrPermission = bpf.ErrPermission

const (
	defaultFrequency = 99
	defaultWindow    = 5 * time.Second
	// tick is how often the kernel's news are read while there are any: a new
	// process or library is known to the kernel side after this time at the
	// latest. While there are none, they are read each calmTick: so long may a
	// library's frames have the names of one that was in its place before.
	tick     = 100 * time.Millisecond
	calmTick = 150 * time.Millisecond
	// shortTick is how often while samples come with copies of stacks, some
	// hundred of which fill the tables, and while the tables fill up fast.
	shortTick = 25 * time.Millisecond
	// fullEnough is the fill of the tables at which they are read early.
	fullEnough = 0.5
	// lookForCPUs is how often CPUs that came or went are looked for.
	lookForCPUs = time.Second
)

// Profiler samples a host: it runs the kernel side, keeps track of processes,
// names frames and adds samples up. Its methods may be called from several
// goroutines.
type Profiler struct {
	cfg     Config
	names   *names
	sampler *bpf.Sampler
	native  *native.Unwinder

	// The loop reads windows; mu guards what it shares with the callers.
	mu      sync.Mutex
	procs   *processes
	windows int    // read so far
	total   Status // since Start, up to the last read
	started time.Time
	lastCPU time.Duration
	read    time.Time     // of the last window
	looked  time.Time     // for CPUs that came or went
	copies  uint64        // of stacks in this window, at the last look
	fill    float64       // of the tables then
	slept   time.Duration // before it
	err     error         // that ended the loop
	cancel  context.CancelFunc
	done    chan struct{} // closed when the loop has ended

	// The collector names and adds up what the loop has read. Reading must not
	// wait for it: meanwhile the kernel's tables fill up.
	queue     chan work
	collected chan struct{} // closed when the collector has ended
	totals    totals

	registration metric.Registration // of Observe, if it was called
}

// work is for the collector: a window to add, or the end of a cut.
type work struct {
	window *bpf.Window
	cut    chan<- *Profile
	at     time.Time // when the cut ends
	main   string    // path of the program that a profile of one process is of
	last   bool      // nothing is sampled any more
}

// queued is how many windows may wait for the collector. Beyond that reading
// waits too, and what then does not fit the kernel's tables is counted there.
const queued = 4

// New loads and attaches the kernel side; sampling begins with Start. The
// error is ErrPermission when a privilege is missing, ErrNoTarget when nothing
// fits the target, and a *bpf.RejectedError when the kernel refused a program.
func New(cfg Config) (*Profiler, error) {
	if err := cfg.Names.Demangle.Check(); err != nil {
		return nil, err
	}
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
	unwinder := &native.Unwinder{MemoryLimit: cfg.tableMemory}
	sampler, err := bpf.Load(bpf.Config{
		Frequency: cfg.Frequency,
		Unwinders: unwinders(unwinder, cfg.before),
		Filter:    filter,
		Idle:      cfg.Idle,
		Threads:   cfg.ThreadIDs,
		NoKernel:  cfg.NoKernel,
		NoUser:    cfg.NoUser,
		TimeIdle:  cfg.timeIdle,
		TableSize: cfg.tableSize,
		LogWords:  cfg.logWords,
		Dump:      cfg.dump,
	})
	if err != nil {
		return nil, err
	}
	p := &Profiler{cfg: cfg, sampler: sampler, native: unwinder}
	if err := p.open(); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// highestFrequency bounds what may be asked for. The kernel allows 100,000 Hz,
// where a virtual machine does nothing any more but serve its timer.
const highestFrequency = 20_000

// maxFrequency is the limit for samples per second: the kernel's and our own.
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
	return min(n, highestFrequency), nil
}

func (p *Profiler) open() error {
	var err error
	if p.names, err = newNames(p.cfg.Names, p.cfg.Debuginfod); err != nil {
		return err
	}
	procs, err := openProcesses(p.sampler, p.native.Store, p.cfg.Target)
	if err != nil {
		return err
	}
	p.procs = procs
	// Attached last: from here on births of processes are told, and everything
	// that was there before is found when it is first sampled.
	return p.sampler.Attach()
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
	p.started, p.read, p.looked = now, now, now
	p.lastCPU = usedCPU()
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done = cancel, make(chan struct{})
	p.queue, p.collected = make(chan work, queued), make(chan struct{})
	go p.loop(ctx)
	go p.collect(now)
	return nil
}

func (p *Profiler) loop(ctx context.Context) {
	defer close(p.done)
	t := time.NewTimer(tick)
	defer t.Stop()
	for {
		filling := false
		select {
		case <-ctx.Done():
			return
		case <-p.sampler.Filling():
			filling = true
		case made := <-p.procs.tables.made:
			p.mu.Lock()
			p.procs.tables.take(made)
			p.mu.Unlock()
			continue
		case <-t.C:
		}
		p.mu.Lock()
		err := p.turn(filling)
		if err != nil && p.err == nil {
			p.err = err
		}
		pause := p.pause()
		p.mu.Unlock()
		if err != nil {
			return
		}
		t.Reset(pause)
	}
}

// pause is how long the loop may sleep. Each time it wakes costs more than what
// it then finds to do, as a rule.
func (p *Profiler) pause() time.Duration {
	copies, fill := p.sampler.Copies(), p.sampler.Fill()
	copying, filled := copies > p.copies, max(fill-p.fill, 0)
	p.copies, p.fill = copies, fill
	longest := calmTick
	switch {
	case p.procs.flooded: // reading more often would only have more to read
	case copying:
		longest = shortTick
	case p.procs.hadNews:
		longest = tick
	}
	if filled > 0 {
		// Twice as fast from now on, and the tables are still not too full.
		left := time.Duration(max(fullEnough-fill, 0) / filled / 2 * float64(p.slept))
		longest = min(longest, max(left, shortTick))
	}
	p.slept = max(min(longest, p.cfg.Window-time.Since(p.read)), time.Millisecond)
	return p.slept
}

// turn is one round of the loop: news of processes and CPUs, and now and then a
// window: always when copies of stacks are filling the tables.
func (p *Profiler) turn(filling bool) error {
	p.procs.tables.takeAll()
	if time.Since(p.looked) >= lookForCPUs {
		p.looked = time.Now()
		change, err := p.sampler.FollowCPUs()
		if err == nil && change != nil {
			err = p.procs.followCPUs(change, p.names.symbolsChanged)
		}
		if err != nil {
			return err
		}
	}
	if err := p.procs.update(p.names.symbolsChanged); err != nil {
		return err
	}
	if time.Since(p.read) < p.cfg.Window && (p.cfg.noEarlyRead || !filling && p.sampler.Fill() < fullEnough) {
		return nil
	}
	return p.window()
}

// window reads what the kernel side has stored, and passes it on.
func (p *Profiler) window() error {
	p.read = time.Now()
	w, err := p.sampler.Read(p.procs, p.names.kernel, func() error {
		return p.procs.update(p.names.symbolsChanged)
	})
	if err != nil {
		return err
	}
	p.windows++
	p.copies, p.fill = 0, 0
	p.procs.windowRead()
	p.totals.addProcesses(p.procs.table.Stats(), p.procs.counts, p.procs.tables.stats())
	for _, n := range w.Tally.Lost {
		p.total.Lost += n
	}
	p.total.Samples += w.Tally.Stored
	p.queue <- work{window: w}
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
	names := p.names.symbolizer.Stats()
	s.Reading, s.Waiting = names.Reading, names.Waiting
	if p.names.servers != nil {
		s.Asked = p.names.servers.Stats().Waiting
	}
	return s
}

// Cut returns everything sampled since the last Cut, or since Start.
func (p *Profiler) Cut() (*Profile, error) {
	p.mu.Lock()
	profile, err := p.cut(false)
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return <-profile, nil
}

// cut reads the last window of a cut and asks the collector for the profile.
func (p *Profiler) cut(last bool) (<-chan *Profile, error) {
	if p.err != nil {
		return nil, p.err
	}
	if err := p.window(); err != nil {
		return nil, err
	}
	profile := make(chan *Profile, 1)
	// Samples end with the last swap of the tables, not with their reading.
	p.queue <- work{cut: profile, at: p.read, main: p.mainPath(), last: last}
	return profile, nil
}

// Stop ends sampling and returns everything sampled since the last Cut.
func (p *Profiler) Stop() (*Profile, error) {
	if p.done == nil {
		return nil, errors.New("stop sampling: not started")
	}
	p.cancel()
	<-p.done
	p.mu.Lock()
	err := p.sampler.Stop()
	var profile <-chan *Profile
	if err == nil {
		profile, err = p.cut(true)
	}
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return <-profile, nil
}

// StopWaiting has Stop, which may be under way, not wait for names any longer: the
// profile has those that are there. See [NamesConfig].Wait.
func (p *Profiler) StopWaiting() { p.names.stopWaiting() }

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
	if p.registration != nil {
		// Waits for who reads the counters just now: some are of the kernel side.
		if err := p.registration.Unregister(); err != nil {
			return fmt.Errorf("unregister metrics: %w", err)
		}
	}
	var err error
	if p.names != nil {
		err = p.names.close() // the collector may wait for it
	}
	if p.cancel != nil {
		p.cancel()
		<-p.done
		close(p.queue)
		<-p.collected
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.procs != nil {
		p.procs.close()
	}
	return errors.Join(err, p.sampler.Close())
}

// usedCPU is the processor time that this process has used.
func usedCPU() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
