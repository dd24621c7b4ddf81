package main

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

const (
	accuracyHz   = 999
	accuracySpan = 3 * time.Second // of CPU time
)

// split is a workload with known shares.
type split struct {
	text      string
	args      []string
	functions []string
}

var splits = []split{
	{"60/30/10", nil, []string{"sixty", "thirty", "ten"}},
	{"99/1", []string{"rare"}, []string{"ninetynine", "one"}},
}

func (b *bench) accuracyRuns() int { return max(2, int(100*b.scale)) }

func accuracyTakes(b *bench) time.Duration {
	return time.Duration(len(splits)*b.accuracyRuns()) * (accuracySpan + time.Second/2)
}

// accuracy compares the shares of functions in profiles with what the programs
// measured of themselves.
func accuracy(b *bench) error {
	runs := b.accuracyRuns()
	fmt.Printf("`staccato record -F %d -- split %s`, %d runs of each split; σ = sqrt(p(1−p)/n), where p is the share by the program's own clock and n the samples in its functions. ",
		accuracyHz, seconds(accuracySpan), runs)
	fmt.Print("Mean and spread (standard deviation) of (share in the profile − p)/σ would be 0 and 1 if each sample hit by chance; evenly spaced samples spread less.\n\n")
	table("split", "function", "own clock %", "profile %", "mean, σ", "spread, σ", "runs within 2σ", "n per run", "samples elsewhere %")
	for _, s := range splits {
		if err := accuracyOf(b, s, runs); err != nil {
			return fmt.Errorf("%s: %w", s.text, err)
		}
	}
	return nil
}

func accuracyOf(b *bench, s split, runs int) error {
	each := make(map[string]*deviations)
	for _, f := range s.functions {
		each[f] = &deviations{}
	}
	var n, all, within int64
	for i := range runs {
		if i%10 == 0 {
			b.say("split %s, run %d of %d", s.text, i+1, runs)
		}
		r, err := b.record(accuracyHz, append([]string{b.path("split"), seconds(accuracySpan)}, s.args...)...)
		if err != nil {
			return err
		}
		n, all = n+r.of(), all+r.all
		every := true
		for _, f := range s.functions {
			every = each[f].add(r.samples[f], r.of(), r.own[f]) && every
		}
		if every {
			within++
		}
	}
	for _, f := range s.functions {
		d := each[f]
		row(s.text, f, fmt.Sprintf("%.3f", 100*d.own/float64(runs)), fmt.Sprintf("%.3f", 100*d.got/float64(runs)),
			fmt.Sprintf("%+.2f ± %.2f", d.mean(), d.spread()/math.Sqrt(float64(runs))), fmt.Sprintf("%.2f", d.spread()),
			fmt.Sprintf("%d of %d", d.within, runs), strconv.FormatInt(n/int64(runs), 10), fmt.Sprintf("%.2f", 100*float64(all-n)/float64(all)))
	}
	row(s.text, "all at once", "", "", "", "", fmt.Sprintf("%d of %d", within, runs), "", "")
	return nil
}

// deviations are those of one function's share, in binomial σ.
type deviations struct {
	list     []float64
	own, got float64 // sums of shares
	within   int     // how many are within 2σ
}

// add adds a run in which k of n samples hit, with probability p each, and
// returns whether that is within 2σ.
func (d *deviations) add(k, n int64, p float64) bool {
	share := float64(k) / float64(n)
	z := deviation(share, n, p)
	d.list = append(d.list, z)
	d.own += p
	d.got += share
	ok := math.Abs(z) <= 2
	if ok {
		d.within++
	}
	return ok
}

// deviation is how far a share of n samples is from the probability p, in
// binomial σ.
func deviation(share float64, n int64, p float64) float64 {
	return (share - p) / math.Sqrt(p*(1-p)/float64(n))
}

func (d *deviations) mean() float64 {
	var sum float64
	for _, z := range d.list {
		sum += z
	}
	return sum / float64(len(d.list))
}

func (d *deviations) spread() float64 {
	mean, sum := d.mean(), 0.0
	for _, z := range d.list {
		sum += (z - mean) * (z - mean)
	}
	return math.Sqrt(sum / float64(len(d.list)-1))
}
