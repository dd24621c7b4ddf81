package bpf

import "testing"

func TestClockPeriod(t *testing.T) {
	for frequency, want := range map[int]uint64{
		1: 1_016_000_000, 19: 52_631_578, 20: 50_800_000, 97: 10_309_278, 99: 10_101_010, 100: 10_160_000,
		999: 1_001_001, 1000: 1_016_000, 4999: 200_040, 5000: 203_200, 9999: 100_010, 10000: 101_600,
	} {
		if got := clockPeriod(frequency); got != want {
			t.Errorf("%d Hz: %d ns, want %d", frequency, got, want)
		}
	}
}
