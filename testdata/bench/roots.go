package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/testdata/rooted"
)

const rootsHz = 999

func (b *bench) rootsSpan() time.Duration { return b.scaled(10 * time.Second).Round(time.Second) }

func (b *bench) rootLoads() (list []rootLoad) {
	for _, l := range rootLoads {
		if len(b.loads) == 0 || slices.Contains(b.loads, l.name) {
			list = append(list, l)
		}
	}
	return list
}

func rootsTakes(b *bench) time.Duration {
	return time.Duration(len(b.rootLoads())) * (b.rootsSpan() + 3*time.Second)
}

// roots says which share of the stacks of well-known programs is whole: begins
// where the program or the thread does.
func roots(b *bench) error {
	if err := install(rootPackages...); err != nil {
		return err
	}
	span := b.rootsSpan()
	fmt.Printf("`staccato record -a -F %d -d %v`, each load started just after it; samples with a user part, of the load's processes alone.\n\n", rootsHz, span)
	table("load", "samples", "to the root %", "at least", "not to the root", "kernel part only", "CPU s of samples, % of the kernel's")
	var low []string
	for _, l := range b.rootLoads() {
		b.say("roots of %s", l.name)
		r, cpu, err := b.rootsOf(l, span)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		predicted := ""
		if l.predict {
			predicted = fmt.Sprintf("%.1f", 100*r.CPU/cpu)
		}
		row(l.name, strconv.FormatInt(r.Samples, 10), fmt.Sprintf("%.2f", 100*r.Share()), fmt.Sprintf("%.1f", 100*l.least), r.Causes(), strconv.FormatInt(r.Kernel, 10), predicted)
		r.Explain(os.Stderr)
		if r.Samples < 100 || r.Share() < l.least || l.predict && r.CPU < 0.97*cpu {
			low = append(low, l.name)
		}
	}
	if len(low) > 0 {
		return fmt.Errorf("not enough: %s", strings.Join(low, ", "))
	}
	return nil
}

// margin is how long after the recorder the load is started.
const margin = time.Second

// rootsOf records while a load runs. cpu is the time that it used by the kernel's
// count, in seconds.
func (b *bench) rootsOf(l rootLoad, span time.Duration) (r *rooted.Count, cpu float64, err error) {
	running, err := l.prepare(b)
	if err != nil {
		return nil, 0, err
	}
	defer running.stop()
	file := b.path("roots.pb.gz")
	recorder, err := start(b.path("staccato"), "record", "-a", "-F", strconv.Itoa(rootsHz), "-d", span.String(), "-o", file)
	if err != nil {
		return nil, 0, err
	}
	time.Sleep(margin) // it loads its programs
	if err := running.start(); err != nil {
		recorder.kill()
		return nil, 0, err
	}
	// All that the load does is sampled: it ends before the recording does.
	time.Sleep(span - margin - margin/4)
	cpu, err = running.stop()
	if err != nil {
		recorder.kill()
		return nil, 0, err
	}
	if err := recorder.cmd.Wait(); err != nil {
		return nil, 0, fmt.Errorf("record: %w: %s", err, recorder.errors.Bytes())
	}
	p, err := parse(file)
	if err != nil {
		return nil, 0, err
	}
	return rooted.Of(p, l.processes...), cpu, nil
}

func parse(file string) (*profile.Profile, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return profile.Parse(f)
}
