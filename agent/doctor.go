package agent

import (
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// Examine loads and attaches every program for a moment, and reports what the
// kernel says and what this host lacks.
func Examine() (*bpf.Report, error) {
	return bpf.Check(bpf.Config{Frequency: defaultFrequency, Unwinders: unwinders(&native.Unwinder{}, nil)})
}

// Limits says what profiles will lack for want of capabilities that sampling
// itself does not need: a line for each.
func Limits() ([]string, error) { return bpf.Limits() }
