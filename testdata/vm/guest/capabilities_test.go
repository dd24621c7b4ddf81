package guest

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// The capabilities that docs/CLI.md lists.
var documented = map[string]uintptr{
	"CAP_BPF":                unix.CAP_BPF,
	"CAP_PERFMON":            unix.CAP_PERFMON,
	"CAP_SYS_PTRACE":         unix.CAP_SYS_PTRACE,
	"CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	"CAP_DAC_READ_SEARCH":    unix.CAP_DAC_READ_SEARCH,
	"CAP_SYSLOG":             unix.CAP_SYSLOG,
}

const paranoid = "/proc/sys/kernel/perf_event_paranoid"

// asNobody runs staccato as a user without any rights but these capabilities.
// heard is called with each line that it prints.
func asNobody(t *testing.T, capabilities []uintptr, heard func(line string), args ...string) (code int, output string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/staccato", args...)
	cmd.Dir = "/tmp"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential:  &syscall.Credential{Uid: 65534, Gid: 65534},
		AmbientCaps: capabilities,
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	cmd.Stdout, cmd.Stderr = write, write
	err = cmd.Start()
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(read); lines.Scan(); {
		output += lines.Text() + "\n"
		heard(lines.Text())
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), output
}

func ignore(string) {}

// allBut returns the documented capabilities but one.
func allBut(missing string) (list []uintptr) {
	for name, n := range documented {
		if name != missing {
			list = append(list, n)
		}
	}
	return list
}

