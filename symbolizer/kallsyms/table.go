// Package kallsyms names kernel addresses by /proc/kallsyms, which lists the
// symbols of the kernel, its modules and BPF programs, one a line:
//
//	ffffffff81000000 T _stext
//	ffffffffc0000000 t bpf_prog_6deef7357e7b4530_sd_fw_egress	[bpf]
//
// The kernel writes it in kernel/kallsyms.c.
package kallsyms

import (
	"bytes"
	"sort"

	"github.com/staccato-profiler/staccato"
)

// Table holds the functions of a kernel at the time it was read. It is safe
// for concurrent use.
type Table struct {
	starts  []uint64 // in order
	extras  []extra  // of the function at the same index
	names   []byte   // each ends with a zero byte
	modules []string // modules[0] is "", the kernel itself
}

type extra struct {
	size   uint32
	name   uint32 // offset in Table.names
	module uint16 // index in Table.modules
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
	i := sort.Search(len(t.starts), func(i int) bool { return t.starts[i] > address }) - 1
	if i < 0 || address-t.starts[i] >= uint64(t.extras[i].size) {
		return Symbol{}, false
	}
	e := t.extras[i]
	name := t.names[e.name:]
	return Symbol{string(name[:bytes.IndexByte(name, 0)]), t.modules[e.module], t.starts[i]}, true
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
func (t *Table) Size() int64 {
	return int64(cap(t.starts))*8 + int64(cap(t.extras))*12 + int64(cap(t.names))
}

// Len returns the number of addresses that have a name.
func (t *Table) Len() int { return len(t.starts) }
