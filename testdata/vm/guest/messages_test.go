package guest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// setTo makes a file of /proc or /sys hold something else until the test is
// over.
func setTo(t *testing.T, path, text string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(path, old, 0); err != nil {
			t.Error(err)
		}
	})
}

// cover mounts something over a path until the test is over.
func cover(t *testing.T, source, path, kind string, flags uintptr) {
	t.Helper()
	if err := unix.Mount(source, path, kind, flags, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// expect runs a command and looks for words in what it says.
func expect(t *testing.T, code int, words []string, args ...string) {
	t.Helper()
	got, stdout, stderr, err := staccato(args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("staccato %s: %d\n%s%s", args[0], got, stdout, stderr)
	if got != code {
		t.Errorf("staccato %s: exit code %d, want %d", args[0], got, code)
	}
	for _, w := range words {
		if !strings.Contains(stdout+stderr, w) {
			t.Errorf("staccato %s does not say %q", args[0], w)
		}
	}
}

func recordArgs(t *testing.T) []string {
	return []string{"record", "-o", filepath.Join(t.TempDir(), "x.pb.gz"), "--", workloads.Build(t, "c/split.c"), "1"}
}

// Kernels that hold something back, and what is said of them.

func TestHiddenAddresses(t *testing.T) {
	setTo(t, "/proc/sys/kernel/kptr_restrict", "2")
	expect(t, 0, []string{"kernel.kptr_restrict = 2", "kernel frames stay without names", "can be profiled"}, "doctor")
	// Most of what dd does is in the kernel.
	expect(t, 0, []string{"kernel addresses are hidden", "kptr_restrict"},
		"record", "-o", "/tmp/hidden.pb.gz", "--", "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=16777216", "count=200")
}

func TestInterpreted(t *testing.T) {
	off := filepath.Join(t.TempDir(), "off")
	if err := os.WriteFile(off, []byte("0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// Kernels that always compile do not let it be switched off.
	cover(t, off, "/proc/sys/net/core/bpf_jit_enable", "", unix.MS_BIND)
	expect(t, 0, []string{"BPF compiler (JIT)", "net.core.bpf_jit_enable = 0", "interpreted"}, "doctor")
}

func TestNoTypes(t *testing.T) {
	cover(t, "none", "/sys/kernel/btf", "tmpfs", 0)
	expect(t, 1, []string{"no kernel type information", "CONFIG_DEBUG_INFO_BTF"}, "doctor")
	expect(t, 125, []string{"no kernel type information (BTF)", "CONFIG_DEBUG_INFO_BTF"}, recordArgs(t)...)
}

func TestCgroupVersions(t *testing.T) {
	expect(t, 0, []string{"version 2 at /sys/fs/cgroup"}, "doctor")
	if err := unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Mount("none", "/sys/fs/cgroup", "cgroup2", 0, ""); err != nil {
			t.Error(err)
		}
	})
	expect(t, 0, []string{"none mounted", "no cgroups of version 2"}, "doctor")
	expect(t, 4, []string{"no such target", "no cgroup /x"}, "record", "-G", "/x", "-d", "1s", "-o", "/tmp/x.pb.gz")
}

// The last test of a machine: there is no way back.
func TestLockdown(t *testing.T) {
	const path = "/sys/kernel/security/lockdown"
	lock := func(mode string) {
		if err := os.WriteFile(path, []byte(mode), 0); err != nil {
			t.Fatal(err)
		}
	}
	lock("integrity")
	expect(t, 0, []string{"lockdown", "integrity", "can be profiled"}, "doctor")
	expect(t, 0, []string{"sixty"}, recordArgs(t)...)
	lock("confidentiality")
	expect(t, 1, []string{"lockdown is in mode confidentiality", "boot without lockdown=confidentiality"}, "doctor")
	expect(t, 125, []string{"lockdown is in mode confidentiality"}, recordArgs(t)...)
	// Without a look at the mode, it is the verifier's answer that says so.
	cover(t, "none", "/sys/kernel/security", "tmpfs", 0)
	expect(t, 125, []string{"lockdown is in mode confidentiality"}, recordArgs(t)...)
}
