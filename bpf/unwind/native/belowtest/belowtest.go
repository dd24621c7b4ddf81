// Package belowtest keeps, for tests, what samples had below their stack pointer.
package belowtest

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target amd64,arm64 -type below belowtest belowtest.bpf.c -- -O2 -mcpu=v3 -Wall -Werror -I../../../include

// Below is what a sample had below its stack pointer.
type Below struct {
	CPU    int
	PC, SP uint64
	Words  []uint64 // the last ends at SP; none: they could not be read
}

// Keeper implements bpf.TableUnwinder, but walks nothing. It must be the first; the
// native one is the second.
type Keeper struct {
	count  *ebpf.Map
	memory []byte
	belows []belowtestBelow
	read   uint32
}

// Name is the name of the folder.
func (*Keeper) Name() string { return "belowtest" }

// Spec returns the object; its program is "keep_below".
func (*Keeper) Spec() (*ebpf.CollectionSpec, error) { return loadBelowtest() }

// Program is the name of the program that goes into the unwinder's slot.
func (*Keeper) Program() string { return "keep_below" }

// Open takes the maps of the loaded object.
func (k *Keeper) Open(maps map[string]*ebpf.Map) error {
	belows := maps["belows"]
	k.count = maps["n_belows"]
	n := int(belows.MaxEntries())
	page := unix.Getpagesize()
	var err error
	k.memory, err = unix.Mmap(belows.FD(), 0, (n*int(unsafe.Sizeof(belowtestBelow{}))+page-1)&^(page-1), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map what lies below stack pointers: %w", err)
	}
	k.belows = unsafe.Slice((*belowtestBelow)(unsafe.Pointer(&k.memory[0])), n)
	return nil
}

// Read returns what was kept since it was last called, in order on each CPU. Nothing
// may be sampled at that time.
func (k *Keeper) Read() ([]Below, error) {
	var n uint32
	if err := k.count.Lookup(uint32(0), &n); err != nil {
		return nil, fmt.Errorf("count what was kept: %w", err)
	}
	if int(n) > len(k.belows) {
		return nil, fmt.Errorf("%d samples, of which %d were kept", n, len(k.belows))
	}
	var all []Below
	for ; k.read < n; k.read++ {
		b := &k.belows[k.read]
		all = append(all, Below{CPU: int(b.Cpu), PC: b.Pc, SP: b.Sp, Words: append([]uint64(nil), b.Words[:b.N_words]...)})
	}
	return all, nil
}

// GraceOver does nothing: no memory is used twice.
func (*Keeper) GraceOver(uint32) {}

// Close gives up the memory.
func (k *Keeper) Close() {
	if k.memory != nil {
		_ = unix.Munmap(k.memory)
	}
}
