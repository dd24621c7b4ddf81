package main

import (
	"math"
	"testing"
)

func TestCounted(t *testing.T) {
	c := counted(`level=INFO msg=counted staccato.bpf.map.size=16384000 staccato.runs=970 "staccato.samples.lost{not sampled}"=20 "staccato.samples.lost{table full}"=3 staccato.timer.late=10` + "\n")
	if len(c) != 5 || c["staccato.runs"] != 970 {
		t.Errorf("counters are %v", c)
	}
	if got := achieved(c); got != 97 {
		t.Errorf("achieved %v %%, want 97", got)
	}
	if got := lost(c); got != "20 not sampled, 3 table full" {
		t.Errorf("lost %q", got)
	}
	if got := lost(map[string]int64{"staccato.runs": 1}); got != "0" {
		t.Errorf("nothing lost is %q", got)
	}
}

// Of 100 samples with probability one half, σ is 5.
func TestDeviations(t *testing.T) {
	var d deviations
	for _, run := range []struct {
		hits   int64
		within bool
	}{{60, true}, {61, false}, {50, true}, {39, false}} {
		if got := d.add(run.hits, 100, 0.5); got != run.within {
			t.Errorf("%d hits: within 2σ is %v", run.hits, got)
		}
	}
	// 2, 2.2, 0 and −2.2 σ.
	if d.within != 2 || math.Abs(d.mean()-0.5) > 1e-9 || math.Abs(d.spread()-math.Sqrt((1.5*1.5+1.7*1.7+0.5*0.5+2.7*2.7)/3)) > 1e-9 {
		t.Errorf("%d within, mean %v, spread %v", d.within, d.mean(), d.spread())
	}
}
