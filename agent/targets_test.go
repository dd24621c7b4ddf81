package agent

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// onlyThese fails unless all samples are of these processes and they have the
// shares that the scheduler gave them.
func onlyThese(t *testing.T, p *Profile, used map[int]time.Duration) {
	t.Helper()
	n := byPID(p)
	delete(n, 0)
	var samples int64
	var time time.Duration
	for pid, k := range n {
		samples += k
		if _, ok := used[pid]; !ok {
			t.Errorf("%d samples of process %d, which nobody wants", k, pid)
		}
	}
	for _, d := range used {
		time += d
	}
	for pid, d := range used {
		want, got := d.Seconds()/time.Seconds(), float64(n[pid])/float64(samples)
		if math.Abs(got-want) > 0.07 {
			t.Errorf("process %d has %.3f of the samples and had %.3f of the time", pid, got, want)
		}
	}
	if samples < 200 {
		t.Errorf("only %d samples: %+v", samples, p.Summary)
	}
	if p.Summary.Filtered == 0 {
		t.Error("nothing was filtered out")
	}
}

// usedDuring measures the CPU time of processes while a function runs.
func usedDuring(t *testing.T, during func(), pids ...int) map[int]time.Duration {
	t.Helper()
	used := make(map[int]time.Duration)
	for _, pid := range pids {
		used[pid] = -cpuTime(t, pid)
	}
	during()
	for _, pid := range pids {
		used[pid] += cpuTime(t, pid)
	}
	return used
}

const filterTime = 1200 * time.Millisecond

func TestTargetPIDs(t *testing.T) {
	split := workloads.Build(t, "c/split.c")
	a, b, other := run(t, split, "60"), run(t, split, "60"), run(t, split, "60")
	var used map[int]time.Duration
	cfg := Config{Frequency: 999, Target: Target{PIDs: []int{a.pid(), b.pid()}}}
	prof := record(t, cfg, func() {
		used = usedDuring(t, func() { time.Sleep(filterTime) }, a.pid(), b.pid())
	})
	onlyThese(t, prof, used)
	if n := byPID(prof)[other.pid()]; n > 0 {
		t.Errorf("%d samples of the other process", n)
	}
	if got := share(ofPIDs(prof, a.pid(), b.pid()), has("main")); got < 0.95 {
		t.Errorf("main is on %.3f of the stacks", got)
	}
}

// The kernel keeps 15 bytes of a command name: one program has just as many,
// another has more, a third differs in the last byte. A process that begins
// later counts like one that was there.
func TestTargetName(t *testing.T) {
	const name = "fifteen-bytes-x"
	dir := publicDir(t)
	split := workloads.Build(t, "c/split.c")
	exact := copyFile(t, split, filepath.Join(dir, name))
	longer := copyFile(t, split, filepath.Join(dir, name+"-and-more"))
	similar := copyFile(t, split, filepath.Join(dir, "fifteen-bytes-y"))

	before := run(t, exact, "60")
	run(t, similar, "60")
	var used map[int]time.Duration
	prof := record(t, Config{Frequency: 999, Target: Target{Name: name}}, func() {
		later := run(t, longer, "60")
		used = usedDuring(t, func() { time.Sleep(filterTime) }, before.pid(), later.pid())
	})
	onlyThese(t, prof, used)
	for _, s := range prof.Profile.Sample {
		if s.NumLabel["pid"] != nil && !slices.Equal(s.Label["comm"], []string{name}) {
			t.Errorf("comm %q", s.Label["comm"])
		}
	}
	for _, missing := range []string{name + "-and-more", "no-such-name"} {
		if _, err := New(Config{Target: Target{Name: missing}}); !errors.Is(err, ErrNoTarget) {
			t.Errorf("name %s: %v", missing, err)
		}
	}
}

// Two filters at once must both match.
func TestTargetUser(t *testing.T) {
	dir := publicDir(t)
	split := copyFile(t, workloads.Build(t, "c/split.c"), filepath.Join(dir, "split"))
	other := copyFile(t, split, filepath.Join(dir, "other"))
	nobody := func(path string) target {
		cmd := exec.Command(path, "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return spawn(t, cmd)
	}
	a, b := nobody(split), nobody(other)
	run(t, split, "60") // of root
	for _, test := range []struct {
		target Target
		pids   []int
	}{
		{Target{User: "65534"}, []int{a.pid(), b.pid()}},
		{Target{User: "nobody", Name: "split"}, []int{a.pid()}},
	} {
		t.Run(fmt.Sprintf("%+v", test.target), func(t *testing.T) {
			var used map[int]time.Duration
			prof := record(t, Config{Frequency: 999, Target: test.target}, func() {
				used = usedDuring(t, func() { time.Sleep(filterTime) }, test.pids...)
			})
			onlyThese(t, prof, used)
			if got := share(ofPIDs(prof, test.pids...), has("main")); got < 0.95 {
				t.Errorf("main is on %.3f of the stacks", got)
			}
		})
	}
	if _, err := New(Config{Target: Target{User: "no-such-user"}}); !errors.Is(err, ErrNoTarget) {
		t.Errorf("unknown user: %v", err)
	}
}

// cgroupMount is where cgroup v2 is mounted.
func cgroupMount(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup"} {
		var fs unix.Statfs_t
		if unix.Statfs(dir, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			return dir
		}
	}
	t.Fatal("cgroup v2 is not mounted")
	return ""
}

// makeCgroup makes a cgroup that goes away with the test, after its processes.
func makeCgroup(t *testing.T, path string) (name string) {
	t.Helper()
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// A process leaves its cgroup some time after its parent has heard of its end.
		for range 100 {
			if os.Remove(path) == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Errorf("cgroup %s stays", path)
	})
	return path
}

// The path may be absolute or begin below the mount; a cgroup inside counts as
// inside.
func TestTargetCgroup(t *testing.T) {
	mount := cgroupMount(t)
	name := fmt.Sprintf("staccato-test-%d", os.Getpid())
	outer := makeCgroup(t, filepath.Join(mount, name))
	inner := makeCgroup(t, filepath.Join(outer, "inner"))
	split := workloads.Build(t, "c/split.c")
	in := func(cgroup string) target {
		dir, err := os.Open(cgroup)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		cmd := exec.Command(split, "60")
		cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
		return spawn(t, cmd)
	}
	a, b := in(outer), in(inner)
	run(t, split, "60") // elsewhere
	for _, test := range []struct {
		path string
		pids []int
	}{
		{outer, []int{a.pid(), b.pid()}},
		{"/" + name, []int{a.pid(), b.pid()}},
		{name + "/inner", []int{b.pid()}},
	} {
		t.Run(filepath.Base(test.path), func(t *testing.T) {
			var used map[int]time.Duration
			prof := record(t, Config{Frequency: 999, Target: Target{Cgroup: test.path}}, func() {
				used = usedDuring(t, func() { time.Sleep(filterTime) }, test.pids...)
			})
			onlyThese(t, prof, used)
		})
	}
	for _, path := range []string{name + "/none", name + "/cgroup.procs", "/proc"} {
		if _, err := New(Config{Target: Target{Cgroup: path}}); !errors.Is(err, ErrNoTarget) {
			t.Errorf("cgroup %s: %v", path, err)
		}
	}
}
