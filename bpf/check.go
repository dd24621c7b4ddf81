package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/source/cpu"
)

// Report says whether, and how well, this host can be profiled.
type Report struct {
	// Features are those of the kernel that make a difference.
	Features []Feature
	// Programs are what the kernel made of ours; none when it lacks a feature
	// that they need.
	Programs []ProgramReport
	Findings []Finding
}

// ProgramReport is what the kernel made of one program.
type ProgramReport struct {
	Object, Name, Type string
	// Instructions is how many the verifier processed, JITed the size of the
	// machine code in bytes; 0 when the kernel does not say.
	Instructions, JITed int
	// Attached says what the program was attached to; Err is why loading or
	// attaching failed.
	Attached string
	Err      error
}

// Finding is something that this host lacks.
type Finding struct {
	What, Why, Fix string
	// Fatal says that nothing can be profiled without it.
	Fatal bool
}

// Check loads and attaches every program, as a Sampler would, takes them away
// again, and looks at what else a profile needs.
func Check(cfg Config) (*Report, error) {
	r := &Report{Findings: examineHost()}
	cpus, err := onlineCPUs()
	if err != nil {
		return nil, err
	}
	nCPU, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count CPUs: %w", err)
	}
	s := &Sampler{cfg: cfg, cpus: cpus, nCPU: nCPU, period: 1e9 / uint64(cfg.Frequency), maps: make(map[string]*ebpf.Map), types: btf.NewCache()}
	defer s.Close()
	r.Features = s.listFeatures()
	var lacks *UnsupportedError
	if errors.As(unsupported(), &lacks) {
		for _, f := range lacks.Missing {
			if f.Since != "" {
				r.Findings = append(r.Findings, Finding{
					What: "no " + f.Name, Why: "the programs use it, and this kernel is " + lacks.Kernel, Fatal: true,
					Fix: "boot Linux 5.15 or later, or RHEL 9",
				})
			}
		}
		return r, nil
	}
	objects, err := s.objects()
	if err != nil {
		return nil, err
	}
	timer, err := cpu.TimerSpec()
	if err != nil {
		return nil, fmt.Errorf("parse object timer: %w", err)
	}
	vars, err := s.variables()
	if err != nil {
		return nil, err
	}
	for _, o := range append(objects, object{"timer", timer, -1, ""}) {
		before := len(s.progs)
		if err := s.loadObject(o, vars, s.sizes()); err != nil {
			if errors.Is(err, unix.EPERM) {
				err = unix.EPERM // which capability is missing comes below
			}
			for name, p := range o.spec.Programs {
				r.Programs = append(r.Programs, ProgramReport{Object: o.name, Name: name, Type: p.Type.String(), Err: err})
			}
			continue
		}
		for _, p := range s.progs[before:] {
			r.Programs = append(r.Programs, s.describe(o, p))
		}
	}
	if err := s.openEvents(); err == nil && s.eventKind == kindClock {
		r.Findings = append(r.Findings, Finding{
			What: "no hardware counter for CPU cycles",
			Why:  "this looks like a virtual machine; the kernel's CPU clock is used, which cannot see into code that runs with interrupts off",
		})
	}
	return r, nil
}

func (s *Sampler) describe(o object, p loaded) ProgramReport {
	r := ProgramReport{Object: o.name, Name: p.Name, Type: p.Prog.Type().String()}
	if info, err := p.Prog.Info(); err == nil {
		if n, ok := info.VerifiedInstructions(); ok {
			r.Instructions = int(n)
		}
		if n, err := info.JitedSize(); err == nil {
			r.JITed = int(n)
		}
	}
	var l link.Link
	switch {
	case o.slot >= 0:
		r.Attached = fmt.Sprintf("slot %d", o.slot)
	case p.Prog.Type() == ebpf.Tracing:
		l, r.Err = link.AttachTracing(link.TracingOptions{Program: p.Prog})
		r.Attached = "tp_btf"
	case p.Name == progSample:
		var e *cpuEvent
		if e, r.Err = s.oneEvent(); r.Err == nil {
			defer e.close()
			r.Err = e.attach(p.Prog)
		}
		r.Attached = "perf event"
	}
	if l != nil {
		l.Close()
	}
	return r
}

func (s *Sampler) oneEvent() (*cpuEvent, error) {
	one := &Sampler{cfg: s.cfg, cpus: s.cpus[:1], period: s.period}
	if err := one.openEvents(); err != nil {
		return nil, err
	}
	return one.events[0], nil
}

// capability is one we use: any of the numbers will do.
type capability struct {
	any   []int
	names string
	why   string
	fatal bool
}

func (c capability) in(set uint64) bool {
	for _, n := range c.any {
		if set&(1<<n) != 0 {
			return true
		}
	}
	return false
}

