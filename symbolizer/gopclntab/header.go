package gopclntab

import (
	"encoding/binary"
	"errors"
)

// Magic numbers that start the table, by the first Go release that wrote them
// (internal/abi, PCLnTabMagic).
const (
	magic116 = 0xfffffffa
	magic118 = 0xfffffff0
	magic120 = 0xfffffff1
)

// layout is what differs between releases of Go.
type layout struct {
	headerWords int // before the offsets of the parts
	// functionSize is the size of a function's record without the arrays that
	// follow it: runtime._func.
	functionSize int
	startLine    int // offset in the record of the first line, 0 when it has none
	// pointers says that code and data are referred to by address and not by
	// an offset.
	pointers bool
	call     callLayout
}

// callLayout describes an inlined call: runtime.inlinedCall.
type callLayout struct {
	size, name, parent int
	startLine          int // 0 when it has none
}

// Sizes that are enough for every layout.
const (
	maxFunctionSize = 44
	maxCallSize     = 20
)

func layoutOf(magic uint32) (layout, bool) {
	old := callLayout{size: 20, name: 12, parent: 16}
	switch magic {
	case magic116:
		return layout{headerWords: 2, functionSize: 44, pointers: true, call: old}, true
	case magic118:
		return layout{headerWords: 3, functionSize: 40, call: old}, true
	case magic120:
		return layout{headerWords: 3, functionSize: 44, startLine: 36, call: callLayout{size: 16, name: 4, parent: 8, startLine: 12}}, true
	}
	return layout{}, false
}

// header is the start of the table: runtime.pcHeader. The parts are offsets
// from its first byte.
type header struct {
	layout
	quantum                            uint64 // smallest size of an instruction
	functions                          uint64
	names, units, files, values, table uint64
}

// headerSize is enough for every layout.
const headerSize = 8 + 8*8

var errHeader = errors.New("not a Go line table")

// parseHeader reads the header of a table of size bytes and checks that its
// parts lie inside, in the order the linker writes them.
func parseHeader(b []byte, size uint64) (header, error) {
	le := binary.LittleEndian
	if len(b) < headerSize {
		return header{}, errHeader
	}
	l, ok := layoutOf(le.Uint32(b))
	if !ok {
		return header{}, errHeader
	}
	if b[4] != 0 || b[5] != 0 || b[7] != 8 {
		return header{}, errHeader
	}
	h := header{layout: l, quantum: uint64(b[6]), functions: le.Uint64(b[8:])}
	if h.quantum != 1 && h.quantum != 2 && h.quantum != 4 {
		return header{}, errHeader
	}
	part := func(i int) uint64 { return le.Uint64(b[8+8*(l.headerWords+i):]) }
	h.names, h.units, h.files, h.values, h.table = part(0), part(1), part(2), part(3), part(4)
	inOrder := h.names <= h.units && h.units <= h.files && h.files <= h.values && h.values <= h.table && h.table < size
	if !inOrder || h.functions == 0 || h.functions >= size {
		return header{}, errHeader
	}
	if h.table+(2*h.functions+1)*h.entrySize() > size {
		return header{}, errHeader
	}
	return h, nil
}

// entrySize is the size in bytes of each of the two numbers, entry address and
// offset of the record, that the function table has per function.
func (h *header) entrySize() uint64 {
	if h.pointers {
		return 8
	}
	return 4
}
