package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// rootLoad is a load whose stacks must be whole.
type rootLoad struct {
	name      string
	processes []string // whose samples count, by command name
	least     float64  // share of samples that reach the root
	predict   bool     // samples are compared with the CPU time
	// prepare makes what the load needs before it can be started.
	prepare func(*bench) (*running, error)
}

// rootPackages are those of Debian that have the loads.
var rootPackages = []string{"rustc", "perl", "redis-server", "redis-tools", "postgresql-15", "nginx-light", "wrk", "python3.11"}

const (
	noFramePointer = "-fomit-frame-pointer"
	long           = "600" // seconds: until it is stopped
)

var rootLoads = []rootLoad{
	{"C", []string{"stacks"}, 0.995, false, compiled("stacks", "c/stacks.c", []string{noFramePointer}, "sorted", long)},
	{"C++", []string{"mixed"}, 0.995, false, compiled("mixed", "cpp/mixed.cc", []string{noFramePointer}, long)},
	{"threads", []string{"threads"}, 0.995, false, compiled("threads", "c/threads.c", []string{noFramePointer}, "8", long)},
	{"Rust", []string{"mixed"}, 0.995, false, compiled("mixed", "rust/mixed.rs", nil, long)},
	{"Go", []string{"shapes"}, 0.995, false, goStripped},
	{"python3.11", []string{"python3.11"}, 0.995, false, command("/usr/bin/python3.11", "-c", python, long)},
	{"perl", []string{"perl"}, 0.995, false, command("/usr/bin/perl", "-e", perl)},
	{"redis", []string{"redis-server"}, 0.995, false, redis},
	{"postgres", []string{"postgres"}, 0.995, false, postgres},
	{"nginx", []string{"nginx"}, 0.995, false, nginx},
	{"gcc", []string{"g++", "cc1plus", "as"}, 0.995, false, compiling},
	{"shell", []string{"sh", "stacks"}, 0.98, true, shellLoop},
}

// perl is what the system's Perl is kept busy with.
const perl = `
sub fib { my $n = shift; return $n < 2 ? $n : fib($n-1) + fib($n-2) }
while (1) {
	fib(15);
	my %d; $d{"word" . ($_ * 7919 % 300)}++ for 1..2000;
	my @w = sort { $d{$b} <=> $d{$a} || $a cmp $b } keys %d;
	my $s = join ",", @w; $s =~ s/(\w)(\d+)/$2$1/g;
}`

// install installs packages of Debian.
func install(packages ...string) error {
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command(filepath.Join(filepath.Dir(here), "../install-deps.sh"), packages...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("install packages: %w: %s", err, out)
	}
	return nil
}

// running is a load that can be started and stopped: servers first, then what
// keeps them busy.
type running struct {
	commands []*exec.Cmd
	ready    func() error // before each command but the first; may be nil
	remove   string       // a folder, at the end; may be ""
	started  []*exec.Cmd
	stopped  bool
}

func (r *running) start() error {
	for i, cmd := range r.commands {
		if i > 0 && r.ready != nil {
			if err := r.ready(); err != nil {
				return err
			}
		}
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{}
		}
		cmd.SysProcAttr.Setpgid = true
		if err := cmd.Start(); err != nil {
			return err
		}
		r.started = append(r.started, cmd)
	}
	return nil
}

