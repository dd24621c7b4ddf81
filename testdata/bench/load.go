package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

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

const loadText = "mixed.cc (C++, no frame pointers) and the system's python3, both busy"

// program is a running workload.
type program struct {
	cmd         *exec.Cmd
	out, errors bytes.Buffer
}

func start(path string, args ...string) (*program, error) {
	p := &program{cmd: exec.Command(path, args...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errors
	return p, p.cmd.Start()
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) }

// number waits for the program's end and returns what it printed.
func (p *program) number() (float64, error) {
	if err := p.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%s: %w: %s", p.cmd.Path, err, p.errors.Bytes())
	}
	return strconv.ParseFloat(strings.TrimSpace(p.out.String()), 64)
}

func (p *program) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// load is the stated load: a C++ program without frame pointers and the
// system's python3, each busy all the time.
type load struct{ cc, python *program }

func (b *bench) startLoad(d time.Duration) (*load, error) {
	cc, err := start(b.path("mixed"), seconds(d))
	if err != nil {
		return nil, err
	}
	py, err := start("/usr/bin/python3", "-c", python, seconds(d))
	if err != nil {
		cc.kill()
		return nil, err
	}
	return &load{cc, py}, nil
}

// speed is how fast the load was: rounds per second of its own CPU time. That
// holds what interrupts cost it, and not what it had to wait.
type speed struct{ cc, python float64 }

// speed waits for the load's end.
func (l *load) speed() (s speed, err error) {
	if s.cc, err = l.cc.number(); err != nil {
		l.python.kill()
		return s, err
	}
	s.python, err = l.python.number()
	return s, err
}

func (l *load) kill() {
	l.cc.kill()
	l.python.kill()
}

// slower says by how many percent the load was slower than alone, C++ and
// Python.
func (s speed) slower(alone speed) (cc, python string) {
	percent := func(now, then float64) string { return fmt.Sprintf("%.1f", 100*(1-now/then)) }
	return percent(s.cc, alone.cc), percent(s.python, alone.python)
}
