package bpf

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/finish"
	"github.com/staccato-profiler/staccato/bpf/procevent"
	"github.com/staccato-profiler/staccato/bpf/source/cpu"
)

// Unwinder is a program that walks one kind of frames. The first of a Config
// is the native one; it takes slot 0, which every sample starts with.
type Unwinder interface {
	// Name is the name of the unwinder and of its folder.
	Name() string
	// Spec returns the object, fresh at each call.
	Spec() (*ebpf.CollectionSpec, error)
	// Program is the name of the program that goes into the unwinder's slot.
	Program() string
}

// TableUnwinder is an Unwinder with maps of its own to fill.
type TableUnwinder interface {
	Unwinder
	// Open takes the maps of the loaded object.
	Open(maps map[string]*ebpf.Map) error
	// GraceOver says that every program that ran when it was last called has
	// ended, and which window the programs now write.
	GraceOver(window uint32)
	Close()
}

// Config says what the kernel side samples. The zero value of each field is
// its default.
type Config struct {
	// Frequency is in samples per second and CPU; must be set.
	Frequency int
	Unwinders []Unwinder
	Filter    Filter

	Idle     bool // keep samples of the idle task
	Threads  bool // tell threads apart by ID
	NoKernel bool
	NoUser   bool
	// TimeIdle lets the program run for the idle task too, which is otherwise
	// left out by the perf event itself: only for checking the accounting
	// against an outside count.
	TimeIdle bool

	// Sizes. TableSize is entries per bank, a power of two (default by CPUs
	// and frequency, at least 16,384). LogWords limits the used words of each
	// of the log's slabs (default all: 524,288).
	TableSize int
	LogWords  int

	// Dump changes the sampling events so that the kernel writes each stored
	// sample into the event's own ring, too: only for comparing what was unwound
	// with what others make of the same registers and stack. See EventFD.
	Dump func(*unix.PerfEventAttr)
}

// Filter limits whose samples are taken; each field that is set must match.
type Filter struct {
	PIDs   []int
	Follow bool // children of PIDs too
	Name   string
	User   *uint32
	Cgroup string // path of a cgroup v2 directory
}

// Sampler is the loaded kernel side. Its methods are for one goroutine, except
// where they say otherwise.
type Sampler struct {
	cfg    Config
	cpus   []int // online when it was loaded
	nCPU   int   // possible
	period uint64

	maps        map[string]*ebpf.Map
	collections []*ebpf.Collection
	progs       []loaded
	links       []link.Link
	events      []*cpuEvent
	types       *btf.Cache // until attached
	useTimer    bool
	timerReason string

	Tables  *Tables
	Notices *Notices
	tabled  []TableUnwinder

	banks       *banks
	stacks      stackMemory
	alarm       *alarm
	control     []layoutControl
	tallies     []layoutTally
	timers      []layoutTimerTally
	memory      [][]byte
	mapBytes    uint64
	grace       gracePeriod
	read        uint64 // when the last window ended; CLOCK_MONOTONIC, ns
	entries     uint64 // of all windows so far
	fired       uint64
	skipped     uint64
	skippedIdle uint64
	skippedOwn  uint64
	late        uint64
	// expectedGone is how often CPUs that went offline should have been sampled.
	expectedGone float64
	sampled      atomic.Int32 // CPUs
	choices      []eventChoice
	eventKind    string
}

// loaded is a program in the kernel, for doctor.
type loaded struct {
	Name string
	Prog *ebpf.Program
}

// program names of the fixed objects.
const (
	progSample = "sample_cpu"
	progTimer  = "timer_fired"
	progFinish = "finish"
)

// ErrPermission says that the kernel did not let us use BPF or perf events.
var ErrPermission = errors.New("no permission")

var errConfidentiality = errors.New("the kernel's lockdown is in mode confidentiality, so BPF programs may not read its memory: boot without lockdown=confidentiality")

// Load puts the programs and maps into the kernel. Nothing is sampled yet. The
// error is ErrPermission when a privilege is missing, an *UnsupportedError when
// the kernel lacks what is needed, an *UnsafeKernelError when it is known to
// crash, and a *RejectedError when its verifier refused a program.
func Load(cfg Config) (*Sampler, error) {
	if cfg.Frequency <= 0 {
		return nil, fmt.Errorf("load BPF programs: frequency %d", cfg.Frequency)
	}
	if len(cfg.Unwinders) == 0 || len(cfg.Unwinders) > int(layoutSlotSLOTS)-1 {
		return nil, fmt.Errorf("load BPF programs: %d unwinders", len(cfg.Unwinders))
	}
	nCPU, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	online, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	s := &Sampler{
		cfg:    cfg,
		cpus:   online,
		nCPU:   nCPU,
		period: clockPeriod(cfg.Frequency),
		maps:   make(map[string]*ebpf.Map),
	}
	if err := knownToCrash(); err != nil {
		return nil, err
	}
	if lockdown() == confidentiality {
		return nil, errConfidentiality
	}
	if err := unsupported(); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		s.Close()
		if rejected(err) != nil {
			return nil, err
		}
		return nil, Permission("load BPF programs", err)
	}
	return s, nil
}

