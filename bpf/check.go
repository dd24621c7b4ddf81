package bpf

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/source/cpu"
)

// Report says whether, and how well, this host can be profiled.
type Report struct {
	// Host is what the kernel says of itself.
	Host []Fact
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
	// Hopeless says that it is of no use, or not safe, to try all the same.
	Hopeless bool
}

// Check loads and attaches every program, as a Sampler would, takes them away
// again, and looks at what else a profile needs.
func Check(cfg Config) (*Report, error) {
	r := &Report{Host: describeHost(), Findings: examineHost()}
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
	if slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Hopeless }) {
		return r, nil
	}
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
	err = s.openEvents()
	if caps, e := effectiveCapabilities(); e == nil && errors.Is(err, ErrPermission) && toOpen.in(caps) {
		if n := tooParanoid(caps); n > 0 {
			r.Findings = append(r.Findings, Finding{
				What: fmt.Sprintf("kernel.perf_event_paranoid = %d", n), Why: "this kernel then opens perf events only for CAP_SYS_ADMIN, not for CAP_PERFMON", Fatal: true,
				Fix: "sudo sysctl kernel.perf_event_paranoid=2, which keeps others out just as well",
			})
		}
	}
	if err == nil && s.eventKind == kindClock {
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
