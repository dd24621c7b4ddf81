package bpf

import (
	"fmt"
	"sync/atomic"

	"github.com/staccato-profiler/staccato"
)

// Names of what can happen to a sample, as metrics and markers say them.
const (
	LostTableFull  = "table full"
	LostLogFull    = "log full"
	LostChain      = "tail call"
	LostNotSampled = "not sampled"
	// LostIdleNotSampled is the same for idle CPUs, where the kernel may run
	// timers outside of any interrupt, and then has no registers to sample.
	LostIdleNotSampled = "idle, not sampled"
)

var losses = [layoutLossLOSSES]string{
	layoutLossLOSS_TABLE_FULL: LostTableFull,
	layoutLossLOSS_LOG_FULL:   LostLogFull,
	layoutLossLOSS_CHAIN:      LostChain,
}

// truncations says why a user stack is not whole; "" for those that are.
var truncations = [len(layoutTally{}.Truncated)]string{
	layoutStopSTOP_FP:         "no frame pointer",
	layoutStopSTOP_UNREADABLE: "stack unreadable",
	layoutStopSTOP_DEPTH:      "too deep",
	layoutStopSTOP_COMPAT:     "32-bit code",
	layoutStopSTOP_NAMESPACE:  "outside the PID namespace",
	layoutStopSTOP_RULE:       "unsupported unwind rule",
	layoutStopSTOP_STACK:      "outside the stack",
	layoutStopSTOP_GOROUTINE:  "goroutine not found",
	layoutStopSTOP_NOT_COPIED: "no unwind table yet",
}

// Tally says what became of the runs of the sampling program in a window:
// Entries = Idle + Filtered + Stored + the losses but LostNotSampled, exactly.
type Tally struct {
	Entries, Idle, Filtered, Stored uint64
	// Lost counts samples by cause. LostNotSampled did not run at all: the
	// timer fired and the kernel skipped the program.
	Lost map[string]uint64
	// Truncated counts stored samples by why the kernel side's walk ended.
	Truncated map[string]uint64
	// Unmapped counts user frames whose mapping was not known at capture.
	Unmapped uint64
	// Copied counts stored samples that came with a copy of the user stack,
	// NotCopied those that should have and found no room.
	Copied, NotCopied uint64
	// CutFrames counts frames cut off because they were none.
	CutFrames uint64
	// SkippedOwn is how many of LostNotSampled were skipped while a thread of
	// this process ran; 0 if Estimated.
	SkippedOwn uint64
	// Late estimates the firings that were due and did not come, because the
	// virtual CPU was not running or the event was throttled.
	Late uint64
	// Estimated says that LostNotSampled is an estimate that includes Late,
	// and why it could not be counted.
	Estimated string
	// Fired counts the timer's firings outside of idle time; 0 if Estimated.
	Fired uint64
}

// lossSamples makes each kind of loss a sample with a marker for a stack.
func (t *Tally) lossSamples(d *decoder) []staccato.Sample {
	var list []staccato.Sample
	nobody := &staccato.Process{}
	for _, cause := range []string{LostTableFull, LostLogFull, LostChain, LostNotSampled, LostIdleNotSampled} {
		if n := t.Lost[cause]; n > 0 {
			list = append(list, staccato.Sample{
				Process: nobody,
				Stack:   staccato.Stack{d.marker(staccato.KindLost, "[lost: "+cause+"]")},
				Count:   int64(n),
			})
		}
	}
	return list
}

// Peek adds up what the banks hold that was not read yet, without disturbing
// them.
func (s *Sampler) Peek() Tally {
	t := Tally{Lost: make(map[string]uint64)}
	for i := range s.tallies {
		c := &s.tallies[i]
		t.Entries += atomic.LoadUint64(&c.Entries)
		t.Stored += atomic.LoadUint64(&c.Stored)
		for i := range c.Lost {
			if n := atomic.LoadUint64(&c.Lost[i]); n > 0 {
				t.Lost[losses[i]] += n
			}
		}
	}
	return t
}

