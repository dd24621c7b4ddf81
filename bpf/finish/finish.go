// Package finish holds the program that ends every sample: it counts the
// sample's stack in the stack-trace table.
package finish

import "github.com/cilium/ebpf"

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 finish finish.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../include

// Spec returns the object; its program is "finish".
func Spec() (*ebpf.CollectionSpec, error) { return loadFinish() }
