package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/agent"
)

// targetFlags choose what is sampled.
type targetFlags struct {
	pids      []string
	name      string
	user      string
	cgroup    string
	all       bool
	noInherit bool
}

func (f *targetFlags) add(flags *pflag.FlagSet) {
	flags.StringSliceVarP(&f.pids, "pid", "p", nil, "sample the processes with these `PIDs`, comma-separated, and their children")
	flags.StringVarP(&f.name, "name", "n", "", "sample processes with this command `NAME`")
	flags.StringVarP(&f.user, "user", "u", "", "sample processes of this `USER` (name or number)")
	flags.StringVarP(&f.cgroup, "cgroup", "G", "", "sample processes in this cgroup v2 `PATH`")
	flags.BoolVarP(&f.all, "all", "a", false, "sample the whole host")
	flags.BoolVar(&f.noInherit, "no-inherit", false, "with -p or a command, leave out children started later")
}

// given says that some flag chooses a target.
func (f *targetFlags) given() bool {
	return f.all || len(f.pids) > 0 || f.name != "" || f.user != "" || f.cgroup != ""
}

// target checks the flags as far as it can be done without looking at the host.
func (f *targetFlags) target() (agent.Target, error) {
	target := agent.Target{Name: f.name, User: f.user, Cgroup: f.cgroup, NoInherit: f.noInherit}
	for _, text := range f.pids {
		pid, err := strconv.Atoi(text)
		if err != nil || pid <= 0 || pid > 1<<30 {
			return agent.Target{}, usageError("-p %s: not a process ID", text)
		}
		if !slices.Contains(target.PIDs, pid) {
			target.PIDs = append(target.PIDs, pid)
		}
	}
	if f.all && (len(f.pids) > 0 || f.name != "" || f.user != "" || f.cgroup != "") {
		return agent.Target{}, usageError("-a is the whole host: leave out -p, -n, -u and -G, or -a")
	}
	// The kernel cuts command names at 15 bytes; a longer one matches nothing.
	if len(f.name) > 15 {
		return agent.Target{}, usageError("-n %s: the kernel keeps only 15 bytes of a command name: use -n %s", f.name, f.name[:15])
	}
	return target, nil
}

// describe says in words what is sampled.
func describe(t agent.Target) string {
	var parts []string
	switch len(t.PIDs) {
	case 0:
	case 1:
		parts = append(parts, "process "+strconv.Itoa(t.PIDs[0]))
	default:
		parts = append(parts, fmt.Sprintf("%d processes", len(t.PIDs)))
	}
	if t.Name != "" {
		parts = append(parts, fmt.Sprintf("processes named %q", t.Name))
	}
	if t.User != "" {
		parts = append(parts, "processes of user "+t.User)
	}
	if t.Cgroup != "" {
		parts = append(parts, "processes in cgroup "+t.Cgroup)
	}
	if len(parts) == 0 {
		return "the whole host"
	}
	return strings.Join(parts, " that are also ")
}

// processEnds watches processes. A pidfd stays with its process, so that a PID
// which is used again is not taken for the first.
type processEnds struct{ fds []unix.PollFd }

// watchEnds opens the processes; a process that does not exist is an error
// with agent.ErrNoTarget.
func watchEnds(pids []int) (*processEnds, error) {
	w := new(processEnds)
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			w.close()
			switch {
			case errors.Is(err, unix.ESRCH):
				return nil, fmt.Errorf("%w: no process %d in this PID namespace", agent.ErrNoTarget, pid)
			case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
				return nil, fmt.Errorf("%w: %d is a thread, not a process", agent.ErrNoTarget, pid)
			}
			return nil, fmt.Errorf("watch process %d: %w", pid, err)
		}
		w.fds = append(w.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return w, nil
}

// allEnded says that there were processes and all have ended. It does not wait.
func (w *processEnds) allEnded() bool {
	if len(w.fds) == 0 {
		return false
	}
	if _, err := unix.Poll(w.fds, 0); err != nil {
		return false // EINTR: the next look will tell
	}
	for _, fd := range w.fds {
		if fd.Revents == 0 {
			return false
		}
	}
	return true
}

func (w *processEnds) close() {
	for _, fd := range w.fds {
		unix.Close(int(fd.Fd))
	}
	w.fds = nil
}
