package agent

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf"
)

// ErrNoTarget says that nothing on this host fits a Target.
var ErrNoTarget = errors.New("no such target")

// filter turns a target into what the kernel side compares samples with.
func (t Target) filter() (bpf.Filter, error) {
	f := bpf.Filter{PIDs: t.PIDs, Follow: !t.NoInherit, Name: t.Name}
	for _, pid := range t.PIDs {
		if err := checkPID(pid); err != nil {
			return f, err
		}
	}
	if t.Name != "" {
		if err := checkName(t.Name); err != nil {
			return f, err
		}
	}
	if t.User != "" {
		id, err := userID(t.User)
		if err != nil {
			return f, err
		}
		f.User = &id
	}
	if t.Cgroup != "" {
		path, err := cgroupPath(t.Cgroup)
		if err != nil {
			return f, err
		}
		f.Cgroup = path
	}
	return f, nil
}

func checkPID(pid int) error {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if pid <= 0 || errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: no process %d in this PID namespace", ErrNoTarget, pid)
	}
	if err != nil {
		return fmt.Errorf("look at process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		tgid, ok := strings.CutPrefix(line, "Tgid:")
		if ok && strings.TrimSpace(tgid) != strconv.Itoa(pid) {
			return fmt.Errorf("%w: %d is a thread; its process is %s", ErrNoTarget, pid, strings.TrimSpace(tgid))
		}
	}
	return nil
}

// maxName is the longest command name the kernel keeps.
const maxName = 15

func checkName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("%w: the kernel keeps only %d bytes of a command name; use %q", ErrNoTarget, maxName, name[:maxName])
	}
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	for _, path := range names {
		comm, err := os.ReadFile(path)
		if err == nil && strings.TrimSuffix(string(comm), "\n") == name {
			return nil
		}
	}
	return fmt.Errorf("%w: no process is named %q", ErrNoTarget, name)
}

func userID(name string) (uint32, error) {
	if id, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(id), nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNoTarget, err)
	}
	id, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("look up user %s: %w", name, err)
	}
	return uint32(id), nil
}

// cgroupPath finds a cgroup below the place where cgroup v2 is mounted.
func cgroupPath(name string) (string, error) {
	var tried []string
	for _, root := range []string{"", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		path := filepath.Join(root, name)
		if !filepath.IsAbs(path) {
			continue
		}
		var fs unix.Statfs_t
		if err := unix.Statfs(path, &fs); err != nil {
			tried = append(tried, path)
			continue
		}
		if fs.Type != unix.CGROUP2_SUPER_MAGIC {
			tried = append(tried, path+" (not cgroup v2)")
			continue
		}
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			tried = append(tried, path+" (not a directory)")
			continue
		}
		return path, nil
	}
	return "", fmt.Errorf("%w: no cgroup %s: tried %s", ErrNoTarget, name, strings.Join(tried, ", "))
}
