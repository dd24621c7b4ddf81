package bpf

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/without"
)

// nobody is a Normalizer that knows nothing.
type nobody struct{}

func (nobody) Process(pid uint32, generation uint64, comm string) *staccato.Process {
	return &staccato.Process{PID: int(pid), Generation: generation, Name: comm}
}
func (nobody) Chunk(_, _ uint32) (*staccato.Mapping, uint64, bool) { return nil, 0, false }
func (nobody) Address(_ uint32, _, _ uint64) (*staccato.Mapping, uint64, Where) {
	return nil, 0, Unknown
}

func (nobody) Unwind(_ uint32, _ uint64, s *UserStack) ([]UserFrame, string) {
	return []UserFrame{{Address: s.PC}}, "unknown"
}

func newSampler(t *testing.T, cfg Config) *Sampler {
	t.Helper()
	if len(cfg.Unwinders) == 0 {
		cfg.Unwinders = []Unwinder{&native.Unwinder{}}
	}
	s, err := Load(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Attach(); err != nil {
		t.Fatal(err)
	}
	return s
}

func spin(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
	}
}

func TestEveryRunIsAccountedFor(t *testing.T) {
	everyRunIsAccountedFor(t)
}

// The same without single features, as on older kernels and other machines.
func TestWithout(t *testing.T) {
	for _, features := range append(slices.Clone(without.All), strings.Join(without.All, ",")) {
		t.Run(features, func(t *testing.T) {
			t.Setenv(without.Variable, features)
			everyRunIsAccountedFor(t)
		})
	}
}

// everyRunIsAccountedFor compares what is read with the kernel's own count.
func everyRunIsAccountedFor(t *testing.T) {
	stats, err := ebpf.EnableStats(uint32(unix.BPF_STATS_RUN_TIME))
	if err != nil {
		t.Fatal(err)
	}
	defer stats.Close()
	s := newSampler(t, Config{Frequency: 997})
	defer s.Close()
	for feature, used := range map[string]bool{
		without.PerfLink: s.events[0].link != nil,
		without.Cycles:   s.eventKind == kindCycles,
		without.Timer:    s.useTimer,
	} {
		if used && without.Set(feature) {
			t.Errorf("%s is used", feature)
		}
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	var total, entries int64
	for i := range 5 {
		spin(200 * time.Millisecond)
		if i == 4 {
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		w, err := s.Read(nobody{}, &staccato.Mapping{Path: staccato.KernelPath}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Tally.check(); err != nil {
			t.Error(err)
		}
		entries += int64(w.Tally.Entries)
		for _, sample := range w.Samples {
			total += sample.Count
		}
		total += int64(w.Tally.Idle) - int64(w.Tally.Lost[LostNotSampled])
		t.Logf("%d samples, tally %+v", len(w.Samples), w.Tally)
	}
	if used := s.grace.outer != nil; used != without.Set(without.Barrier) {
		t.Errorf("maps used to wait for programs: %v", used)
	}
	info, err := s.program(progSample).Stats()
	if err != nil {
		t.Fatal(err)
	}
	if total != entries || uint64(total) != info.RunCount {
		t.Errorf("%d samples, %d entries, %d runs", total, entries, info.RunCount)
	}
	// About 1,000 are due; virtual machines without hardware help reach less.
	if total < 100 {
		t.Errorf("%d samples in one busy second at 997 Hz", total)
	}
	t.Logf("%s, %v per run, recursion misses %d", s.eventKind, info.Runtime/time.Duration(info.RunCount), info.RecursionMisses)
}
