// Package procevent holds the programs that tell user space when processes are
// born, call exec, and die.
package procevent

import "github.com/cilium/ebpf"

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 procevent procevent.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../include

// Spec returns the object; all its programs are of type tp_btf.
func Spec() (*ebpf.CollectionSpec, error) { return loadProcevent() }
