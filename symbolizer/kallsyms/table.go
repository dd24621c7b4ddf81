// Package kallsyms names kernel addresses by /proc/kallsyms, which lists the
// symbols of the kernel, its modules and BPF programs, one a line:
//
//	ffffffff81000000 T _stext
//	ffffffffc0000000 t bpf_prog_6deef7357e7b4530_sd_fw_egress	[bpf]
//
// The kernel writes it in kernel/kallsyms.c.
package kallsyms

import (
	"sort"

	"github.com/staccato-profiler/staccato"
)

// Table holds the functions of a kernel at the time it was read. It is safe
// for concurrent use.
type Table struct {
	blocks  []block
	data    []byte   // of all blocks, see pack
	modules []string // modules[0] is "", the kernel itself
	count   int
}

// Symbol is a function of the kernel.
type Symbol struct {
	Name string
	// Module is the kernel module the function belongs to, "bpf" for BPF
	// programs, "" for the kernel itself.
	Module string
	Start  uint64
}

// Lookup returns the function that the address lies in.
func (t *Table) Lookup(address uint64) (Symbol, bool) {
	i := sort.Search(len(t.blocks), func(i int) bool { return t.blocks[i].start > address }) - 1
	if i < 0 {
		return Symbol{}, false
	}
	u := t.unpack(i)
	for u.next(); u.start <= address && !u.holds(address) && u.more(); u.next() {
	}
	if !u.holds(address) {
		return Symbol{}, false
	}
	return Symbol{string(u.name), t.modules[u.module], u.start}, true
}

// Resolve returns the function that the address lies in, as one line without a
// file.
func (t *Table) Resolve(address uint64) ([]staccato.Line, bool) {
	s, ok := t.Lookup(address)
	if !ok {
		return nil, false
	}
	return []staccato.Line{{Function: &staccato.Function{Name: s.Name, SystemName: s.Name}}}, true
}

// Size returns the bytes of memory that the table occupies.
func (t *Table) Size() int64 { return int64(cap(t.blocks))*16 + int64(cap(t.data)) }

// Len returns the number of addresses that have a name.
func (t *Table) Len() int { return t.count }
