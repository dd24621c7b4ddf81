package kallsyms

import (
	"encoding/binary"
	"slices"
)

// A kernel has a hundred thousand functions, of which few are ever asked for: so
// they are kept in blocks of some, each function as the difference to the one
// before it. That is, in varints:
//
//	address, as the difference; in the first of a block 0
//	twice the size, plus 1 if the module follows
//	module, if it is another; in the first of a block always
//	how many bytes the name has in common with the end of the last name
//	how many bytes come before these, and the bytes
//
// Size 0 is up to the next function, which the block's last never has. Names are
// often the same but for a prefix: compilers put "__pfx_f" before f.

const blockFunctions = 64

type block struct {
	start uint64 // address of the first function
	at    int    // in the data
}

// packer makes the blocks of functions in order of address.
type packer struct {
	table   *Table
	name    []byte // of the last function
	start   uint64
	module  uint16
	pending bool // the last function's size is not written yet
	size    uint64
	rest    []byte // of the last function, behind its size
}

// add adds a function that extends over size bytes.
func (p *packer) add(start, size uint64, name []byte, module uint16) {
	t := p.table
	first := t.count%blockFunctions == 0
	p.flush(start, first)
	if first {
		t.blocks = append(t.blocks, block{start, len(t.data)})
		p.start, p.name = start, p.name[:0]
	}
	t.data = binary.AppendUvarint(t.data, start-p.start)
	p.rest = p.rest[:0]
	p.pending, p.size = true, size<<1
	if first || module != p.module {
		p.size |= 1
		p.rest = binary.AppendUvarint(p.rest, uint64(module))
	}
	same := 0
	for same < min(len(name), len(p.name)) && name[len(name)-1-same] == p.name[len(p.name)-1-same] {
		same++
	}
	p.rest = binary.AppendUvarint(p.rest, uint64(same))
	p.rest = binary.AppendUvarint(p.rest, uint64(len(name)-same))
	p.rest = append(p.rest, name[:len(name)-same]...)
	p.start, p.module, p.name = start, module, append(p.name[:0], name...)
	t.count++
}

// flush writes the last function to its end; next is the address of the one after
// it, which may begin another block.
func (p *packer) flush(next uint64, block bool) {
	if !p.pending {
		return
	}
	if !block && p.size>>1 == next-p.start {
		p.size &= 1
	}
	t := p.table
	t.data = append(binary.AppendUvarint(t.data, p.size), p.rest...)
	p.pending = false
}

// finish ends the table.
func (p *packer) finish() {
	p.flush(0, true)
	p.table.data, p.table.blocks = slices.Clone(p.table.data), slices.Clone(p.table.blocks)
}

// unpacker goes through the functions of a block.
type unpacker struct {
	data        []byte
	name        []byte
	spare       []byte
	start, size uint64
	module      uint16
}

func (t *Table) unpack(i int) *unpacker {
	limit := len(t.data)
	if i+1 < len(t.blocks) {
		limit = t.blocks[i+1].at
	}
	return &unpacker{data: t.data[t.blocks[i].at:limit], start: t.blocks[i].start}
}

// more reports whether there are functions left.
func (u *unpacker) more() bool { return len(u.data) > 0 }

func (u *unpacker) number() uint64 {
	v, n := binary.Uvarint(u.data)
	u.data = u.data[n:]
	return v
}

// next goes to the next function; there must be one.
func (u *unpacker) next() {
	u.start += u.number()
	size := u.number()
	if size&1 != 0 {
		u.module = uint16(u.number())
	}
	same := int(u.number())
	before := int(u.number())
	name := append(u.spare[:0], u.data[:before]...)
	name = append(name, u.name[len(u.name)-same:]...)
	u.name, u.spare = name, u.name
	u.data = u.data[before:]
	if u.size = size >> 1; u.size == 0 {
		u.size, _ = binary.Uvarint(u.data) // the difference that comes first
	}
}

// holds says whether an address is in the function, which may reach to the end of all.
func (u *unpacker) holds(address uint64) bool { return address-u.start < u.size }
