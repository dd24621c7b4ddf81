// Package staccato holds the vocabulary that every stage of the profiler
// shares: a [Sample] is a stack of one thread and how often it was seen, a
// [Frame] is one entry of that stack, a [Mapping] is the executable a frame
// lies in. The package imports only the standard library and does nothing by
// itself.
//
// A sample travels like this:
//
//	perf event → bpf (kernel) → bpf.Reader → []Sample
//	           → symbolizer fills Frame.Lines in place
//	           → agent merges samples into a *profile.Profile
//	           → exporter/{pprof,folded,html,directory,otlp}
//
// Imports run staccato ← {bpf, symbolizer, exporter} ← agent ← cmd/staccato;
// the three stages never import each other.
package staccato