// object is one .o file to load: its programs, and what tells it apart.
type object struct {
	name string
	spec *ebpf.CollectionSpec
	slot int // -1: not in the program array
	prog string
}

func (s *Sampler) load() error {
	objects, err := s.objects()
	if err != nil {
		return err
	}
	vars, err := s.variables()
	if err != nil {
		return err
	}
	sizes := s.sizes()
	s.types = btf.NewCache()
	for _, o := range objects {
		if err := s.loadObject(o, vars, sizes); err != nil {
			return err
		}
	}
	for _, u := range s.cfg.Unwinders {
		if t, ok := u.(TableUnwinder); ok {
			s.tabled = append(s.tabled, t)
			if err := t.Open(s.maps); err != nil {
				return err
			}
		}
	}
	if s.alarm, err = openAlarm(s.maps["alarms"]); err != nil {
		return err
	}
	return s.mapMemory(sizes)
}

func (s *Sampler) objects() ([]object, error) {
	var list []object
	add := func(name string, spec func() (*ebpf.CollectionSpec, error), slot int, prog string) error {
		sp, err := spec()
		if err != nil {
			return fmt.Errorf("parse object %s: %w", name, err)
		}
		list = append(list, object{name, sp, slot, prog})
		return nil
	}
	if err := add("finish", finish.Spec, int(layoutSlotSLOT_FINISH), progFinish); err != nil {
		return nil, err
	}
	for i, u := range s.cfg.Unwinders {
		slot := int(layoutSlotSLOT_NATIVE)
		if i > 0 {
			slot = int(layoutSlotSLOT_FIRST_FREE) + i - 1
		}
		if err := add(u.Name(), u.Spec, slot, u.Program()); err != nil {
			return nil, err
		}
	}
	if err := add("procevent", procevent.Spec, -1, ""); err != nil {
		return nil, err
	}
	if err := add("cpu", cpu.Spec, -1, progSample); err != nil {
		return nil, err
	}
	return list, nil
}

// variables are the programs' settings, by name; each object takes those that
// it declares.
func (s *Sampler) variables() (map[string]any, error) {
	var seed [16]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return nil, fmt.Errorf("seed the hash: %w", err)
	}
	namespace, err := pidNamespace()
	if err != nil {
		return nil, err
	}
	f := s.cfg.Filter
	var name [16]byte
	copy(name[:15], f.Name)
	var user uint32
	if f.User != nil {
		user = *f.User
	}
	sizes := s.sizes()
	return map[string]any{
		"n_cpus":           uint32(s.nCPU),
		"namespace_inode":  namespace,
		"own_pid":          uint32(os.Getpid()),
		"filter_by_pid":    len(f.PIDs) > 0,
		"filter_by_name":   f.Name != "",
		"filter_by_user":   f.User != nil,
		"filter_by_cgroup": f.Cgroup != "",
		"wanted_name":      name,
		"wanted_user":      user,
		"follow_children":  f.Follow,
		"with_idle":        s.cfg.Idle,
		"with_threads":     s.cfg.Threads,
		"no_kernel":        s.cfg.NoKernel,
		"no_user":          s.cfg.NoUser,
		"seed_lo":          binary.LittleEndian.Uint64(seed[:8]),
		"seed_hi":          binary.LittleEndian.Uint64(seed[8:]),
		"table_mask":       sizes["stack_traces"]/2 - 1,
		"log_slabs":        sizes["stack_frames"] / 2,
		"log_words":        uint32(s.cfg.logWords()),
		"process_mask":     sizes["processes"] - 1,
		"have_bpf_loop":    haveLoop(),
		"write_samples":    s.cfg.Dump != nil,
	}, nil
}

const logSlabWords = 1 << 19 // LOG_SLAB_WORDS

func (c *Config) logWords() int {
	if c.LogWords > 0 && c.LogWords < logSlabWords {
		return c.LogWords
	}
	return logSlabWords
}

