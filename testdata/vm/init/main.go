// Command init is the first process of a virtual machine: it mounts what a
// system has, runs what is planned, and switches the machine off.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/vm/plan"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("init:", err)
	}
	unix.Sync()
	time.Sleep(100 * time.Millisecond) // for the serial line
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("init: switch off:", err)
	}
}

var mounts = []struct{ kind, path string }{
	{"proc", "/proc"},
	{"sysfs", "/sys"},
	{"devtmpfs", "/dev"},
	{"tracefs", "/sys/kernel/tracing"},
	{"securityfs", "/sys/kernel/security"},
	{"bpf", "/sys/fs/bpf"},
	{"cgroup2", "/sys/fs/cgroup"},
	{"tmpfs", "/tmp"},
}

func run() error {
	for _, m := range mounts {
		// Some are mounted by the kernel, or not built in.
		if err := unix.Mount(m.kind, m.path, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			fmt.Printf("init: mount %s: %v\n", m.path, err)
		}
	}
	if err := os.Setenv("PATH", "/bin"); err != nil {
		return err
	}
	if out, err := exec.Command("/bin/busybox", "--install", "-s", "/bin").CombinedOutput(); err != nil {
		return fmt.Errorf("install busybox: %w: %s", err, out)
	}
	text, err := os.ReadFile(plan.File)
	if err != nil {
		return err
	}
	var runs []plan.Run
	if err := json.Unmarshal(text, &runs); err != nil {
		return fmt.Errorf("read plan: %w", err)
	}
	for i, r := range runs {
		fmt.Printf("\n%s %d\n", plan.Begin, i)
		cmd := exec.Command(r.Args[0], r.Args[1:]...)
		cmd.Env = append(os.Environ(), r.Env...)
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
		cmd.Dir = "/tmp"
		if err := cmd.Run(); err != nil {
			fmt.Println("init:", err)
		}
		fmt.Printf("\n%s %d %d\n", plan.End, i, cmd.ProcessState.ExitCode())
	}
	return nil
}
