// Package cpu samples what runs on each CPU at regular intervals.
package cpu

import "github.com/cilium/ebpf"

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 cpu cpu.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../include
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 timer timer.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../include

// Spec returns the object of the sampling program, "sample_cpu".
func Spec() (*ebpf.CollectionSpec, error) { return loadCpu() }

// TimerSpec returns the object of the program that counts how often the
// sampling timer fired, "timer_fired".
func TimerSpec() (*ebpf.CollectionSpec, error) { return loadTimer() }