// sizes are the entries of the maps whose size depends on machine and rate.
func (s *Sampler) sizes() map[string]uint32 {
	table := s.cfg.TableSize
	if table == 0 {
		// Half a second of samples that are all different makes a bank full
		// (see Fill): time enough for a reader that looks ten times a second.
		table = max(16384, s.cfg.Frequency*len(s.cpus))
	}
	table = 1 << bits.Len(uint(min(table, 1<<20)-1))
	// A slab holds 16,384 stacks of 32 frames.
	slabs := max(1, table/16384)
	return map[string]uint32{
		"stack_traces":  uint32(2 * table),
		"stack_frames":  uint32(2 * slabs),
		"log_cursors":   uint32(2 * slabs),
		"alarms":        uint32(pageSize),
		"tallies":       uint32(2 * s.nCPU),
		"timer_tallies": uint32(s.nCPU),
		"processes":     processSlots,
		"mappings":      mappingEntries,
	}
}

func (s *Sampler) loadObject(o object, vars map[string]any, sizes map[string]uint32) error {
	if err := checkLayout(o); err != nil {
		return err
	}
	for name, value := range vars {
		if v := o.spec.Variables[name]; v != nil {
			if err := v.Set(value); err != nil {
				return fmt.Errorf("set %s of object %s: %w", name, o.name, err)
			}
		}
	}
	replace := make(map[string]*ebpf.Map)
	for name, m := range o.spec.Maps {
		if n, ok := sizes[name]; ok {
			m.MaxEntries = n
		}
		if shared := s.maps[name]; shared != nil {
			replace[name] = shared
		}
	}
	opts := ebpf.CollectionOptions{MapReplacements: replace, Cache: s.types}
	coll, err := ebpf.NewCollectionWithOptions(o.spec, opts)
	if err != nil {
		return explain(o.name, err)
	}
	s.collections = append(s.collections, coll)
	for name, m := range coll.Maps {
		if s.maps[name] == nil && name[0] != '.' {
			s.maps[name] = m
		}
	}
	for name, p := range coll.Programs {
		s.progs = append(s.progs, loaded{name, p})
	}
	if o.slot >= 0 {
		// The program array stays open as long as we run: closing its last
		// descriptor would empty it under running programs.
		if err := s.maps["progs"].Put(uint32(o.slot), coll.Programs[o.prog]); err != nil {
			return fmt.Errorf("put program %s into slot %d: %w", o.prog, o.slot, err)
		}
	}
	return nil
}

// checkLayout refuses an object that was built from other headers than we
// were: the kernel would join its maps to ours without a word.
func checkLayout(o object) error {
	v := o.spec.Variables["layout_version"]
	if v == nil {
		return fmt.Errorf("object %s has no layout version", o.name)
	}
	var got uint32
	if err := v.Get(&got); err != nil {
		return fmt.Errorf("read layout version of object %s: %w", o.name, err)
	}
	if got != layoutVersion {
		return fmt.Errorf("object %s has layout version %d, the loader %d: run make generate", o.name, got, layoutVersion)
	}
	return nil
}

// layoutVersion is LAYOUT_VERSION of include/types.h.
const layoutVersion = 7

// Close detaches everything and frees the kernel side.
func (s *Sampler) Close() error {
	for _, l := range s.links {
		l.Close()
	}
	for _, e := range s.events {
		e.close()
	}
	if s.Notices != nil {
		s.Notices.close()
	}
	if s.alarm != nil {
		s.alarm.close()
	}
	for _, t := range s.tabled {
		t.Close()
	}
	for _, m := range s.memory {
		unmap(m)
	}
	for _, c := range s.collections {
		c.Close()
	}
	s.grace.close()
	*s = Sampler{}
	return nil
}

// Period is the time between two samples of a CPU, in nanoseconds.
func (s *Sampler) Period() uint64 { return s.period }

// MapBytes is the memory that the BPF maps take.
func (s *Sampler) MapBytes() uint64 { return s.mapBytes }

// CPUs is the number of CPUs being sampled. It may be called from any goroutine.
func (s *Sampler) CPUs() int { return int(s.sampled.Load()) }

// EventKind names the perf event: "cpu-clock" or "cycles".
func (s *Sampler) EventKind() string { return s.eventKind }

// pidNamespace returns the inode of our PID namespace; 0 for the initial one,
// whose PIDs need no translation.
func pidNamespace() (uint32, error) {
	var st syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/pid", &st); err != nil {
		return 0, fmt.Errorf("find our PID namespace: %w", err)
	}
	const initial = 0xeffffffc // PROC_PID_INIT_INO of the kernel
	if st.Ino == initial {
		return 0, nil
	}
	return uint32(st.Ino), nil
}

// ChildrenLost is the number of children of wanted processes that the filter by
// PID had no room for: they are not sampled.
func (s *Sampler) ChildrenLost() uint64 {
	for _, c := range s.collections {
		if v := c.Variables["children_lost"]; v != nil {
			var n uint64
			if v.Get(&n) == nil {
				return n
			}
		}
	}
	return 0
}
