package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/html"
	"github.com/staccato-profiler/staccato/exporter/pprof"
)

// lookEvery is how often a recording looks whether its target has ended.
const lookEvery = 100 * time.Millisecond

// recording is one run of record, from an unstarted command to a saved file.
type recording struct {
	app         *app
	config      agent.Config
	targetGiven bool          // by flags, so that a command is not the target
	duration    time.Duration // 0: until something else ends it

	command  *command // nil when there is none to run
	profiler profiler
	output   *output
	ends     *processEnds
	counters *counters
	verbose  bool
}

func (r *recording) run(o recordOptions, write writeFunc, args []string) (err error) {
	if r.ends, err = watchEnds(r.config.Target.PIDs); err != nil {
		return err
	}
	defer r.ends.close()

	if len(args) > 0 {
		if r.command, err = startStopped(args); err != nil {
			return err
		}
		if !r.targetGiven {
			r.config.Target.PIDs = []int{r.command.pid()}
		}
	}
	begun := false
	defer func() {
		if r.command != nil && !begun {
			r.command.kill()
		}
	}()

	if err := r.openOutput(o, write); err != nil {
		return err
	}
	defer r.output.discard()

	if err := r.load(); err != nil {
		return err
	}
	limits, err := r.app.limits()
	if err != nil {
		r.profiler.Close()
		return err
	}
	for _, limit := range limits {
		fmt.Fprintf(r.app.stderr, "Note: %s.\n", limit)
	}
	r.counters = newCounters()
	if err := errors.Join(r.profiler.Observe(r.counters.meter()), r.profiler.Start()); err != nil {
		r.profiler.Close()
		return fmt.Errorf("start sampling: %w", err)
	}
	what := describe(r.config.Target)
	if r.command != nil {
		if !r.targetGiven {
			what = "command " + quoteArgs(args)
		} else {
			what += " while the command runs"
		}
		if err := r.command.run(); err != nil {
			r.profiler.Close()
			return err
		}
		begun = true
	}
	r.announce(what)

	reason, err := r.wait()
	if err != nil {
		return err
	}
	zero, err := r.finish(reason)
	if err != nil {
		return err
	}
	if r.command != nil {
		return r.commandStatus()
	}
	if zero {
		return &exitError{code: exitNoSamples}
	}
	return nil
}

// openOutput is called when the command is there, but has not begun: its PID
// may be in the file's name.
func (r *recording) openOutput(o recordOptions, write writeFunc) error {
	pid := os.Getpid()
	if len(r.config.Target.PIDs) == 1 {
		pid = r.config.Target.PIDs[0]
	}
	path, err := expand(o.output, pid, time.Now())
	if err != nil {
		return err
	}
	if path == "-" {
		r.output = standardOutput(r.app.stdout, write)
		return nil
	}
	r.output, err = openOutput(path, o.keepOld, write)
	return err
}

// load makes the profiler. It can take a second, so Ctrl-C is heeded.
func (r *recording) load() error {
	var loaded profiler
	err := r.app.orAbort(func() (err error) {
		loaded, err = r.app.newProfiler(r.config)
		return err
	})
	if err != nil {
		return err
	}
	if r.app.stop.Err() != nil {
		loaded.Close()
		return errors.New("interrupted before sampling began: nothing was saved")
	}
	r.profiler = loaded
	return nil
}

func (r *recording) announce(what string) {
	limit := ""
	if r.duration > 0 {
		limit = " for " + shortDuration(r.duration)
	}
	w, hz, cpus := r.app.stderr, r.profiler.Frequency(), r.profiler.CPUs()
	if hz < r.config.Frequency {
		fmt.Fprintf(w, "Sampling at %d Hz, not %d: more than 20000 Hz, or than kernel.perf_event_max_sample_rate, is not possible.\n", hz, r.config.Frequency)
	}
	fmt.Fprintf(w, "Recording %s at %d Hz on %s%s. Ctrl-C to stop and save.\n", printable(what), hz, plural(cpus, "CPU"), limit)
}

// wait returns when the recording is to end, and why.
func (r *recording) wait() (reason string, err error) {
	a := r.app
	line := progress{w: a.stderr, width: a.width}
	defer line.erase()

	var timeUp <-chan time.Time
	if r.duration > 0 {
		timer := time.NewTimer(r.duration)
		defer timer.Stop()
		timeUp = timer.C
	}
	var commandEnded <-chan struct{}
	if r.command != nil {
		commandEnded = r.command.ended
	}
	stopped := a.stop.Done()
	look, rewrite := time.NewTicker(lookEvery), time.NewTicker(time.Second)
	defer look.Stop()
	defer rewrite.Stop()

	for {
		select {
		case <-timeUp:
			return shortDuration(r.duration) + " elapsed", nil
		case <-commandEnded:
			return "the command ended", nil
		case <-a.abort.Done():
			// The kernel takes away what we attached when we are gone.
			return "", errAborted
		case <-stopped:
			if r.command == nil {
				return context.Cause(a.stop).Error(), nil
			}
			// A command ends first, and by its own decision.
			r.passOn()
			stopped = nil
		case <-look.C:
			if r.ends.allEnded() {
				return "no target is left", nil
			}
		case <-rewrite.C:
			if a.terminal {
				line.show(r.profiler.Status(), r.duration)
			}
		}
	}
}

