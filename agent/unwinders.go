package agent

import (
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// unwinders lists the unwinders; the native one must be the first.
func unwinders() []bpf.Unwinder {
	return []bpf.Unwinder{native.Unwinder{}}
}