// stop ends the load and returns the CPU time that it and its children have used,
// in seconds.
func (r *running) stop() (cpu float64, err error) {
	if r.stopped {
		return 0, nil
	}
	r.stopped = true
	for _, cmd := range r.started {
		// Servers end their children when they are asked to; others are ended.
		if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return 0, err
		}
		ended := time.AfterFunc(5*time.Second, func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
		cmd.Wait() // it was told to end: how does not matter
		ended.Stop()
		cpu += (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	}
	if r.remove != "" {
		err = os.RemoveAll(r.remove)
	}
	return cpu, err
}

func command(name string, args ...string) func(*bench) (*running, error) {
	return func(*bench) (*running, error) {
		return &running{commands: []*exec.Cmd{exec.Command(name, args...)}}, nil
	}
}

// compiled is a workload of this repository.
func compiled(name, source string, flags []string, args ...string) func(*bench) (*running, error) {
	return func(b *bench) (*running, error) {
		path, err := b.compile(name, source, flags...)
		if err != nil {
			return nil, err
		}
		return command(path, args...)(b)
	}
}

// compile builds a workload in a folder of its own.
func (b *bench) compile(name, source string, flags ...string) (string, error) {
	dir, err := os.MkdirTemp(b.dir, name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, workloads.Compile(path, source, flags...)
}

func goStripped(b *bench) (*running, error) {
	path, err := b.compile("shapes", "go/shapes", "-ldflags=-s -w")
	if err != nil {
		return nil, err
	}
	if out, err := exec.Command("strip", "--strip-all", path).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("strip: %w: %s", err, out)
	}
	r := &running{}
	for _, shape := range []string{"leaf", "garbage", "signals"} {
		r.commands = append(r.commands, exec.Command(path, shape, long))
	}
	return r, nil
}

const (
	redisPort = "46379"
	nginxPort = "48080"
)

// soon waits until a server answers.
func soon() error { time.Sleep(time.Second); return nil }

func redis(b *bench) (*running, error) {
	return &running{ready: soon, commands: []*exec.Cmd{
		exec.Command("redis-server", "--port", redisPort, "--save", "", "--bind", "127.0.0.1"),
		exec.Command("redis-benchmark", "-p", redisPort, "-n", "1000000", "-l", "-q"),
	}}, nil
}

func nginx(b *bench) (*running, error) {
	dir, err := os.MkdirTemp("", "staccato-bench-nginx-") // its workers are another user's
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`worker_processes 1; daemon off; pid %[1]s/pid; error_log %[1]s/error;
events {} http { access_log %[1]s/log; gzip on; server { listen 127.0.0.1:%[2]s; root %[1]s; } }`, dir, nginxPort)
	page := make([]byte, 0, 20000)
	for i := range 2000 {
		page = strconv.AppendInt(append(page, ' '), int64(i*i), 10)
	}
	for name, text := range map[string][]byte{"conf": []byte(conf), "index.html": page} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return nil, err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	return &running{ready: soon, remove: dir, commands: []*exec.Cmd{
		exec.Command("nginx", "-c", filepath.Join(dir, "conf")),
		exec.Command("wrk", "-d", long, "-t", "1", "-c", "8", "-H", "Accept-Encoding: gzip", "http://127.0.0.1:"+nginxPort+"/"),
	}}, nil
}

// postgres refuses to run as root.
func postgres(b *bench) (*running, error) {
	const bin = "/usr/lib/postgresql/15/bin/"
	owner, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(owner.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(owner.Gid)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "staccato-bench-postgres-")
	if err != nil {
		return nil, err
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		return nil, err
	}
	as := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(bin+name, args...)
		cmd.Dir = dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		return cmd
	}
	data := filepath.Join(dir, "data")
	server := []string{"-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off"}
	if out, err := as("initdb", "-D", data, "-A", "trust").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	first := &running{commands: []*exec.Cmd{as("postgres", server...)}}
	if err := first.start(); err != nil {
		return nil, err
	}
	defer first.stop()
	if err := soon(); err != nil {
		return nil, err
	}
	if out, err := as("pgbench", "-h", dir, "-i", "-s", "2", "postgres").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pgbench: %w: %s", err, out)
	}
	return &running{ready: soon, remove: dir, commands: []*exec.Cmd{
		as("postgres", server...),
		as("pgbench", "-h", dir, "-c", "4", "-T", long, "postgres"),
	}}, nil
}

// compiling compiles the same file again and again.
func compiling(b *bench) (*running, error) {
	_, here, _, _ := runtime.Caller(0)
	source := filepath.Join(filepath.Dir(here), "../workloads/cpp/mixed.cc")
	return command("sh", "-c", `while :; do g++ -O2 -c "$0" -o "$1"; done`, source, b.path("mixed.o"))(b)
}

// shellLoop runs processes that take 30 ms of CPU time, one after the other.
func shellLoop(b *bench) (*running, error) {
	path, err := b.compile("stacks", "c/stacks.c", noFramePointer)
	if err != nil {
		return nil, err
	}
	return command("sh", "-c", `while :; do "$0" sorted 0.03; done`, path)(b)
}
