package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"
)

const (
	namedHz = 499
	// leastNamed is the share of samples with a name for every frame that
	// programs must have whose symbols are there.
	leastNamed = 0.98
	// sitePort is that of the server in C++.
	sitePort = "48081"
)

// namedPackages have the symbols of programs of rootPackages.
var namedPackages = []string{"libc6-dbg", "python3.11-dbg", "nodejs", "gdb", "elfutils"}

// namedLoad is a program of which every frame must have a name: all run at once.
type namedLoad struct {
	name      string
	processes []string // by command name
	// symbols says that they are there: of stripped programs only what others
	// can name must be named.
	symbols bool
	prepare func(*bench) (*running, error)
}

var namedLoads = []namedLoad{
	{"python3.11 (python3.11-dbg)", []string{"python3.11"}, true, command("/usr/bin/python3.11", "-c", python, long)},
	{"C++ server, split debug file", []string{"server"}, true, site},
	{"Go, stripped", []string{"shapes"}, true, goStripped},
	{"node --perf-basic-prof", []string{"node"}, true, nodejs},
	{"C (libc6-dbg)", []string{"stacks"}, true, compiled("stacks", "c/stacks.c", []string{noFramePointer}, "sorted", long)},
	{"redis", []string{"redis-server", "redis-benchmark"}, false, redis},
	{"postgres", []string{"postgres", "pgbench"}, false, postgres},
	{"gcc", []string{"sh", "g++", "cc1plus", "as"}, false, compiling},
}

func (b *bench) namedSpan() time.Duration { return b.scaled(60 * time.Second).Round(time.Second) }

func namedHostTakes(b *bench) time.Duration { return b.namedSpan() + 30*time.Second }

// namedHost says of which share of the samples of a whole host every frame has a
// name, and asks other tools about each frame that has none.
func namedHost(b *bench) error {
	if err := install(append(rootPackages, namedPackages...)...); err != nil {
		return err
	}
	p, err := b.recordNamed()
	if err != nil {
		return err
	}
	fmt.Printf("`staccato record -a -F %d -d %v`, all loads at once.\n\n", namedHz, b.namedSpan())
	table("program", "samples", "every frame named %", "at least", "unnamed frames, samples")
	var low []string
	unnamed := make(map[place]int64)
	host := &namedCount{unnamed: unnamed}
	for _, s := range p.Sample {
		host.add(s)
	}
	row(host.cells("the whole host", 0)...)
	for _, l := range namedLoads {
		c := &namedCount{unnamed: make(map[place]int64)}
		for _, s := range p.Sample {
			if comm := s.Label["comm"]; len(comm) == 1 && slices.Contains(l.processes, comm[0]) {
				c.add(s)
			}
		}
		least := 0.0
		if l.symbols {
			least = leastNamed
		}
		row(c.cells(l.name, least)...)
		if c.samples < 100 || c.share() < least {
			low = append(low, l.name)
		}
	}
	fmt.Println()
	known, err := b.askOthers(unnamed)
	if err != nil {
		return err
	}
	wrong, err := b.compareOthers(namedPlaces(p))
	if err != nil {
		return err
	}
	perf, err := perfNames(b.path("named.perf"))
	if err != nil {
		return err
	}
	notPerfs, err := b.comparePerf(perf)
	if err != nil {
		return err
	}
	if wrong += notPerfs; len(low) > 0 || known > 0 || wrong > 0 {
		return fmt.Errorf("not enough: %s; %d frames that others name, %d that they name otherwise", strings.Join(low, ", "), known, wrong)
	}
	return nil
}

// recordNamed records the host while all loads run, with perf beside.
func (b *bench) recordNamed() (*profile.Profile, error) {
	file := b.path("named.pb.gz")
	// What ended before the loads did counts, too.
	recorder, err := start(b.path("staccato"), "record", "-a", "-F", strconv.Itoa(namedHz), "-d", b.namedSpan().String(), "-o", file)
	if err != nil {
		return nil, err
	}
	perf, err := b.recordPerf(b.path("named.perf"))
	if err != nil {
		recorder.kill()
		return nil, err
	}
	if err := errors.Join(b.runNamed(b.namedSpan()), perf.cmd.Wait()); err != nil {
		recorder.kill()
		return nil, fmt.Errorf("%w: perf: %s", err, perf.errors.Bytes())
	}
	if err := recorder.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("record: %w: %s", err, recorder.errors.Bytes())
	}
	for line := range strings.Lines(recorder.errors.String()) {
		b.say("record: %s", strings.TrimSpace(line))
	}
	return parse(file)
}

