package bpf

import (
	"math/rand/v2"
	"testing"

	"github.com/staccato-profiler/staccato"
)

// known is a Normalizer whose processes and chunks are all known, as those of a
// running profiler mostly are.
type known struct {
	nobody
	processes []staccato.Process // by PID
	chunk     staccato.Mapping
}

func (k *known) Process(pid uint32, _ uint64, _ string) *staccato.Process { return &k.processes[pid] }
func (k *known) Chunk(_, offset uint32) (*staccato.Mapping, uint64, bool) {
	return &k.chunk, uint64(offset), true
}

// BenchmarkRead decodes a bank as it is after 5 s at 999 Hz on a few CPUs: of
// its 16,384 entries 4,000 are stacks of 26 frames, in 50 processes. Every
// fourth begins in the kernel. 6,000 frames are distinct.
func BenchmarkRead(b *testing.B) {
	const size, stacks, depth, kernel, distinct = 16384, 4000, 26, 6, 6000
	random := rand.New(rand.NewPCG(1, 2))
	full := make([]layoutTrace, 2*size)
	log := make([]uint64, logSlabWords)
	bank := &banks{
		tableSize: size, slabs: 1, traces: make([]layoutTrace, 2*size), cursors: make([]layoutLogCursor, 2),
		log: func(_, n int) ([]uint64, error) { return log[:n:n], nil },
	}
	for i, slot := range random.Perm(size)[:stacks] {
		t := layoutTrace{
			HashLo: random.Uint64() | 1, HashHi: random.Uint64(), Generation: 1, Count: 1 + random.Uint64N(5),
			Pid: uint32(i % 50), Comm: [16]int8{'w', 'o', 'r', 'k'}, ThreadComm: [16]int8{'w', 'o', 'r', 'k', 'e', 'r'},
			Offset: uint32(i * depth), N_user: depth,
		}
		if i%4 == 0 {
			t.N_kernel, t.N_user = kernel, depth-kernel
		}
		for j := range depth {
			word := uint64(layoutWordKindWORD_CHUNK)<<kindShift | uint64(layoutWordFlagFLAG_RETURN)<<flagShift
			if j < int(t.N_kernel) {
				word = 0xffffffff81000000
			}
			log[int(t.Offset)+j] = word | random.Uint64N(distinct)<<4
		}
		full[slot] = t
	}
	n := &known{processes: make([]staccato.Process, 50), chunk: staccato.Mapping{Path: "/usr/bin/worker"}}
	mapping := &staccato.Mapping{Path: staccato.KernelPath}
	var memory stackMemory

	b.ReportAllocs()
	for b.Loop() {
		copy(bank.traces, full) // reading empties the bank
		bank.cursors[0].Next = stacks * depth
		var w Window
		d := newDecoder(n, mapping, &memory)
		if err := bank.read(0, d, &w); err != nil {
			b.Fatal(err)
		}
		if len(w.Samples) != stacks || len(w.Samples[0].Stack) != depth {
			b.Fatalf("%d samples, the first of %d frames", len(w.Samples), len(w.Samples[0].Stack))
		}
		memory.give(d.pieces)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*stacks), "ns/stack")
}
