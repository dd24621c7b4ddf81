// Package native unwinds native code in the kernel: by tables made of call
// frame information, and by frame pointers where there is none.
package native

import "github.com/cilium/ebpf"

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -type table -type rule_kind -type rule_register -type rule_saved native native.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../include

// Unwinder is the native unwinder, bpf.Unwinder of slot 0.
type Unwinder struct {
	// MemoryLimit bounds the unwind tables, in bytes; default 64 MiB. They take
	// 4 MiB at a time, as they are needed.
	MemoryLimit int64
	// Store holds the tables; nil before the object is loaded.
	Store *Store
}

// Name is the name of the unwinder and of its folder.
func (*Unwinder) Name() string { return "native" }

// Spec returns the object; its program is "unwind_native".
func (*Unwinder) Spec() (*ebpf.CollectionSpec, error) { return loadNative() }

// Program is the name of the program that goes into the unwinder's slot.
func (*Unwinder) Program() string { return "unwind_native" }

// Open takes the maps of the loaded object.
func (u *Unwinder) Open(maps map[string]*ebpf.Map) (err error) {
	limit := u.MemoryLimit
	if limit == 0 {
		limit = 64 << 20
	}
	u.Store, err = newStore(maps, limit)
	return err
}

// GraceOver implements bpf.TableUnwinder.
func (u *Unwinder) GraceOver(window uint32) { u.Store.GraceOver(window) }

// Close gives up the tables.
func (u *Unwinder) Close() {
	if u.Store != nil {
		u.Store.close()
	}
}
