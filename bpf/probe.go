package bpf

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/sideband"
	"github.com/staccato-profiler/staccato/bpf/without"
)

// Feature is something that some kernels have and others lack. It is found by
// trying, never by the kernel's version: distributions add features to old
// kernels.
type Feature struct {
	Name string
	// Since is the first version of Linux with it, "" when it is a matter of
	// how the kernel was built or of the machine.
	Since string
	Have  bool
	// Unknown features could not be tried, for want of a privilege.
	Unknown bool
	// Needed features are those without which nothing can be sampled. Without
	// says what is done, or not, where another one is missing.
	Needed  bool
	Without string
}

// UnsupportedError says that the running kernel lacks what staccato needs.
type UnsupportedError struct {
	// Kernel is the kernel's release, such as "5.10.0-46-cloud-amd64".
	Kernel string
	// Missing are the features it lacks, the youngest first.
	Missing []Feature
}

func (e *UnsupportedError) Error() string {
	var names []string
	hint := "boot a kernel built with CONFIG_DEBUG_INFO_BTF, as the distributions' standard kernels are"
	for _, f := range e.Missing {
		if f.Since == "" {
			names = append(names, f.Name)
			continue
		}
		names = append(names, fmt.Sprintf("%s (Linux %s)", f.Name, f.Since))
		hint = "staccato needs Linux 5.15 or later, or RHEL 9"
	}
	return fmt.Sprintf("this kernel (%s) has no %s: %s", e.Kernel, strings.Join(names, ", no "), hint)
}

// needed are the features without which nothing works, the youngest first.
var needed = []struct {
	name, since string
	have        func() error // wraps ebpf.ErrNotSupported where it is missing
}{
	{"BPF helper bpf_task_pt_regs", "5.15", helper(asm.FnTaskPtRegs)},
	{"BPF compare-and-swap", "5.12", sync.OnceValue(haveCompareAndSwap)},
	{"BPF helper bpf_get_current_task_btf", "5.11", helper(asm.FnGetCurrentTaskBtf)},
	{"kernel type information (BTF)", "", haveTypes},
}

func helper(fn asm.BuiltinFunc) func() error {
	return func() error { return features.HaveProgramHelper(ebpf.PerfEvent, fn) }
}

func haveTypes() error {
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); errors.Is(err, os.ErrNotExist) {
		return ebpf.ErrNotSupported
	}
	return nil
}

// haveCompareAndSwap loads a program of that one instruction.
func haveCompareAndSwap() error {
	swap := asm.CmpXchg.Mem(asm.R10, asm.R0, asm.DWord, -8)
	// The library writes the operation from here only, though it has it in the
	// opcode; without it the instruction would be a plain addition.
	swap.Constant = 0xf1 // BPF_CMPXCHG
	p, err := ebpf.NewProgramWithOptions(&ebpf.ProgramSpec{
		Type: ebpf.PerfEvent,
		Instructions: asm.Instructions{
			asm.Mov.Imm(asm.R0, 0),
			asm.StoreMem(asm.R10, -8, asm.R0, asm.DWord),
			swap,
			asm.Mov.Imm(asm.R0, 0),
			asm.Return(),
		},
		License: "Dual BSD/GPL",
	}, ebpf.ProgramOptions{LogDisabled: true})
	if errors.Is(err, unix.EINVAL) {
		return ebpf.ErrNotSupported
	}
	if err != nil {
		return err
	}
	return p.Close()
}

// unsupported returns an *UnsupportedError if the kernel lacks something
// needed. What could not be found out, for lack of a privilege, is no lack of
// the kernel's: loading the programs will say more.
func unsupported() error {
	var missing []Feature
	for _, f := range needed {
		if err := f.have(); errors.Is(err, ebpf.ErrNotSupported) {
			missing = append(missing, Feature{Name: f.name, Since: f.since, Needed: true})
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &UnsupportedError{Kernel: kernelRelease(), Missing: missing}
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// haveLoop says whether the kernel has the helper bpf_loop (5.17).
func haveLoop() bool {
	return !without.Set(without.Loop) && features.HaveProgramHelper(ebpf.PerfEvent, asm.FnLoop) == nil
}

// havePerfLinks says whether programs can be attached to perf events by links.
func havePerfLinks() bool { return !without.Set(without.PerfLink) && probePerfLinks() }

// probePerfLinks tries to attach to a file that is none: kernels that know
// these links say so, others refuse the kind of link first.
var probePerfLinks = sync.OnceValue(func() bool {
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.PerfEvent,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "Dual BSD/GPL",
	})
	if err != nil {
		return false
	}
	defer p.Close()
	l, err := link.AttachRawLink(link.RawLinkOptions{Target: 1<<31 - 1, Program: p, Attach: ebpf.AttachPerfEvent})
	if err == nil {
		l.Close()
	}
	return errors.Is(err, unix.EBADF)
})

// listFeatures tries everything that makes a difference.
func (s *Sampler) listFeatures() []Feature {
	caps, err := effectiveCapabilities()
	loads := err != nil || toLoad.in(caps) && toOpen.in(caps)
	var list []Feature
	for _, f := range needed {
		list = append(list, Feature{Name: f.name, Since: f.since, Have: f.have() == nil, Unknown: f.since != "" && !loads, Needed: true})
	}
	buildIDs := false
	r, err := sideband.Open(sideband.Config{Pages: 1, CPUs: s.cpus[:1]})
	opens := !denied(err)
	if err == nil {
		buildIDs = r.BuildIDs()
		r.Close()
	}
	_, timer := timerAddress()
	e, err := s.oneEvent()
	cycles := err == nil && e.kind == kindCycles
	if err == nil {
		e.close()
	}
	return append(list,
		Feature{Name: "BPF helper bpf_loop", Since: "5.17", Have: haveLoop(), Unknown: !loads, Without: "stacks are walked in several tail calls"},
		Feature{Name: "BPF links to perf events", Since: "5.15", Have: havePerfLinks(), Unknown: !loads, Without: "the program is attached by an ioctl of the perf event"},
		Feature{Name: "build IDs in MMAP2 records", Since: "5.12", Have: buildIDs, Unknown: !opens, Without: "executables are told apart by device and inode, and files of ended processes may stay unknown"},
		Feature{Name: "the sampling timer's address", Have: timer == nil, Without: "samples that the kernel skipped are estimated, not counted"},
		Feature{Name: "hardware counter of CPU cycles", Have: cycles, Unknown: !opens, Without: "the kernel's CPU clock is used, which cannot see into code that runs with interrupts off"},
	)
}
