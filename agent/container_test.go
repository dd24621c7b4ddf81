package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// program builds a program that burns all its time in one function.
func program(t *testing.T, path, function string) string {
	t.Helper()
	return compileC(t, path, fmt.Sprintf("BURN(%s)\nint main(void) { %[1]s(60); return 0; }", function))
}

// onlyIn fails unless a process's samples are in the function and nowhere
// near the others.
func onlyIn(t *testing.T, p *Profile, pid int, function string, others ...string) {
	t.Helper()
	of := ofPIDs(p, pid)
	if n := byPID(of)[pid]; n < 50 {
		t.Errorf("%s: only %d samples of process %d", function, n, pid)
		return
	}
	if got := share(of, has(function)); got < 0.85 {
		t.Errorf("%s has a share of %.3f", function, got)
	}
	for _, other := range others {
		if n := weight(of, other); n > 0 {
			t.Errorf("%s: %d samples have a frame of %s", function, n, other)
		}
	}
}

// Files that are no longer what their path says are named all the same, and
// never by what is at their path now.
func TestFilesGone(t *testing.T) {
	dir := publicDir(t)
	deleted := run(t, program(t, filepath.Join(dir, "deleted"), "in_deleted"))
	path := program(t, filepath.Join(dir, "replaced"), "in_replaced")
	replaced := run(t, path)
	another := program(t, filepath.Join(dir, "another"), "in_another")
	if err := errors.Join(os.Remove(filepath.Join(dir, "deleted")), os.Rename(another, path)); err != nil {
		t.Fatal(err)
	}

	var later target
	prof := record(t, Config{Frequency: 999}, func() {
		later = run(t, path)
		time.Sleep(700 * time.Millisecond)
		// Now that it is known.
		if err := os.Rename(program(t, filepath.Join(dir, "last"), "in_last"), path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(700 * time.Millisecond)
	})
	onlyIn(t, prof, deleted.pid(), "in_deleted", "in_replaced", "in_another", "in_last")
	onlyIn(t, prof, replaced.pid(), "in_replaced", "in_deleted", "in_another", "in_last")
	onlyIn(t, prof, later.pid(), "in_another", "in_deleted", "in_replaced", "in_last")
	for _, m := range prof.Profile.Mapping {
		if strings.HasSuffix(m.File, "(deleted)") {
			t.Errorf("mapping %s", m.File)
		}
	}
}

// A library is loaded during the run, unloaded, and another one takes its
// place in memory; its file is gone before anyone has looked at it.
func TestLibraryComesAndGoes(t *testing.T) {
	dir := publicDir(t)
	for _, name := range []string{"one", "two"} {
		compileC(t, filepath.Join(dir, "lib"+name+".so"), fmt.Sprintf("BURN(in_%s)", name), "-shared", "-fPIC")
	}
	host := compileC(t, filepath.Join(dir, "host"), `
static void *use(const char *path, const char *function)
{
	void *library = dlopen(path, RTLD_NOW);
	if (!library || unlink(path))
		exit(1);
	void (*f)(double) = (void (*)(double))dlsym(library, function);
	f(0.4);
	dlclose(library);
	return (void *)f;
}
int main(int argc, char **argv)
{
	(void)argc;
	wait_line();
	return use(argv[1], "in_one") == use(argv[2], "in_two") ? 0 : 2;
}`)
	p := run(t, host, filepath.Join(dir, "libone.so"), filepath.Join(dir, "libtwo.so"))
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{p.pid()}}}, func() {
		p.goOn(t)
		if err := p.Wait(); err != nil {
			t.Fatalf("%v: 1 means that a library was not loaded, 2 that they were not in the same place", err)
		}
	})
	one, two := weight(prof, "in_one"), weight(prof, "in_two")
	t.Logf("%d in the first, %d in the second, %d in all", one, two, byPID(prof)[p.pid()])
	if one < 50 || two < 50 || float64(one+two) < 0.85*float64(byPID(prof)[p.pid()]) {
		t.Errorf("of %d samples %d are in the first library and %d in the second", byPID(prof)[p.pid()], one, two)
	}
	// The profile has time only by way of the labels; each half is half.
	if ratio := float64(one) / float64(one+two); ratio < 0.25 || ratio > 0.75 {
		t.Errorf("the first library has a share of %.3f", ratio)
	}
}

// Two mount namespaces have different files at the same path.
func TestMountNamespace(t *testing.T) {
	dir := publicDir(t)
	path := program(t, filepath.Join(dir, "program"), "in_ours")
	theirs := program(t, filepath.Join(dir, "theirs"), "in_theirs")
	a := run(t, path)
	b := run(t, "unshare", "--mount", "/bin/sh", "-c", `mount --bind "$0" "$1" && exec "$1"`, theirs, path)
	waitName(t, b.pid(), "program")
	var c target
	prof := record(t, Config{Frequency: 999}, func() {
		c = run(t, "unshare", "--mount", "/bin/sh", "-c", `mount --bind "$0" "$1" && exec "$1"`, theirs, path)
		time.Sleep(time.Second)
	})
	onlyIn(t, prof, a.pid(), "in_ours", "in_theirs")
	onlyIn(t, prof, b.pid(), "in_theirs", "in_ours")
	onlyIn(t, prof, c.pid(), "in_theirs", "in_ours")
}

