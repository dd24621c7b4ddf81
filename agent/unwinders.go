package agent

import (
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// unwinders lists the unwinders; the native one must be the first, but for one of
// tests that goes on to it.
func unwinders(n *native.Unwinder, before bpf.Unwinder) []bpf.Unwinder {
	if before != nil {
		return []bpf.Unwinder{before, n}
	}
	return []bpf.Unwinder{n}
}
