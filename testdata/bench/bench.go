package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// bench holds the programs and the local sink that a measurement needs.
type bench struct {
	dir        string
	warm, span time.Duration
	sink       net.Listener
}

func newBench(warm, span time.Duration) (*bench, error) {
	dir, err := os.MkdirTemp("", "staccato-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, warm: warm, span: span}
	_, here, _, _ := runtime.Caller(0)
	root := filepath.Join(filepath.Dir(here), "../..")
	for _, c := range [][]string{
		{"go", "build", "-o", b.path("staccato"), "./cmd/staccato"},
		{"g++", "-std=c++17", "-O2", "-pthread", "-o", b.path("mixed"), "testdata/workloads/cpp/mixed.cc"},
	} {
		cmd := exec.Command(c[0], c[1:]...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", strings.Join(c, " "), err, out)
		}
	}
	// The sink takes everything, as a collector would that has nothing to say.
	if b.sink, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, err
	}
	go http.Serve(b.sink, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	return b, nil
}

func (b *bench) close() {
	b.sink.Close()
	os.RemoveAll(b.dir)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

// python is what the system's Python is kept busy with: calls, strings, dicts.
const python = `
import sys, time
def fib(n): return n if n < 2 else fib(n-1) + fib(n-2)
def words():
    d = {}
    for i in range(2000):
        w = "word%d" % (i * 7919 % 300); d[w] = d.get(w, 0) + 1
    return sorted(d.items(), key=lambda kv: (-kv[1], kv[0]))
end = time.time() + float(sys.argv[1]); rounds = 0
while time.time() < end:
    fib(15); words(); rounds += 1
print("%.2f" % (rounds / time.process_time()))
`

// load is the stated load: a C++ program without frame pointers and the
// system's python3, each busy all the time.
type load struct {
	cmds []*exec.Cmd
	outs []*bytes.Buffer
}

func (b *bench) startLoad(d time.Duration) (*load, error) {
	seconds := strconv.FormatFloat(d.Seconds(), 'f', 1, 64)
	l := &load{}
	for _, args := range [][]string{{b.path("mixed"), seconds}, {"/usr/bin/python3", "-c", python, seconds}} {
		cmd := exec.Command(args[0], args[1:]...)
		out := &bytes.Buffer{}
		cmd.Stdout = out
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		l.cmds, l.outs = append(l.cmds, cmd), append(l.outs, out)
	}
	return l, nil
}

// speeds waits for the load's end and returns rounds per CPU second of each.
func (l *load) speeds() ([]float64, error) {
	var list []float64
	for i, cmd := range l.cmds {
		if err := cmd.Wait(); err != nil {
			return nil, err
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(l.outs[i].String()), 64)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

// profiler is an agent being measured.
type profiler struct {
	cmd *exec.Cmd
	log bytes.Buffer
}

func (b *bench) startAgent(hz int) (*profiler, error) {
	p := &profiler{}
	p.cmd = exec.Command(b.path("staccato"), "agent", "-F", strconv.Itoa(hz), "--interval", "5s",
		"--otlp-protocol", "http", "--otlp-endpoint", "http://"+b.sink.Addr().String())
	p.cmd.Stderr = &p.log
	return p, p.cmd.Start()
}

// stop ends the agent and returns its last words.
func (p *profiler) stop() string {
	p.cmd.Process.Signal(os.Interrupt)
	p.cmd.Wait()
	return p.log.String()
}

// proc reads a file below /proc/PID.
func (p *profiler) proc(name string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, name))
	return string(text)
}

// cpu is the time on a CPU of all threads so far: the first figure of each
// thread's schedstat, in nanoseconds.
func (p *profiler) cpu() time.Duration {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	var sum time.Duration
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		sum += time.Duration(n)
	}
	return sum
}

// status returns a field of /proc/PID/status that counts kB, in MiB.
func (p *profiler) status(field string) float64 {
	for line := range strings.Lines(p.proc("status")) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb / 1024
		}
	}
	return 0
}

// bpf sums up what the kernel says of the agent's BPF objects: memory of the
// maps in bytes, and of the perf_event programs runs and time (only counted
// while kernel.bpf_stats_enabled is 1).
func (p *profiler) bpf() (mapBytes int64, runs int64, spent time.Duration) {
	infos, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", p.cmd.Process.Pid))
	seen := make(map[string]bool)
	for _, path := range infos {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		f := make(map[string]int64)
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			f[key], _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		}
		if id, ok := f["map_id"]; ok && !seen[fmt.Sprint("map", id)] {
			seen[fmt.Sprint("map", id)] = true
			mapBytes += f["memlock"]
		}
		if id, ok := f["prog_id"]; ok && f["prog_type"] == 7 && !seen[fmt.Sprint("prog", id)] {
			seen[fmt.Sprint("prog", id)] = true
			runs += f["run_cnt"]
			spent += time.Duration(f["run_time_ns"])
		}
	}
	return mapBytes, runs, spent
}
