// Package sideband reads the records that the kernel writes about processes
// beside its samples: files mapped executable, command names, and symbols of
// code that the kernel makes at run time (BPF programs, trampolines).
//
// They come from a software event that never counts anything, one per CPU,
// whose only purpose is its ring of records. A [Reader] owns these events and
// [Reader.Drain] hands over what has been written, in order of time. Times are
// those of CLOCK_MONOTONIC in nanoseconds, the same clock that BPF programs
// read with bpf_ktime_get_ns.
package sideband
