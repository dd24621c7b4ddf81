package index

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"slices"

	"github.com/staccato-profiler/staccato"
)

// Index looks addresses up. It is not safe for concurrent use.
type Index struct {
	part               [parts][]byte
	missed, missedPath string

	base  uint64
	guide guide
	heap  int64 // bytes of the file that are in memory of our own
	close func() error
	style func(name string) string // what makes Name of SystemName; nil is nothing

	// Functions that were handed out: by number, with code from the file that
	// they are declared in; and by number and file, with code from others.
	known     []*staccato.Function
	elsewhere map[uint64]*staccato.Function
	room      []staccato.Function // for those to come
	paths     []string            // by number of the file; "" is not read yet
	strings   int64               // bytes of names and paths, and of functions themselves
}

// maxStrings is how many bytes functions that were handed out may take before
// they are forgotten.
const maxStrings = 4 << 20

// functionsAtOnce is for how many functions room is made at once.
const functionsAtOnce = 32

// Parse makes an index of a file's bytes, which it keeps.
func Parse(file []byte, key string) (*Index, error) {
	if err := checkHeader(file, key, int64(len(file))); err != nil {
		return nil, err
	}
	if crc32.Checksum(file[atSize:], castagnoli) != checksum(file) {
		return nil, errDamaged
	}
	x := newIndex(file)
	x.heap = int64(len(file))
	return x, nil
}

// newIndex makes an index of a file whose header was checked.
func newIndex(file []byte) *Index {
	le := binary.LittleEndian
	x := &Index{base: le.Uint64(file[atBase:]), elsewhere: make(map[uint64]*staccato.Function)}
	rest := file[headerSize:]
	for i := range x.part {
		size := le.Uint32(file[atParts+4*i:])
		x.part[i], rest = rest[:size:size], rest[size:]
	}
	x.guide = newGuide(x.part[blocks])
	x.missed, x.missedPath = x.text(le.Uint32(file[atMissed:])), x.text(le.Uint32(file[atPath:]))
	x.known = make([]*staccato.Function, len(x.part[functions])/functionSize)
	x.paths = make([]string, len(x.part[files])/fileEntrySize)
	return x
}

// Missed says in a few words what of the debugging information could not be read,
// "" when all was, and the path at which it was looked for and was not.
func (x *Index) Missed() (what, path string) { return x.missed, x.missedPath }

// Style has functions get the Name that style makes of the linker's, which they
// have otherwise. It is to be called before anything is looked up.
func (x *Index) Style(style func(linker string) string) { x.style = style }

// Close frees the index. It must not be used after that.
func (x *Index) Close() error {
	if x.close == nil {
		return nil
	}
	return x.close()
}

// Size returns the bytes of memory that the index occupies, without those that
// the kernel can take back: mapped files.
func (x *Index) Size() int64 {
	return x.heap + 4*int64(len(x.guide.first)) + 8*int64(len(x.known)) + 16*int64(len(x.paths)) + x.strings
}

// Resolve returns the function that the ELF address lies in and the calls
// inlined there, the innermost first. A function's start line is told when its
// file is that of the line.
//
// Files are checked before they are used, but what is in them is not trusted
// to make sense: then there may be no answer, or one that makes no sense
// either.
func (x *Index) Resolve(address uint64) ([]staccato.Line, bool) {
	e, ok := x.entry(address)
	if !ok {
		return nil, false
	}
	var room [16]staccato.Line
	lines, ok := x.lines(room[:0], e)
	if !ok {
		return nil, false
	}
	return slices.Clone(lines), true
}

// lines appends what an entry says.
func (x *Index) lines(lines []staccato.Line, e entry) ([]staccato.Line, bool) {
	file, line, column := e.file, e.line, e.column
	for node, depth := e.node, 0; ; depth++ {
		if node == 0 || uint64(node) > uint64(len(x.part[nodes])) || depth == maxDepth {
			return lines, false
		}
		data, at := x.part[nodes][node-1:], 0
		var function, up uint32 // up is how far back the caller is
		function, at = number(data, at)
		up, at = number(data, at)
		if at > len(data) || up >= node {
			return lines, false
		}
		f := x.function(function, file)
		if f == nil {
			return lines, false
		}
		lines = append(lines, staccato.Line{Function: f, Line: int64(line), Column: int64(column)})
		if up == 0 {
			return lines, true
		}
		file, at = number(data, at)
		line, at = number(data, at)
		column, at = number(data, at)
		if at > len(data) {
			return lines, false
		}
		node -= up
	}
}

