package agent

import (
	"maps"
	"slices"
	"time"

	"github.com/staccato-profiler/staccato/agent/merge"
	"github.com/staccato-profiler/staccato/bpf"
)

// cut is a profile in the making.
type cut struct {
	merger *merge.Merger
	sum    Summary
	fired  uint64 // firings of the timer
	// improved is Improved of the symbolizer when the cut began.
	improved uint64
}

func (p *Profiler) newCut(start time.Time) *cut {
	return &cut{
		merger: merge.New(merge.Config{Period: int64(p.sampler.Period()), Name: p.names.name, Reason: p.names.reason}),
		sum:    Summary{Start: start, Lost: make(map[string]uint64), Frequency: p.cfg.Frequency},

		improved: p.names.symbolizer.Improved(),
	}
}

// collect names and adds up windows as they come, until the queue is closed.
func (p *Profiler) collect(start time.Time) {
	defer close(p.collected)
	c := p.newCut(start)
	cpu := usedCPU()
	for w := range p.queue {
		if w.window != nil {
			before := maps.Clone(c.merger.Counts().Truncated)
			p.names.during(w.window.From, w.window.Until)
			c.add(w.window)
			p.totals.addWindow(w.window, before, c.merger.Counts().Truncated)
			w.window.Free()
			continue
		}
		used := usedCPU()
		c.sum.ProfilerCPU = used - cpu
		cpu = used
		w.cut <- p.finish(c, w)
		c = p.newCut(w.at)
	}
}

func (c *cut) add(w *bpf.Window) {
	c.merger.Add(w.Samples, w.Frames)
	s, t := &c.sum, &w.Tally
	s.Entries += t.Entries
	s.Samples += t.Stored
	s.Filtered += t.Filtered
	s.Idle += t.Idle
	s.SkippedOwn += t.SkippedOwn
	s.Late += t.Late
	s.Estimated = t.Estimated
	c.fired += t.Fired
	for cause, n := range t.Lost {
		s.Lost[cause] += n
	}
}

// finish makes a profile of what was added.
func (p *Profiler) finish(c *cut, w work) *Profile {
	s := c.sum
	s.Duration = w.at.Sub(s.Start)
	if p.names.servers != nil {
		c.merger.NameAgain() // reads the files that have come
	}
	if w.last {
		p.names.wait(p.cfg.Names.Wait, c.merger.NameAgain)
		s.Unread = p.names.symbolizer.Unread()
	}
	if p.names.symbolizer.Improved() != c.improved {
		c.merger.NameAgain()
	}
	s.NoIndex = p.names.symbolizer.Stats().Unkept
	s.Achieved = 1e9 / float64(p.sampler.Period())
	if due := c.due(); due > 0 {
		s.Achieved *= float64(s.Entries) / float64(due)
	}
	n := c.merger.Counts()
	s.Truncated = n.Truncated
	s.Complete, s.Named = 1, 1
	if n.Samples > 0 {
		s.Complete = float64(n.Complete) / float64(n.Samples)
		s.Named = float64(n.Named) / float64(n.Samples)
	}
	for _, u := range c.merger.Unnamed() {
		s.Unnamed = append(s.Unnamed, UnnamedIn{u.Path, u.BuildID, u.Program, u.Samples, u.Reason})
	}
	s.TableFaults, s.TableFaultsBeyond = p.totals.tableFaults()
	procs, complete := c.merger.Processes(), c.merger.Completeness()
	p.totals.addCompleteness(complete)
	in := c.merger.Finish(w.main, s.Start, s.Duration, p.comments(&s, complete))
	in.Side.Host = hostAttributes()
	in.Side.Processes = processAttributes(procs)
	return &Profile{Input: in, Summary: s}
}

// due is how often the program should have run.
func (c *cut) due() uint64 {
	ran := c.sum.Entries + c.sum.Lost[bpf.LostNotSampled]
	if c.sum.Estimated != "" {
		return ran
	}
	return max(c.fired, ran) + c.sum.Late
}

func (s *Summary) lostTotal() uint64 {
	var n uint64
	for _, lost := range s.Lost {
		n += lost
	}
	return n
}

func sortedKeys(m map[string]uint64) []string { return slices.Sorted(maps.Keys(m)) }
