package main

import (
	"fmt"
	"strconv"
	"time"
)

var lockstepRates = []int{99, 100, 97}

const lockstepRuns = 3

func (b *bench) lockstepSpan() time.Duration { return b.scaled(20 * time.Second) }

func lockstepTakes(b *bench) time.Duration {
	return time.Duration(len(lockstepRates)*lockstepRuns) * (b.lockstepSpan() + time.Second/2)
}

// lockstep profiles a program whose period is 10 ms, and so at 100 Hz the
// profiler's too: a sample must be as likely at any point of the period.
func lockstep(b *bench) error {
	d := b.lockstepSpan()
	fmt.Printf("`staccato record -F Hz -- paced %s`: every 10 ms, 3 ms in one function and 4 ms in another, then sleep. ", seconds(d))
	fmt.Print("In σ: binomial, of n samples in both functions; and of all samples that were due.\n\n")
	table("Hz", "run", "share of `three`, own clock %", "profile %", "deviation, σ", "CPU s, own clock", "profile", "deviation, σ")
	for _, hz := range lockstepRates {
		for run := range lockstepRuns {
			b.say("10 ms period at %d Hz, run %d of %d", hz, run+1, lockstepRuns)
			r, err := b.record(hz, b.path("paced"), seconds(d))
			if err != nil {
				return fmt.Errorf("at %d Hz: %w", hz, err)
			}
			own := r.own["three"] + r.own["four"]
			text, off := "none", ""
			if n := r.of(); n > 0 {
				share := float64(r.samples["three"]) / float64(n)
				text, off = fmt.Sprintf("%.1f", 100*share), fmt.Sprintf("%+.1f", deviation(share, n, r.own["three"]/own))
			}
			due := int64(d.Seconds() * float64(hz))
			row(strconv.Itoa(hz), strconv.Itoa(run+1),
				fmt.Sprintf("%.1f", 100*r.own["three"]/own), text, off,
				fmt.Sprintf("%.2f", own), fmt.Sprintf("%.2f", r.cpu), fmt.Sprintf("%+.1f", deviation(r.cpu/d.Seconds(), due, own/d.Seconds())))
		}
	}
	return nil
}
