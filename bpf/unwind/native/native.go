// Package native unwinds native code in the kernel: by frame pointers.
package native

import "github.com/cilium/ebpf"

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 native native.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../include

// Unwinder is the native unwinder, bpf.Unwinder of slot 0.
type Unwinder struct{}

// Name is the name of the unwinder and of its folder.
func (Unwinder) Name() string { return "native" }

// Spec returns the object; its program is "unwind_native".
func (Unwinder) Spec() (*ebpf.CollectionSpec, error) { return loadNative() }

// Program is the name of the program that goes into the unwinder's slot.
func (Unwinder) Program() string { return "unwind_native" }
