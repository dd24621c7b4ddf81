// Package elfsym names addresses by the symbol tables of an ELF file, .symtab
// and .dynsym (System V ABI, chapter 4, "Symbol Table").
//
// Symbols do not nest in a table: where functions overlap, the one that starts
// last owns the bytes. A symbol without a size reaches to the next one, unless
// other functions may lie between: in a stripped file, as far as .eh_frame says
// that its function goes, and no more than its first byte where that says
// nothing.
//
// Stubs of the procedure linkage table have the name of the function that they
// lead to, as in "malloc@plt": by their code, and by the relocation of what it
// jumps to.
package elfsym

import (
	"bytes"
	"errors"
	"sort"

	"github.com/staccato-profiler/staccato"
)

// ErrNoSymbols says that a file names no function.
var ErrNoSymbols = errors.New("no symbols")

// Table holds the function symbols of one file, and nothing of the file
// itself. It is safe for concurrent use.
type Table struct {
	ranges []symbolRange // by address, not overlapping
	names  []byte        // each ends with a zero byte
}

// symbolRange is 16 bytes, so that a table of 100,000 functions is 1.6 MB.
type symbolRange struct {
	start uint64
	size  uint32
	name  uint32 // offset in Table.names
}

// Resolve returns the function that the ELF address lies in, as one line
// without a file. The name is the linker's, without a symbol version.
func (t *Table) Resolve(address uint64) ([]staccato.Line, bool) {
	i := sort.Search(len(t.ranges), func(i int) bool { return t.ranges[i].start > address }) - 1
	if i < 0 || address-t.ranges[i].start >= uint64(t.ranges[i].size) {
		return nil, false
	}
	name := t.names[t.ranges[i].name:]
	text := string(name[:bytes.IndexByte(name, 0)])
	return []staccato.Line{{Function: &staccato.Function{Name: text, SystemName: text}}}, true
}

// At returns the name of the function that begins at the ELF address.
func (t *Table) At(address uint64) (string, bool) {
	i := sort.Search(len(t.ranges), func(i int) bool { return t.ranges[i].start >= address })
	if i == len(t.ranges) || t.ranges[i].start != address {
		return "", false
	}
	name := t.names[t.ranges[i].name:]
	return string(name[:bytes.IndexByte(name, 0)]), true
}

// Size returns the bytes of memory that the table occupies.
func (t *Table) Size() int64 {
	return int64(cap(t.ranges))*16 + int64(cap(t.names))
}

// Len returns the number of address ranges that have a name.
func (t *Table) Len() int { return len(t.ranges) }

// Each calls f with the ranges that have a name, in order of address. The name
// is valid during the call only.
func (t *Table) Each(f func(start, limit uint64, name []byte)) {
	for _, r := range t.ranges {
		name := t.names[r.name:]
		f(r.start, r.start+uint64(r.size), name[:bytes.IndexByte(name, 0)])
	}
}
