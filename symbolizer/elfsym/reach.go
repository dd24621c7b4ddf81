package elfsym

import (
	"debug/elf"
	"encoding/binary"
	"math"
	"sort"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// stretch gives symbols without a size, which assembly has, the bytes up to the
// next symbol, as far as the file says that no other function is there. b.symbols
// are in order, and have distinct addresses.
//
// Where local functions were left out of the symbols, only .eh_frame tells
// where they begin and end, and code that is not in it stays with the first
// byte.
func (b *builder) stretch() {
	var frames *frames
	covered := uint64(0) // by functions with a size, which have labels in them
	for i := range b.symbols {
		s := &b.symbols[i]
		if s.size != 0 || s.start < covered {
			covered = max(covered, limitOf(*s))
			continue
		}
		if frames == nil {
			frames = readFrames(b.program)
		}
		limit := b.sectionLimit(s.start)
		if i+1 < len(b.symbols) {
			limit = min(limit, b.symbols[i+1].start)
		}
		end, next := frames.around(s.start)
		switch {
		case end > s.start:
			limit = min(limit, end)
		case b.whole:
			limit = min(limit, next)
		default:
			continue
		}
		s.size = max(limit, s.start) - s.start
	}
}

// sectionLimit is where the code around an address ends, or the address.
func (b *builder) sectionLimit(address uint64) uint64 {
	for i := range b.program.Sections {
		s := &b.program.Sections[i]
		if s.Flags&elf.SHF_EXECINSTR != 0 && address >= s.Addr && address-s.Addr < s.Size {
			return s.Addr + s.Size
		}
	}
	return address
}

// frames is what .eh_frame_hdr says of functions (Linux Standard Base Core,
// "Exception Frames"): where they begin, in order.
type frames struct {
	file    *elffile.File
	address uint64 // of .eh_frame_hdr
	table   []byte // per function where it begins, and where its entry in .eh_frame is
}

const (
	// maxFrames bounds the table, in bytes: of four million functions.
	maxFrames  = 32 << 20
	framesHead = 12
	frameSize  = 8
)

// readFrames reads the table as all linkers write it; what is written otherwise
// tells nothing.
func readFrames(f *elffile.File) *frames {
	none := &frames{}
	s := f.Section(".eh_frame_hdr")
	if s == nil {
		return none
	}
	data, err := f.Data(s, maxFrames)
	// Version 1, and the encodings of what follows: a pointer, the count of 4
	// bytes, and a table of numbers of 4 bytes, relative to its own begin.
	if err != nil || len(data) < framesHead || data[0] != 1 || data[2] != 0x03 || data[3] != 0x3b {
		return none
	}
	count := uint64(binary.LittleEndian.Uint32(data[8:]))
	table := data[framesHead:]
	return &frames{f, s.Addr, table[:min(count*frameSize, uint64(len(table))/frameSize*frameSize)]}
}

// around returns where the function ends that an address lies in, 0 when it lies
// in none, and where the next one begins.
func (f *frames) around(address uint64) (end, next uint64) {
	at := func(i int) (start, entry uint64) {
		e := f.table[i*frameSize:]
		return f.address + uint64(int64(int32(binary.LittleEndian.Uint32(e)))), f.address + uint64(int64(int32(binary.LittleEndian.Uint32(e[4:]))))
	}
	n := len(f.table) / frameSize
	i := sort.Search(n, func(i int) bool { start, _ := at(i); return start > address })
	next = math.MaxUint64
	if i < n {
		next, _ = at(i)
	}
	if i == 0 {
		return 0, next
	}
	start, entry := at(i - 1)
	// Length, where its kind is described, begin relative to here, size. Others
	// tell no begin that is the one of the table.
	var fde [16]byte
	if err := f.file.ReadAddress(fde[:], entry); err != nil {
		return 0, next
	}
	le := binary.LittleEndian
	if begin := entry + 8 + uint64(int64(int32(le.Uint32(fde[8:])))); begin != start {
		return 0, next
	}
	if end = start + uint64(le.Uint32(fde[12:])); end <= address {
		return 0, next
	}
	return min(end, next), next
}
