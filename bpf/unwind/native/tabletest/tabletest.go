// Package tabletest holds a program with which tests look up unwind rules as the
// unwinder does.
package tabletest

import "github.com/cilium/ebpf"

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -type found tabletest tabletest.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../../include

// Spec returns the object; its program is "look_up".
func Spec() (*ebpf.CollectionSpec, error) { return loadTabletest() }

// Results of a lookup, enum found of include/table.h.
const (
	Found        = uint32(tabletestFoundFOUND)
	FoundNothing = uint32(tabletestFoundFOUND_NOTHING)
	FoundNoTable = uint32(tabletestFoundFOUND_NO_TABLE)
)