// Copies is the number of samples since the last Read whose stack was copied, or
// should have been. It only looks at shared memory and may be called at any rate.
func (s *Sampler) Copies() uint64 {
	bank := int(atomic.LoadUint32(&s.control[0].Bank))
	var n uint64
	for i := range s.nCPU {
		c := &s.tallies[bank*s.nCPU+i]
		n += atomic.LoadUint64(&c.Copied) + atomic.LoadUint64(&c.NotCopied)
	}
	return n
}

// takeTally adds up a bank's counters, and empties them.
func (s *Sampler) takeTally(bank int, t *Tally) error {
	t.Lost = make(map[string]uint64)
	t.Truncated = make(map[string]uint64)
	for i := range s.nCPU {
		c := &s.tallies[bank*s.nCPU+i]
		t.Entries += c.Entries
		t.Idle += c.Idle
		t.Filtered += c.Filtered
		t.Stored += c.Stored
		t.Unmapped += c.Unmapped
		t.Copied += c.Copied
		t.NotCopied += c.NotCopied
		for i, n := range c.Lost {
			if n > 0 {
				t.Lost[losses[i]] += n
			}
		}
		for i, n := range c.Truncated {
			if n > 0 && truncations[i] != "" {
				t.Truncated[truncations[i]] += n
			}
		}
		*c = layoutTally{}
	}
	return s.notSampled(t)
}

// notSampled counts what the kernel never let run. The timer's firings and the
// program's runs only grow, and a firing that is counted may be about to run;
// so what is reported is the growth of the greatest difference seen.
func (s *Sampler) notSampled(t *Tally) error {
	var skipped, skippedIdle, skippedOwn, fired uint64
	// CPUs that went offline count, too.
	for i := range s.timers {
		c := &s.timers[i]
		// Runs before firings: one that comes between is no lost one.
		ranIdle := atomic.LoadUint64(&c.EntriesIdle)
		ran := atomic.LoadUint64(&c.Entries) - ranIdle
		firedIdle := atomic.LoadUint64(&c.FiredIdle)
		busy := atomic.LoadUint64(&c.Fired) - firedIdle
		skipped += busy - min(busy, ran)
		skippedOwn += atomic.LoadUint64(&c.SkippedOwn)
		fired += busy
		if s.withIdle() {
			skippedIdle += firedIdle - min(firedIdle, ranIdle)
			fired += firedIdle
		}
	}
	expected := s.expectedGone
	idle := readIdle()
	for _, e := range s.events {
		expected += s.expected(e, idle)
	}
	s.entries += t.Entries
	if !s.withIdle() {
		s.entries -= t.Idle // of counters that cannot leave idle time out
	}
	if !s.useTimer {
		t.Estimated = s.timerReason
		if est := uint64(expected); est > s.entries+s.skipped {
			t.Lost[LostNotSampled] = est - s.entries - s.skipped
			s.skipped = est - s.entries
		}
		return nil
	}
	t.Fired = fired - min(fired, s.fired)
	s.fired = max(s.fired, fired)
	if skipped > s.skipped {
		t.Lost[LostNotSampled] = skipped - s.skipped
		s.skipped = skipped
	}
	if skippedIdle > s.skippedIdle {
		t.Lost[LostIdleNotSampled] = skippedIdle - s.skippedIdle
		s.skippedIdle = skippedIdle
	}
	t.SkippedOwn = skippedOwn - s.skippedOwn
	s.skippedOwn = skippedOwn
	if late := uint64(max(0, expected-float64(fired))); late > s.late {
		t.Late = late - s.late
		s.late = late
	}
	return nil
}

// check fails when a window's samples are not accounted for exactly.
func (t *Tally) check() error {
	sum := t.Idle + t.Filtered + t.Stored
	for cause, n := range t.Lost {
		if cause != LostNotSampled && cause != LostIdleNotSampled {
			sum += n
		}
	}
	if sum != t.Entries {
		return fmt.Errorf("account for samples: %d runs, %d found again (%+v)", t.Entries, sum, *t)
	}
	return nil
}
