package bpf

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

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

var (
	toLoad = capability{[]int{unix.CAP_BPF, unix.CAP_SYS_ADMIN}, "CAP_BPF", "the kernel loads no BPF programs", true}
	toOpen = capability{[]int{unix.CAP_PERFMON, unix.CAP_SYS_ADMIN}, "CAP_PERFMON", "the kernel opens no perf event for a whole CPU", true}
)

var capabilities = []capability{
	toLoad,
	toOpen,
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

// Permission makes an error of the kernel's "not permitted" that says what is
// missing; other errors stay as they are.
func Permission(step string, err error) error {
	if !denied(err) {
		return fmt.Errorf("%s: %w", step, err)
	}
	var missing []string
	caps, e := effectiveCapabilities()
	for _, c := range capabilities {
		if e == nil && c.fatal && !c.in(caps) {
			missing = append(missing, c.names)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: %s: not root and no %s", ErrPermission, step, strings.Join(missing, " + "))
	}
	if n := tooParanoid(caps); n > 0 && errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %s: with kernel.perf_event_paranoid = %d, this kernel wants CAP_SYS_ADMIN for that: sudo sysctl kernel.perf_event_paranoid=2", ErrPermission, step, n)
	}
	return fmt.Errorf("%w: %s: the kernel refuses it although we have the capabilities (a container's seccomp profile, or lockdown?): %w",
		ErrPermission, step, rootCause(err))
}

func denied(err error) bool { return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) }

// tooParanoid returns the value of kernel.perf_event_paranoid when it may keep us
// from perf events in spite of CAP_PERFMON, as those above 2 do on Debian's
// kernels and their relatives; 0 otherwise.
func tooParanoid(caps uint64) int {
	const admin = 1 << unix.CAP_SYS_ADMIN
	n, err := sysctl("kernel/perf_event_paranoid")
	if err != nil || n <= 2 || caps&admin != 0 {
		return 0
	}
	return n
}

// Limits are the capabilities that profiles are better with and that we lack.
// Each is a line that says what is worse.
func Limits() ([]string, error) {
	caps, err := effectiveCapabilities()
	if err != nil {
		return nil, err
	}
	var list []string
	for _, c := range capabilities {
		if !c.fatal && !c.in(caps) {
			list = append(list, "no "+c.names+": "+c.why)
		}
	}
	return list, nil
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