// passOn gives the signal that stopped us to the command, unless the terminal
// has given it one already.
func (r *recording) passOn() {
	switch {
	case terminated(r.app.stop):
		r.command.cmd.Process.Signal(syscall.SIGTERM)
	case !inForeground():
		r.command.cmd.Process.Signal(os.Interrupt)
	}
}

// finish saves the profile and prints the summary; zero says that the profile
// holds no samples.
func (r *recording) finish(reason string) (zero bool, err error) {
	a := r.app
	var p *agent.Profile
	var size int64
	err = a.orAbort(func() (err error) {
		if p, err = r.stop(); err != nil {
			r.profiler.Close()
			return fmt.Errorf("read the last samples: %w", err)
		}
		if size, err = r.output.save(a.abort, p.Input); err != nil {
			r.profiler.Close()
			if errors.Is(err, html.ErrTooLarge) {
				err = r.saveInstead(p.Input, err)
			}
			return err
		}
		return nil
	})
	if err != nil {
		return false, err
	}

	closing{reason: reason, profile: p, width: a.width, system: "/"}.print(a.stderr)
	if r.verbose {
		if err := r.counters.print(a.stderr); err != nil {
			return false, err
		}
	}
	// Aborted or not, the profile is there, and the kernel cleans up after us.
	if err := a.orAbort(r.profiler.Close); err != nil && !errors.Is(err, errAborted) {
		return false, err
	}
	zero = p.Summary.Samples == 0
	if zero {
		a.explainZero(r, p)
	}
	a.saved(r.output.path, size)
	return zero, nil
}

// saveInstead keeps as pprof what cannot be written as asked for: samples cannot be
// taken again. It returns the error to end with.
func (r *recording) saveInstead(in exporter.Input, why error) error {
	why = fmt.Errorf("write %s: %w", r.output.path, why)
	path := strings.TrimSuffix(r.output.path, ".html") + ".pb.gz"
	out, err := openOutput(path, true, pprof.Write)
	if err != nil {
		return errors.Join(why, err)
	}
	defer out.discard()
	if _, err := out.save(r.app.abort, in); err != nil {
		return errors.Join(why, err)
	}
	return &exitError{exitFailure, why, []string{
		"The profile was saved as " + path + ". Choose what to show of it:",
		"  staccato report --html --focus REGEX -o " + r.output.path + " " + path,
	}}
}

// stop ends sampling, and on a terminal shows what that waits for. The next Ctrl-C
// ends the waiting: samples cannot be taken again, and names can be had later.
func (r *recording) stop() (p *agent.Profile, err error) {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p, err = r.profiler.Stop()
	}()
	hurry, end := r.app.yielding()
	defer end()
	hurried := hurry.Done()
	line := progress{w: r.app.stderr, width: r.app.width}
	defer line.erase()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case <-stopped:
			return p, err
		case <-hurried:
			r.profiler.StopWaiting()
			hurried = nil
			line.erase()
		case <-look.C:
			if !r.app.terminal || hurried == nil {
				continue
			}
			if text := awaitedLine(r.profiler.Status()); text != "" {
				line.write(text)
			}
		}
	}
}

// explainZero says why a profile can be empty although its target was there.
func (a *app) explainZero(r *recording, p *agent.Profile) {
	if lost := sum(p.Summary.Lost); lost > 0 {
		fmt.Fprintf(a.stderr, "staccato: saved, but 0 samples: all %s were lost.\n", thousands(lost))
		return
	}
	what := describe(r.config.Target)
	fmt.Fprintf(a.stderr, "staccato: saved, but 0 samples: %s used no CPU time that %d Hz could see in %s.\n",
		printable(what), r.profiler.Frequency(), shortDuration(p.Summary.Duration))
	fmt.Fprint(a.stderr, "  It was waiting, or ran only for moments. Record longer (-d), or more often (-F 999).\n")
}

// saved prints where the profile is, and what can be done with it.
func (a *app) saved(path string, size int64) {
	if path == "-" {
		return
	}
	name := quoteArgs([]string{path})
	line := fmt.Sprintf("Saved %s (%s).", printable(name), fileSize(size))
	switch {
	case strings.HasSuffix(path, ".html"):
		line += fmt.Sprintf("   Next: open it in a browser: xdg-open %s", printable(name))
	case formatIsPprof(path):
		line += fmt.Sprintf("   Next: staccato report %s, or staccato view %s", printable(name), printable(name))
	}
	fmt.Fprintln(a.stderr, line)
	if strings.HasSuffix(path, ".html") && size > html.Large {
		fmt.Fprintln(a.stderr, "Note: a page this large takes browsers seconds to open; of fewer processes, or in less time, it is smaller.")
	}
}

// commandStatus waits until the command has ended, which it may do long after
// the recording, and returns its exit code as an error.
func (r *recording) commandStatus() error {
	select {
	case <-r.command.ended:
	default:
		fmt.Fprintln(r.app.stderr, "The command still runs; its exit code will be that of staccato.")
	}
	stopped := r.app.stop.Done()
	for {
		select {
		case <-r.command.ended:
			code, err := r.command.status()
			if err != nil {
				return err
			}
			return &exitError{code: code}
		case <-stopped:
			r.passOn()
			stopped = nil
		case <-r.app.abort.Done():
			return errors.New("aborted while the command still runs; the profile is saved")
		}
	}
}
