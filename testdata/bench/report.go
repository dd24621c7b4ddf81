package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/pprof/profile"
)

// reportRuns is how often each program reads the file.
const reportRuns = 7

func reportTakes(b *bench) time.Duration { return time.Minute }

// reports measures staccato report and go tool pprof -top on a file of 50 MB,
// uncompressed, in turn.
func reports(b *bench) error {
	if out, err := exec.Command("go", "tool", "pprof", "-h").CombinedOutput(); !strings.Contains(string(out), "nodefraction") {
		return fmt.Errorf("go tool pprof: %w: %s", err, out)
	}
	// The program itself, without the time that go takes to find it.
	path, err := exec.Command("go", "tool", "-n", "pprof").Output()
	if err != nil {
		return fmt.Errorf("find pprof: %w", err)
	}
	pprof := strings.TrimSpace(string(path))

	p := largeProfile()
	table("file", "MB", "program", "CPU s", "seconds", "peak MiB", "CPU, times pprof's", "seconds", "peak")
	for _, file := range []struct {
		name  string
		write func(*os.File) error
	}{
		{"large.pb", func(f *os.File) error { return p.WriteUncompressed(f) }},
		{"large.pb.gz", func(f *os.File) error { return p.Write(f) }},
	} {
		name := b.path(file.name)
		size, err := writeTo(name, file.write)
		if err != nil {
			return err
		}
		commands := [][]string{
			{pprof, "-symbolize=none", "-top", name},
			{b.path("staccato"), "report", name},
			{b.path("staccato"), "report", "--tree", name},
		}
		names := []string{"go tool pprof -top", "staccato report", "staccato report --tree"}
		costs := make([][]expense, len(commands))
		for range reportRuns {
			for i, command := range commands {
				c, err := measure(command)
				if err != nil {
					return err
				}
				costs[i] = append(costs[i], c)
			}
		}
		base := median(costs[0])
		for i := range commands {
			c := median(costs[i])
			row(file.name, fmt.Sprintf("%.1f", float64(size)/1e6), names[i],
				fmt.Sprintf("%.2f", c.cpu), fmt.Sprintf("%.2f", c.wall), fmt.Sprintf("%.0f", c.peak),
				fmt.Sprintf("%.2f", c.cpu/base.cpu), fmt.Sprintf("%.2f", c.wall/base.wall), fmt.Sprintf("%.2f", c.peak/base.peak))
		}
	}
	return nil
}

// expense is what a program took: seconds of CPU time, seconds, and MiB.
type expense struct{ cpu, wall, peak float64 }

func measure(command []string) (expense, error) {
	cmd := exec.Command(command[0], command[1:]...)
	begin := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		return expense{}, fmt.Errorf("%s: %w: %.300s", command[0], err, out)
	}
	state := cmd.ProcessState
	usage := state.SysUsage().(*syscall.Rusage)
	return expense{
		cpu:  (state.UserTime() + state.SystemTime()).Seconds(),
		wall: time.Since(begin).Seconds(),
		peak: float64(usage.Maxrss) / 1024,
	}, nil
}

// median is that of each figure.
func median(costs []expense) expense {
	of := func(f func(expense) float64) float64 {
		var all []float64
		for _, c := range costs {
			all = append(all, f(c))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return expense{of(func(c expense) float64 { return c.cpu }), of(func(c expense) float64 { return c.wall }), of(func(c expense) float64 { return c.peak })}
}

func writeTo(name string, write func(*os.File) error) (size int64, err error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if err := write(f); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// largeProfile is 50 MB without compression: 400,000 stacks of 10 to 60 frames
// in 20,000 functions, some inlined, in 200 processes.
func largeProfile() *profile.Profile {
	random := rand.New(rand.NewPCG(1, 2))
	m := &profile.Mapping{ID: 1, Start: 1 << 22, Limit: 1 << 32, File: "/usr/bin/large", HasFunctions: true}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"}, Period: 10_101_010,
		Mapping: []*profile.Mapping{m},
	}
	for i := range 20_000 {
		name := fmt.Sprintf("large::module%d::function%d(int, std::vector<std::string> const&)", i%97, i)
		p.Function = append(p.Function, &profile.Function{ID: uint64(i + 1), Name: name, SystemName: name, Filename: fmt.Sprintf("/src/large/module%d.cc", i%97)})
	}
	for i := range 80_000 {
		l := &profile.Location{ID: uint64(i + 1), Mapping: m, Address: m.Start + uint64(i)*32}
		for range 1 + i%3/2 {
			l.Line = append(l.Line, profile.Line{Function: p.Function[random.IntN(len(p.Function))], Line: int64(i % 1000)})
		}
		p.Location = append(p.Location, l)
	}
	for range 400_000 {
		s := &profile.Sample{
			Label:    map[string][]string{"comm": {"large"}},
			NumLabel: map[string][]int64{"pid": {int64(1000 + random.IntN(200))}},
			Location: make([]*profile.Location, 10+random.IntN(51)),
		}
		// The root is last. A call site has few callees, most of them often.
		at := 0
		for i := range slices.Backward(s.Location) {
			s.Location[i] = p.Location[at]
			at = (at*31 + 1 + int(random.ExpFloat64())) % len(p.Location)
		}
		n := 1 + int64(random.ExpFloat64()*3)
		s.Value = []int64{n, n * p.Period}
		p.Sample = append(p.Sample, s)
	}
	return p
}