// docker is a daemon of our own.
type docker struct {
	socket string
	cgroup string // its containers' parent, below the mounts of cgroups
}

func startDocker(t *testing.T) docker {
	t.Helper()
	dir := publicDir(t)
	d := docker{"unix://" + filepath.Join(dir, "docker.sock"), filepath.Base(dir)}
	var out bytes.Buffer
	cmd := exec.Command("dockerd", "--data-root", filepath.Join(dir, "data"), "--exec-root", filepath.Join(dir, "exec"),
		"-H", d.socket, "--pidfile", filepath.Join(dir, "pid"), "--cgroup-parent", "/"+d.cgroup,
		"--iptables=false", "--ip6tables=false", "--ip-forward=false", "--bridge=none")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("start dockerd (Debian package docker.io): %v", err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // it ends containerd, too
		ended := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		if !ended.Stop() {
			t.Errorf("dockerd did not end: %s", &out)
		}
		unmountBelow(t, dir)
		d.removeCgroups(t)
	})
	for range 200 {
		if _, err := d.run("info"); err == nil {
			return d
		}
		time.Sleep(100 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	t.Fatalf("dockerd does not answer: %s", &out)
	return d
}

// removeCgroups takes away what is left of the containers, in version 1 of
// cgroups in each of its hierarchies.
func (d docker) removeCgroups(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/*"} {
		found, err := filepath.Glob(filepath.Join(pattern, d.cgroup))
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range found {
			// cpu may be a link to cpu,cpuacct, and is gone with it.
			if err := unix.Rmdir(dir); err != nil && err != unix.ENOENT {
				t.Errorf("remove cgroup %s: %v", dir, err)
			}
		}
	}
}

func (d docker) run(args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.Command("docker", append([]string{"-H", d.socket}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("docker %s: %w: %s", args[0], err, &stderr)
	}
	return strings.TrimSpace(string(out)), nil
}

func (d docker) must(t *testing.T, args ...string) string {
	t.Helper()
	out, err := d.run(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// unmountBelow takes away what a daemon has left mounted.
func unmountBelow(t *testing.T, dir string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	var mounts []string
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], dir+"/") {
			mounts = append(mounts, f[1])
		}
	}
	slices.Reverse(mounts) // those inside others first
	for _, m := range mounts {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("unmount %s: %v", m, err)
		}
	}
}

// A program in a container, whose file only the container's own file system
// has, is named and carries the container's ID, from Docker's own mouth.
func TestDocker(t *testing.T) {
	d := startDocker(t)
	root := t.TempDir()
	copyFile(t, workloads.Build(t, "c/split.c", "-static"), filepath.Join(root, "split"))
	tar := filepath.Join(t.TempDir(), "image.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", tar, "split").CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	d.must(t, "import", tar, "split")
	begin := func() string {
		id := d.must(t, "run", "--detach", "--rm", "--network", "none", "split", "/split", "60")
		t.Cleanup(func() { d.run("kill", id) })
		return id
	}

	before := begin()
	var later string
	prof := record(t, Config{Frequency: 999}, func() {
		later = begin()
		time.Sleep(time.Second)
	})
	for _, id := range []string{before, later} {
		if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id) {
			t.Fatalf("container %q", id)
		}
		var pid int
		if _, err := fmt.Sscan(d.must(t, "inspect", "--format", "{{.State.Pid}}", id), &pid); err != nil {
			t.Fatal(err)
		}
		onlyIn(t, prof, pid, "main")
		var without int64
		for _, s := range ofPIDs(prof, pid).Profile.Sample {
			// The process is born in the runtime's hands.
			if c := s.Label["comm"]; len(c) == 1 && c[0] == "split" && !slices.Equal(s.Label["container"], []string{id}) {
				without += s.Value[0]
			}
		}
		if without > 0 {
			t.Errorf("%d samples of %s have another container or none", without, id)
		}
	}

	// By the container's cgroup.
	cgroup := filepath.Join(cgroupMount(t), d.cgroup, later)
	prof = record(t, Config{Frequency: 999, Target: Target{Cgroup: cgroup}}, func() { time.Sleep(500 * time.Millisecond) })
	n := byPID(prof)
	delete(n, 0)
	if len(n) != 1 {
		t.Errorf("processes in the container's cgroup: %v", n)
	}
	for _, id := range []string{before, later} {
		d.must(t, "kill", id)
	}
}