// publicDir makes a folder that all users may read; t.TempDir's are ours alone.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "public-")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start runs a program of root's in the background.
func start(t *testing.T, path string, args ...string) (pid int) {
	t.Helper()
	cmd := exec.Command(path, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd.Process.Pid
}

// signal sends a signal to programs, to let them rest while others work: these
// machines are slow.
func signal(t *testing.T, pids map[string]int, s syscall.Signal) {
	t.Helper()
	for _, pid := range pids {
		if err := syscall.Kill(pid, s); err != nil {
			t.Fatal(err)
		}
	}
}

func copyFile(t *testing.T, from, to string, mode os.FileMode) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, mode)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A user who is not root needs the documented capabilities, all of them, and no
// others: each is needed for something, and where it is missing, that is said.
func TestCapabilities(t *testing.T) {
	setTo(t, paranoid, "2")
	split := workloads.Build(t, "c/split.c")
	dir := publicDir(t)
	secret, deleted := filepath.Join(dir, "secret"), filepath.Join(dir, "deleted")
	copyFile(t, split, secret, 0o700)
	copyFile(t, split, deleted, 0o755)
	pids := map[string]int{
		"program":        start(t, split, "600"),
		"secret program": start(t, secret, "600"),
		"deleted":        start(t, deleted, "600"),
		"kernel":         start(t, "/bin/dd", "if=/dev/zero", "of=/dev/null", "bs=16777216"),
	}
	if err := os.Remove(deleted); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // to begin
	signal(t, pids, syscall.SIGSTOP)
	inKernel := func(name string) bool { return strings.HasPrefix(name, "ksys_") || strings.HasPrefix(name, "vfs_") }
	inProgram := func(name string) bool { return name == "main" }

	for _, test := range []struct {
		missing string
		unnamed []string // what then has no names
	}{
		{"", nil},
		{"CAP_SYS_PTRACE", []string{"program", "secret program", "deleted"}},
		{"CAP_CHECKPOINT_RESTORE", []string{"deleted"}},
		{"CAP_DAC_READ_SEARCH", []string{"secret program", "deleted"}},
		{"CAP_SYSLOG", []string{"kernel"}},
	} {
		t.Run("no "+test.missing, func(t *testing.T) {
			file := filepath.Join("/tmp", "nobody-"+test.missing+".pb.gz")
			defer os.Remove(file)
			run := func(line string) {
				if strings.HasPrefix(line, "Recording ") {
					signal(t, pids, syscall.SIGCONT)
					time.Sleep(2 * time.Second)
					signal(t, pids, syscall.SIGSTOP)
				}
			}
			code, output := asNobody(t, allBut(test.missing), run, "record", "-a", "-d", "3s", "-F", "199", "-o", file)
			t.Logf("%d\n%s", code, output)
			if code != 0 {
				t.Fatalf("exit code %d", code)
			}
			if test.missing != "" && !strings.Contains(output, "Note: no "+test.missing+": ") || test.missing == "" && strings.Contains(output, "Note:") {
				t.Errorf("the note of what is missing: want one about %q", test.missing)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			p, err := profile.Parse(f)
			if err != nil {
				t.Fatal(err)
			}
			for what, pid := range pids {
				named := inProgram
				if what == "kernel" {
					named = inKernel
				}
				var all, good int64
				for _, s := range p.Sample {
					if slices.Equal(s.NumLabel["pid"], []int64{int64(pid)}) {
						all += s.Value[0]
						if slices.ContainsFunc(functions(s), named) {
							good += s.Value[0]
						}
					}
				}
				t.Logf("%s: %d of %d samples are named", what, good, all)
				if want := !slices.Contains(test.unnamed, what); all < 5 || want != (good > all/4) || !want && good != 0 {
					t.Errorf("%s: %d of %d samples are named, want names: %v", what, good, all, want)
				}
			}
		})
	}
	for _, missing := range []string{"CAP_BPF", "CAP_PERFMON"} {
		t.Run("no "+missing, func(t *testing.T) {
			for _, target := range [][]string{{"-a", "-d", "1s"}, {"-p", strconv.Itoa(pids["program"])}} {
				code, output := asNobody(t, allBut(missing), ignore, append([]string{"record", "-o", "/tmp/nobody.pb.gz"}, target...)...)
				t.Logf("%d\n%s", code, output)
				if code != 3 || !strings.Contains(output, "no permission") || !strings.Contains(output, "not root and no "+missing+"\n") {
					t.Errorf("exit code %d, want 3 and a message about %s alone", code, missing)
				}
			}
		})
	}
}

// The same with capabilities of the file, as setcap gives them.
func TestFileCapabilities(t *testing.T) {
	setTo(t, paranoid, "2")
	dir := publicDir(t)
	program := filepath.Join(dir, "staccato")
	copyFile(t, "/bin/staccato", program, 0o755)
	var set uint64
	for _, n := range documented {
		set |= 1 << n
	}
	// struct vfs_cap_data: version 2 and "effective", then permitted and
	// inheritable, the lower 32 first.
	const version2, effective = 0x02000000, 1
	attribute, err := binary.Append(nil, binary.LittleEndian, [5]uint32{version2 | effective, uint32(set), 0, uint32(set >> 32), 0})
	if err == nil {
		err = unix.Setxattr(program, "security.capability", attribute, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args  []string
		words string
	}{
		{[]string{"doctor"}, "This host can be profiled."},
		{[]string{"record", "-o", "/tmp/file-capabilities.pb.gz", "--", workloads.Build(t, "c/split.c"), "1"}, "sixty"},
	} {
		cmd := exec.Command(program, test.args...)
		cmd.Dir = "/tmp"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.CombinedOutput()
		t.Logf("%v\n%s", err, out)
		if err != nil || !strings.Contains(string(out), test.words) || strings.Contains(string(out), "no CAP_") {
			t.Errorf("%s: %v, want %q", test.args[0], err, test.words)
		}
	}
}

// What doctor says to such a user.
func TestDoctorCapabilities(t *testing.T) {
	setTo(t, paranoid, "2")
	for _, missing := range []string{"", "CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE", "CAP_CHECKPOINT_RESTORE", "CAP_DAC_READ_SEARCH", "CAP_SYSLOG"} {
		code, output := asNobody(t, allBut(missing), ignore, "doctor")
		t.Logf("without %q: %d\n%s", missing, code, output)
		want := 0
		if missing == "CAP_BPF" || missing == "CAP_PERFMON" {
			want = 1
		}
		if code != want {
			t.Errorf("without %q: exit code %d, want %d", missing, code, want)
		}
		for name := range documented {
			if says := strings.Contains(output, ": no "+name+"\n"); says != (name == missing) {
				t.Errorf("without %q: doctor says there is no %s: %v", missing, name, says)
			}
		}
	}
}

// Debian's kernels have values of this setting that keep CAP_PERFMON out.
func TestParanoid(t *testing.T) {
	setTo(t, paranoid, "3")
	expect(t, 0, []string{"kernel.perf_event_paranoid", "can be profiled"}, "doctor")
	expect(t, 0, []string{"sixty"}, recordArgs(t)...)
	record := []string{"record", "-o", "/tmp/nobody.pb.gz", "--", workloads.Build(t, "c/split.c"), "1"}
	for _, test := range []struct {
		capabilities []uintptr
		args         []string
		code         int
		words        string
	}{
		{allBut(""), record, 125, "with kernel.perf_event_paranoid = 3, this kernel wants CAP_SYS_ADMIN"},
		{allBut(""), []string{"doctor"}, 1, "MISSING: kernel.perf_event_paranoid = 3\n"},
		{append(allBut(""), unix.CAP_SYS_ADMIN), record, 0, "Saved /tmp/nobody.pb.gz"},
		{append(allBut(""), unix.CAP_SYS_ADMIN), []string{"doctor"}, 0, "This host can be profiled."},
	} {
		code, output := asNobody(t, test.capabilities, ignore, test.args...)
		t.Logf("%d\n%s", code, output)
		if code != test.code || !strings.Contains(output, test.words) {
			t.Errorf("%s: exit code %d, want %d and %q", test.args[0], code, test.code, test.words)
		}
	}
}
