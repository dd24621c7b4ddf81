package bpf

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

func TestCost(t *testing.T) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	for name, cfg := range map[string]Config{"all": {}, "nokernel": {NoKernel: true}, "nouser": {NoUser: true}, "none": {NoUser: true, NoKernel: true}} {
		cfg.Frequency = 4999
		s := newSampler(t, cfg)
		s.Start()
		spin(1500 * time.Millisecond)
		s.Stop()
		w, err := s.Read(nobody{}, &staccato.Mapping{Path: staccato.KernelPath}, nil)
		if err != nil {
			t.Fatal(err)
		}
		info, _ := s.program(progSample).Stats()
		k, u, n, words := 0, 0, 0, 0
		for _, sm := range w.Samples {
			n += int(sm.Count)
			words += len(sm.Stack) * int(sm.Count)
			if len(sm.Stack) > 0 && sm.Stack[0].Kind == staccato.KindKernel {
				k += int(sm.Count)
			} else {
				u += int(sm.Count)
			}
		}
		t.Logf("%s: %v per run; %d kernel %d user samples, %.1f frames, %d stacks, %+v", name, info.Runtime/time.Duration(info.RunCount), k, u, float64(words)/float64(n), len(w.Samples), w.Tally)
		s.Close()
	}
}