var capabilities = []capability{
	{[]int{unix.CAP_BPF, unix.CAP_SYS_ADMIN}, "CAP_BPF", "the kernel loads no BPF programs", true},
	{[]int{unix.CAP_PERFMON, unix.CAP_SYS_ADMIN}, "CAP_PERFMON", "the kernel opens no perf event for a whole CPU", true},
	{[]int{unix.CAP_SYS_PTRACE}, "CAP_SYS_PTRACE", "files of other users' processes cannot be opened, so their frames stay without names", false},
	{[]int{unix.CAP_CHECKPOINT_RESTORE, unix.CAP_SYS_ADMIN}, "CAP_CHECKPOINT_RESTORE", "deleted and replaced files of running processes cannot be opened", false},
	{[]int{unix.CAP_SYSLOG}, "CAP_SYSLOG", "the kernel hides its addresses, so kernel frames stay without names", false},
	{[]int{unix.CAP_DAC_READ_SEARCH, unix.CAP_DAC_OVERRIDE}, "CAP_DAC_READ_SEARCH", "files that only their owner may read stay closed", false},
}

// allCapabilities is what setcap wants to read.
func allCapabilities() string {
	var names []string
	for _, c := range capabilities {
		names = append(names, strings.ToLower(c.names))
	}
	return strings.Join(names, ",")
}

// permission makes an error of the kernel's "not permitted" that says what is
// missing; other errors stay as they are.
func permission(step string, err error) error {
	if !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s: %w", step, err)
	}
	var missing []string
	if caps, e := effectiveCapabilities(); e == nil {
		for _, c := range capabilities {
			if c.fatal && !c.in(caps) {
				missing = append(missing, c.names)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s: not root and no %s", ErrPermission, step, strings.Join(missing, " + "))
	}
	return fmt.Errorf("%w: %s: the kernel refuses it although we have the capabilities (a container's seccomp profile, or lockdown?): %w",
		ErrPermission, step, rootCause(err))
}

// rootCause is the innermost error: libraries add guesses of their own.
func rootCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func examineHost() []Finding {
	var list []Finding
	caps, err := effectiveCapabilities()
	if err != nil {
		list = append(list, Finding{What: "capabilities unknown", Why: err.Error(), Fix: "mount /proc"})
	}
	for _, c := range capabilities {
		if !c.in(caps) {
			list = append(list, Finding{
				What: "no " + c.names, Why: c.why, Fatal: c.fatal,
				Fix: "run as root, or give the program all it can use: sudo setcap " + allCapabilities() + "+ep $(which staccato)",
			})
		}
	}
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		list = append(list, Finding{
			What: "no kernel type information (/sys/kernel/btf/vmlinux)", Why: "programs cannot be fitted to this kernel", Fatal: true,
			Fix: "boot a kernel built with CONFIG_DEBUG_INFO_BTF, as the distributions' standard kernels are",
		})
	}
	if mode := lockdown(); mode == "confidentiality" {
		list = append(list, Finding{
			What: "kernel lockdown is in mode confidentiality", Why: "BPF programs may not read kernel memory", Fatal: true,
			Fix: "boot without lockdown=confidentiality",
		})
	}
	const syslog = 1 << unix.CAP_SYSLOG
	for _, c := range []struct {
		name string
		bad  func(int) bool
		why  string
		fix  string
	}{
		{"kernel/kptr_restrict", func(n int) bool { return n >= 2 || n == 1 && caps&syslog == 0 }, "the kernel hides its addresses: kernel frames stay without names", "sudo sysctl kernel.kptr_restrict=1 (with CAP_SYSLOG) or 0"},
		{"kernel/perf_event_max_sample_rate", func(n int) bool { return n < 999 }, "the kernel has lowered the highest sampling frequency, as it does when samples took too long", "sudo sysctl kernel.perf_event_max_sample_rate=100000"},
		{"kernel/perf_event_max_stack", func(n int) bool { return n < 127 }, "kernel stacks are cut at this many frames", "sudo sysctl kernel.perf_event_max_stack=127"},
		{"net/core/bpf_jit_enable", func(n int) bool { return n == 0 }, "BPF programs are interpreted, which takes several times as long", "sudo sysctl net.core.bpf_jit_enable=1"},
	} {
		n, err := sysctl(c.name)
		if err == nil && c.bad(n) {
			list = append(list, Finding{What: fmt.Sprintf("%s = %d", strings.ReplaceAll(c.name, "/", "."), n), Why: c.why, Fix: c.fix})
		}
	}
	if inode, err := pidNamespace(); err == nil && inode != 0 {
		list = append(list, Finding{
			What: "not in the host's PID namespace", Why: "processes outside it are sampled, but their user stacks stay without names",
			Fix: "run on the host, or start the container with --pid=host",
		})
	}
	return list
}

func sysctl(name string) (int, error) {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// lockdown returns the kernel's lockdown mode, the bracketed word of
// "none [integrity] confidentiality"; "" when there is none.
func lockdown() string {
	text, err := os.ReadFile("/sys/kernel/security/lockdown")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(text), "[")
	mode, _, _ := strings.Cut(rest, "]")
	return mode
}

func effectiveCapabilities() (uint64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("read capabilities: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			return strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		}
	}
	return 0, errors.New("read capabilities: /proc/self/status has none")
}
