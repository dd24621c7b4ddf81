package bpf

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Fact is something about this host that helps to understand a report.
type Fact struct{ Name, Value string }

// describeHost lists what the kernel says of itself.
func describeHost() []Fact {
	list := []Fact{{"kernel", fmt.Sprintf("Linux %s, %s", kernelRelease(), runtime.GOARCH)}}
	if online, err := onlineCPUs(); err == nil {
		if possible, err := ebpf.PossibleCPU(); err == nil {
			list = append(list, Fact{"CPUs", fmt.Sprintf("%d online, %d possible", len(online), possible)})
		}
	}
	jit := map[int]string{0: "off", 1: "on", 2: "on, with traces in the kernel's log"}
	if n, err := sysctl("net/core/bpf_jit_enable"); err == nil {
		list = append(list, Fact{"BPF compiler (JIT)", jit[n]})
	}
	types := "none"
	if info, err := os.Stat("/sys/kernel/btf/vmlinux"); err == nil {
		types = fmt.Sprintf("%d bytes", info.Size())
	}
	list = append(list, Fact{"type information (BTF)", types}, Fact{"cgroups", describeCgroups(cgroupMounts())})
	if mode := lockdown(); mode != "" {
		list = append(list, Fact{"lockdown", mode})
	}
	for _, name := range []string{"kernel/kptr_restrict", "kernel/perf_event_paranoid", "kernel/perf_event_max_sample_rate"} {
		if n, err := sysctl(name); err == nil {
			list = append(list, Fact{strings.ReplaceAll(name, "/", "."), fmt.Sprint(n)})
		}
	}
	return list
}

// cgroupMounts returns where cgroups are mounted, by their version.
func cgroupMounts() (v2, v1 []string) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, nil
	}
	for line := range strings.Lines(string(mounts)) {
		switch f := strings.Fields(line); {
		case len(f) < 3:
		case f[2] == "cgroup2":
			v2 = append(v2, f[1])
		case f[2] == "cgroup":
			v1 = append(v1, f[1])
		}
	}
	return v2, v1
}

func describeCgroups(v2, v1 []string) string {
	switch {
	case len(v2) == 0 && len(v1) == 0:
		return "none mounted"
	case len(v2) == 0:
		return "version 1"
	case len(v1) == 0:
		return "version 2 at " + v2[0]
	}
	return "version 1, and version 2 at " + v2[0]
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
	if lockdown() == confidentiality {
		list = append(list, Finding{
			What: "kernel lockdown is in mode confidentiality", Why: "BPF programs may not read kernel memory", Fatal: true, Hopeless: true,
			Fix: "boot without lockdown=confidentiality",
		})
	}
	var unsafe *UnsafeKernelError
	if errors.As(knownToCrash(), &unsafe) {
		list = append(list, Finding{
			What: "this kernel (" + unsafe.Kernel + ") can lock up while it is sampled", Why: unsafe.What, Fatal: true, Hopeless: true,
			Fix: "boot " + unsafe.Fixed + ", or a later one (" + unsafe.Reference + ")",
		})
	}
	if v2, _ := cgroupMounts(); len(v2) == 0 {
		list = append(list, Finding{
			What: "no cgroups of version 2", Why: "a profile of one cgroup (-G) is not possible",
			Fix: "sudo mount -t cgroup2 none /mnt, for the processes that are then moved to cgroups there",
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

// confidentiality is the lockdown mode in which BPF programs may not read the
// kernel's memory.
const confidentiality = "confidentiality"

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
