package agent

import (
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// unwinders lists the unwinders; the native one must be the first.
func unwinders(n *native.Unwinder) []bpf.Unwinder {
	return []bpf.Unwinder{n}
}