// runNamed runs all loads for nearly as long.
func (b *bench) runNamed(span time.Duration) (err error) {
	end := time.Now().Add(span - margin)
	for _, l := range namedLoads {
		running, err2 := l.prepare(b)
		if err2 != nil {
			return fmt.Errorf("%s: %w", l.name, err2)
		}
		defer func() {
			_, err2 := running.stop()
			err = errors.Join(err, err2)
		}()
		b.say("named: %s", l.name)
		if err := running.start(); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	time.Sleep(time.Until(end))
	return nil
}

// place is an address in a file.
type place struct {
	file    string
	address uint64
}

// namedCount counts samples of which every frame is named.
type namedCount struct {
	samples, named int64
	unnamed        map[place]int64 // samples with such a frame
}

func (c *namedCount) share() float64 { return float64(c.named) / float64(max(c.samples, 1)) }

func (c *namedCount) add(s *profile.Sample) {
	n := s.Value[0]
	whole := true
	seen := make(map[place]bool)
	for _, l := range s.Location {
		if nameOf(l) != "" {
			continue
		}
		whole = false
		at := place{address: l.Address}
		if l.Mapping != nil {
			at.file = l.Mapping.File
		}
		if !seen[at] {
			seen[at] = true
			c.unnamed[at] += n
		}
	}
	c.samples += n
	if whole {
		c.named += n
	}
}

// nameOf is the name of a frame, "" if one of its calls has none.
func nameOf(l *profile.Location) string {
	name := ""
	for _, line := range l.Line {
		if name = line.Function.Name; name == "" {
			return ""
		}
	}
	return name
}

// namedPlaces returns the linker's name of the function at each address.
func namedPlaces(p *profile.Profile) map[place]string {
	named := make(map[place]string)
	for _, l := range p.Location {
		if l.Mapping != nil && len(l.Line) > 0 {
			named[place{l.Mapping.File, l.Address}] = l.Line[len(l.Line)-1].Function.SystemName
		}
	}
	return named
}

func (c *namedCount) cells(program string, least float64) []string {
	files := make(map[string]int64)
	for at, n := range c.unnamed {
		files[at.file] += n
	}
	var parts []string
	for _, file := range slices.SortedFunc(maps.Keys(files), func(x, y string) int { return cmp.Or(cmp.Compare(files[y], files[x]), strings.Compare(x, y)) }) {
		parts = append(parts, fmt.Sprintf("%d %s", files[file], filepath.Base(cmp.Or(file, "in no file"))))
	}
	want := ""
	if least > 0 {
		want = fmt.Sprintf("%.0f", 100*least)
	}
	return []string{program, strconv.FormatInt(c.samples, 10), fmt.Sprintf("%.2f", 100*c.share()), want, strings.Join(parts, ", ")}
}

// site is a server in C++ whose debug file is where those of packages are, and
// nowhere else.
func site(b *bench) (*running, error) {
	path, err := b.compile("server", "cpp/server.cc", noFramePointer, "-static-libstdc++", "-static-libgcc") // Debian has no symbols of these
	if err != nil {
		return nil, err
	}
	id, err := buildID(path)
	if err != nil {
		return nil, err
	}
	debug := debugPath(id)
	if err := os.MkdirAll(filepath.Dir(debug), 0o755); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"objcopy", "--only-keep-debug", path, debug}, {"strip", "--strip-all", path}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", args[0], err, out)
		}
	}
	return &running{ready: soon, remove: debug, commands: []*exec.Cmd{
		exec.Command(path, sitePort, long),
		exec.Command("wrk", "-d", long, "-t", "1", "-c", "4", "http://127.0.0.1:"+sitePort+"/"),
	}}, nil
}

// javaScript is what node is kept busy with.
const javaScript = `
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
function words() {
	const d = new Map();
	for (let i = 0; i < 2000; i++) { const w = "word" + i * 7919 % 300; d.set(w, (d.get(w) || 0) + 1); }
	return JSON.parse(JSON.stringify([...d].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))));
}
for (;;) { fib(20); words(); "a1b2c3".repeat(100).replace(/([a-z])(\d)/g, "$2$1"); }
`

func nodejs(b *bench) (*running, error) {
	cmd := exec.Command("node", "--perf-basic-prof", "-e", javaScript)
	cmd.Dir = b.dir // it may leave a log there
	return &running{commands: []*exec.Cmd{cmd}}, nil
}
