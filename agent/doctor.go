package agent

import "github.com/staccato-profiler/staccato/bpf"

// Examine loads and attaches every program for a moment, and reports what the
// kernel says and what this host lacks.
func Examine() (*bpf.Report, error) {
	return bpf.Check(bpf.Config{Frequency: defaultFrequency, Unwinders: unwinders()})
}