// entry is what is known about a range of addresses, which begins at start
// (relative to the base).
type entry struct {
	start              uint32
	node               uint32
	file, line, column uint32
}

// entry finds the entry that an address belongs to, but for its start.
func (x *Index) entry(address uint64) (e entry, ok bool) {
	if address < x.base || address-x.base > math.MaxUint32 {
		return entry{}, false
	}
	wanted := uint32(address - x.base)
	data, start, ok := x.block(wanted)
	if !ok {
		return entry{}, false
	}
	return findEntry(data, wanted-start)
}

// block finds the block that an address, relative to the base, belongs to: its
// entries and where the first begins.
func (x *Index) block(address uint32) (data []byte, start uint32, ok bool) {
	le := binary.LittleEndian
	table := x.part[blocks]
	low, high := x.guide.find(address) // of the first block after it
	for low < high {
		middle := int(uint(low+high) / 2)
		if le.Uint32(table[middle*blockSize:]) > address {
			high = middle
		} else {
			low = middle + 1
		}
	}
	if low == 0 {
		return nil, 0, false
	}
	block := table[(low-1)*blockSize:]
	first, limit := uint64(le.Uint32(block[4:])), uint64(len(x.part[entries]))
	if len(block) >= 2*blockSize {
		limit = min(limit, uint64(le.Uint32(block[blockSize+4:])))
	}
	if first >= limit {
		return nil, 0, false
	}
	return x.part[entries][first:limit], le.Uint32(block), true
}

// function returns a function with code in a file; nil when there is none.
func (x *Index) function(i, file uint32) *staccato.Function {
	if uint64(i) >= uint64(len(x.known)) {
		return nil
	}
	le := binary.LittleEndian
	b := x.part[functions][int(i)*functionSize:]
	declared := le.Uint32(b[4:])
	if file == declared || file == 0 {
		if x.known[i] == nil {
			x.known[i] = x.newFunction(le.Uint32(b), declared, le.Uint32(b[8:]))
		}
		return x.known[i]
	}
	key := uint64(i)<<32 | uint64(file)
	f := x.elsewhere[key]
	if f == nil {
		if f = x.newFunction(le.Uint32(b), file, 0); f != nil {
			x.elsewhere[key] = f
		}
	}
	return f
}

func (x *Index) newFunction(name, file, line uint32) *staccato.Function {
	const size = 120 // with a place in a map
	if len(x.room) == 0 {
		x.room = make([]staccato.Function, functionsAtOnce)
	}
	f := &x.room[0]
	if *f = (staccato.Function{SystemName: x.text(name), File: x.path(file)}); f.SystemName == "" {
		return nil
	}
	x.room = x.room[1:]
	if f.Name = f.SystemName; x.style != nil {
		f.Name = x.style(f.SystemName)
	}
	if f.File != "" {
		f.StartLine = int64(line)
	}
	if x.strings > maxStrings {
		clear(x.known)
		clear(x.elsewhere)
		clear(x.paths)
		x.strings = 0
	}
	x.strings += size + int64(len(f.SystemName))
	if f.Name != f.SystemName {
		x.strings += int64(len(f.Name))
	}
	return f
}

func (x *Index) path(file uint32) string {
	if uint64(file) >= uint64(len(x.paths)) {
		return ""
	}
	if x.paths[file] == "" {
		x.paths[file] = x.text(binary.LittleEndian.Uint32(x.part[files][uint64(file)*fileEntrySize:]))
		x.strings += int64(len(x.paths[file]))
	}
	return x.paths[file]
}

func (x *Index) text(at uint32) string {
	table := x.part[texts]
	if uint64(at) >= uint64(len(table)) {
		return ""
	}
	size, n := binary.Uvarint(table[at:])
	rest := uint64(len(table)) - uint64(at)
	if n <= 0 || size > rest-uint64(n) {
		return ""
	}
	// A copy: what is mapped may go away before the name does.
	return string(table[uint64(at)+uint64(n):][:size])
}

// number reads a number, and returns where the next one is: beyond the data, if
// this one does not end in it.
func number(data []byte, at int) (v uint32, next int) {
	if at < len(data) && data[at] < 0x80 {
		return uint32(data[at]), at + 1
	}
	return longNumber(data, at)
}

func longNumber(data []byte, at int) (uint32, int) {
	if at > len(data) {
		return 0, at
	}
	v, n := binary.Uvarint(data[at:])
	if n <= 0 {
		return 0, len(data) + 1
	}
	return uint32(v), at + n
}

// signed is the number that v is written for.
func signed(v uint32) uint32 { return v>>1 ^ -(v & 1) }
