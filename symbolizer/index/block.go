package index

import (
	"encoding/binary"
	"math/bits"
)

// The entries of a block are taken apart by what they say, so that one is found
// without reading all that the others say:
//
//	steps    15 bytes: from the address of each entry to that of the next, 0 where
//	         there is none
//	masks    4 numbers of 2 bytes: which entries (a bit each, the lowest is the
//	         first) have another node, file, line and column than the one before
//	sizes    2 bytes: of nodes and files
//	columns  a byte each
//	nodes    varints: the difference, sign in the lowest bit
//	files    the same
//	lines    the same
//	large    4 bytes each, the first is the last in the block: steps and then
//	         columns, where their byte says that they are large
//
// Before the first entry all is 0.
const (
	blockEntries = 16
	atMasks      = blockEntries - 1
	atSizes      = atMasks + 2*masks
	atColumns    = atSizes + 2

	large = 0xff // and what is more
)

// The masks of a block.
const (
	newNode = iota
	newFile
	newLine
	newColumn
	masks
)

// appendBlock appends up to blockEntries entries.
func appendBlock(out []byte, entries []entry) []byte {
	var header [atColumns]byte
	var mask [masks]uint16
	var columns, numbers, larger []byte
	var before entry
	for i, e := range entries[1:] {
		step := e.start - entries[i].start
		header[i] = byte(min(step, large))
		if step >= large {
			larger = binary.BigEndian.AppendUint32(larger, step)
		}
	}
	for i, e := range entries {
		if e.column != before.column {
			mask[newColumn] |= 1 << i
			columns = append(columns, byte(min(e.column, large)))
			if e.column >= large {
				larger = binary.BigEndian.AppendUint32(larger, e.column)
			}
		}
		before = e
	}
	for which, of := range []func(entry) uint32{
		newNode: func(e entry) uint32 { return e.node },
		newFile: func(e entry) uint32 { return e.file },
		newLine: func(e entry) uint32 { return e.line },
	} {
		size, was := len(numbers), uint32(0)
		for i, e := range entries {
			if d := of(e) - was; d != 0 {
				mask[which] |= 1 << i
				numbers = binary.AppendUvarint(numbers, uint64(d<<1^-(d>>31)))
			}
			was = of(e)
		}
		if which != newLine {
			header[atSizes+which] = byte(len(numbers) - size)
		}
	}
	for i, m := range mask {
		binary.LittleEndian.PutUint16(header[atMasks+2*i:], m)
	}
	out = append(out, header[:]...)
	out = append(out, columns...)
	out = append(out, numbers...)
	for i := range larger {
		out = append(out, larger[len(larger)-1-i]) // so they are little-endian
	}
	return out
}

// findEntry finds the entry of a block that lies at most distance beyond the
// first.
func findEntry(block []byte, distance uint32) (e entry, ok bool) {
	if len(block) < atColumns {
		return entry{}, false
	}
	i, larger := 0, 0
	for _, b := range block[:atMasks] {
		step := uint32(b)
		if b == large {
			larger++
			if step, ok = largeNumber(block, larger); !ok {
				return entry{}, false
			}
		}
		if step > distance {
			break
		}
		distance -= step
		i++
	}
	all := binary.LittleEndian.Uint64(block[atMasks:])
	upTo := all & ((1<<(i+1) - 1) * 0x0001_0001_0001_0001) // of the entries that count
	nodes := atColumns + bits.OnesCount16(uint16(all>>(16*newColumn)))
	files := nodes + int(block[atSizes+newNode])
	lines := files + int(block[atSizes+newFile])
	if lines > len(block) {
		return entry{}, false
	}
	if n := bits.OnesCount16(uint16(upTo >> (16 * newColumn))); n > 0 {
		at := atColumns + n - 1
		e.column = uint32(block[at])
		if e.column == large {
			if e.column, ok = largeColumn(block, at); !ok {
				return entry{}, false
			}
		}
	}
	end := 0
	e.node, end = sum(block[nodes:], bits.OnesCount16(uint16(upTo>>(16*newNode))))
	if end > files-nodes {
		return entry{}, false
	}
	e.file, end = sum(block[files:], bits.OnesCount16(uint16(upTo>>(16*newFile))))
	if end > lines-files {
		return entry{}, false
	}
	e.line, end = sum(block[lines:], bits.OnesCount16(uint16(upTo>>(16*newLine))))
	return e, end <= len(block)-lines
}

// sum adds the first n numbers of a list, and returns where they end, beyond the list
// if it has not as many.
func sum(list []byte, n int) (total uint32, end int) {
	for ; n > 0; n-- {
		var v uint32
		if end < len(list) && list[end] < 0x80 {
			v = uint32(list[end])
			end++
		} else {
			v, end = longNumber(list, end)
		}
		total += signed(v)
	}
	return total, end
}

// largeNumber returns the i-th large number of a block, from 1.
func largeNumber(block []byte, i int) (uint32, bool) {
	if len(block) < atColumns+4*i {
		return 0, false
	}
	return binary.LittleEndian.Uint32(block[len(block)-4*i:]), true
}

// largeColumn returns the large column whose byte is at a place in a block.
func largeColumn(block []byte, at int) (uint32, bool) {
	i := 1
	for j, b := range block[:at] {
		if b == large && (j < atMasks || j >= atColumns) {
			i++
		}
	}
	return largeNumber(block, i)
}
