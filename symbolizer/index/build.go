package index

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/staccato-profiler/staccato/symbolizer/dwarf"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/elfsym"
)

// Source is where the names of an executable come from.
type Source struct {
	// Debug has the debugging information; it may be the executable itself.
	Debug *elffile.File
	// Alt is the supplementary file that Debug refers to, or nil.
	Alt *elffile.File
	// Split finds what was split off Debug.
	Split dwarf.Split
	// SkipGo leaves out what Go's compiler tells.
	SkipGo bool
	// Symbols name what has no debugging information; may be nil.
	Symbols *elfsym.Table
}

// ErrTooLarge says that building takes more memory than is allowed.
var ErrTooLarge = dwarf.ErrTooLarge

// Build makes the index file for a key. It takes at most limit bytes of
// memory, or gives up with [ErrTooLarge]. A unit that cannot be read is left
// out, and named by symbols.
func Build(source Source, key string, limit int64) ([]byte, error) {
	if len(key) > maxKey {
		return nil, fmt.Errorf("key of %d bytes", len(key))
	}
	b := &builder{
		limit:       limit / 3, // as much again is garbage, and what follows adds a little
		symbols:     source.Symbols,
		functionIDs: make(map[dwarf.Function]uint32),
		fileIDs:     map[string]uint32{"": 0},
		files:       []string{""},
	}
	if err := b.readUnits(source); err != nil {
		return nil, err
	}
	ranges := b.flatten()
	if source.Symbols != nil {
		ranges = b.fillGaps(ranges, source.Symbols)
	}
	return b.pack(ranges, key)
}

// builder collects functions, calls and lines of all units.
type builder struct {
	limit   int64
	symbols *elfsym.Table // or nil

	nodes     []node
	ranges    []nodeRange
	rows      []row
	sequences []sequence

	functions   []dwarf.Function
	functionIDs map[dwarf.Function]uint32
	files       []string
	fileIDs     map[string]uint32
	text        int64 // bytes of names and paths
	unitFiles   []uint32

	missed, missedPath string // see Index.Missed
}

// node is a function, or a call inlined into the node parent.
type node struct {
	function                       uint32
	parent                         int32 // -1 for a function
	callFile, callLine, callColumn uint32
}

// nodeRange is addresses that belong to a node, and maybe to others in it.
type nodeRange struct {
	start, limit uint64
	node         int32
}

// row is a line from address on. In a sequence they are in order, and the last
// has no file: it is the end.
type row struct {
	address            uint64
	file, line, column uint32
}

type sequence struct {
	start, limit uint64
	first, last  int32 // rows
}

// Sizes for the accounting of memory, in bytes: of what grows, which may be
// half empty, and of the places in maps.
const (
	nodeBytes     = 20
	nodeRangeSize = 24
	rowBytes      = 24
	sequenceBytes = 24
	functionBytes = 40 + 96
	fileBytes     = 16 + 64
)

func (b *builder) memory() int64 {
	return int64(cap(b.nodes))*nodeBytes + int64(cap(b.ranges))*nodeRangeSize + int64(cap(b.rows))*rowBytes +
		int64(cap(b.sequences))*sequenceBytes + int64(len(b.functions))*functionBytes + int64(len(b.files))*fileBytes + b.text
}

func (b *builder) readUnits(source Source) error {
	r, err := dwarf.Open(source.Debug, source.Alt, dwarf.Config{Limit: b.limit, Split: source.Split, SkipGo: source.SkipGo})
	if err != nil {
		return err
	}
	read, failed := 0, error(nil)
	for {
		u, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if errors.Is(err, ErrTooLarge) {
			return err
		}
		if err != nil {
			failed = err
			continue
		}
		read++
		b.add(u)
		// What comes later takes another copy of the ranges.
		if r.Memory()+b.memory() > b.limit || b.memory()+2*int64(len(b.ranges))*nodeRangeSize > b.limit {
			return ErrTooLarge
		}
	}
	if read == 0 && failed != nil {
		return failed
	}
	b.missed, b.missedPath = r.Missed()
	return nil
}

// add takes over what a unit says.
func (b *builder) add(u *dwarf.Unit) {
	b.unitFiles = b.unitFiles[:0]
	base := int32(len(b.nodes))
	for i := range u.Scopes {
		s := &u.Scopes[i]
		n := node{parent: -1}
		if s.Parent < 0 {
			n.function = b.outermost(s.Function, u.Ranges[s.FirstRange].Start)
		} else {
			n.function = b.function(s.Function)
			n.parent = base + s.Parent
			n.callFile, n.callLine, n.callColumn = b.file(u, s.CallFile), s.CallLine, s.CallColumn
			if outer := &u.Scopes[s.Parent]; outer.Parent >= 0 && outer.Function.Name == "" {
				// As if it were called from where the nameless one is.
				outer := b.nodes[n.parent]
				outer.function = n.function
				n = outer
			}
		}
		b.nodes = append(b.nodes, n)
		if s.Parent >= 0 && s.Function.Name == "" {
			continue // its code is told as the caller's
		}
		for _, r := range u.Ranges[s.FirstRange:s.LimitRange] {
			b.ranges = append(b.ranges, nodeRange{r.Start, r.Limit, base + int32(i)})
		}
	}
	first := int32(len(b.rows))
	for _, r := range u.Rows {
		if r.File != dwarf.NoFile {
			b.rows = append(b.rows, row{r.Address, b.file(u, r.File), r.Line, r.Column})
			continue
		}
		b.rows = append(b.rows, row{address: r.Address})
		last := int32(len(b.rows)) - 1
		b.sequences = append(b.sequences, sequence{b.rows[first].address, r.Address, first, last})
		first = last + 1
	}
}

// outermost returns a function that has code of its own. Its name is that of
// the symbol at its entry, as long as that one says more: the one of several
// that a library exports, and the linker's of C++ functions that no other file
// can see, of which compilers tell none.
func (b *builder) outermost(f *dwarf.Function, entry uint64) uint32 {
	if b.symbols == nil || isMangled(f.Name) {
		return b.function(f)
	}
	symbol, ok := b.symbols.At(entry)
	if !ok || f.Name != "" && !isMangled(symbol) && strings.Contains(symbol, ".") { // ".isra.0"
		return b.function(f)
	}
	named := *f
	named.Name = symbol
	return b.function(&named)
}

// isMangled reports whether a name is what linkers have for one of C++ or Rust.
func isMangled(name string) bool {
	return strings.HasPrefix(name, "_Z") || strings.HasPrefix(name, "_R")
}

func (b *builder) function(f *dwarf.Function) uint32 {
	id, known := b.functionIDs[*f]
	if !known {
		id = uint32(len(b.functions))
		b.functionIDs[*f] = id
		b.functions = append(b.functions, *f)
		b.text += int64(len(f.Name))
	}
	return id
}

// file returns the number of a file of a unit.
func (b *builder) file(u *dwarf.Unit, i uint32) uint32 {
	const unknown = math.MaxUint32
	if i > 1<<16 {
		return b.path(u.File(i))
	}
	for uint32(len(b.unitFiles)) <= i {
		b.unitFiles = append(b.unitFiles, unknown)
	}
	if b.unitFiles[i] == unknown {
		b.unitFiles[i] = b.path(u.File(i))
	}
	return b.unitFiles[i]
}

func (b *builder) path(path string) uint32 {
	id, known := b.fileIDs[path]
	if !known {
		id = uint32(len(b.files))
		b.fileIDs[path] = id
		b.files = append(b.files, path)
		b.text += int64(len(path))
	}
	return id
}

// flatten cuts the ranges of functions and of calls in them to ranges that do
// not overlap, each with the innermost call.
func (b *builder) flatten() []nodeRange {
	b.dropFolded()
	// The outer before the inner, which was told later.
	slices.SortFunc(b.ranges, func(x, y nodeRange) int {
		return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(y.limit, x.limit), cmp.Compare(x.node, y.node))
	})
	flat := make([]nodeRange, 0, len(b.ranges)*5/4)
	var open []nodeRange // around position, the innermost last
	position := uint64(0)
	advance := func(to uint64) {
		for len(open) > 0 {
			top := open[len(open)-1]
			if end := min(top.limit, to); position < end {
				if last := len(flat) - 1; last >= 0 && flat[last].node == top.node && flat[last].limit == position {
					flat[last].limit = end
				} else {
					flat = append(flat, nodeRange{position, end, top.node})
				}
				position = end
			}
			if top.limit > to {
				break
			}
			open = open[:len(open)-1]
		}
		position = to
	}
	for _, r := range b.ranges {
		advance(r.start)
		open = append(open, r)
	}
	advance(math.MaxUint64)
	b.ranges = nil
	return flat
}

// dropFolded leaves one of several functions that begin at the same address:
// linkers fold functions whose code is the same, and their calls must not be
// mixed.
func (b *builder) dropFolded() {
	// The first range of a function is its entry, and comes before its calls'.
	type entryPoint struct {
		address uint64
		node    int32
	}
	var all []entryPoint
	previous := int32(-1)
	for _, r := range b.ranges {
		if r.node != previous && b.nodes[r.node].parent < 0 {
			all = append(all, entryPoint{r.start, r.node})
		}
		previous = r.node
	}
	slices.SortFunc(all, func(x, y entryPoint) int {
		return cmp.Or(cmp.Compare(x.address, y.address), cmp.Compare(x.node, y.node))
	})
	folded := make(map[int32]bool)
	for i := 1; i < len(all); i++ {
		if all[i].address == all[i-1].address {
			folded[all[i].node] = true
		}
	}
	if len(folded) == 0 {
		return
	}
	b.ranges = slices.DeleteFunc(b.ranges, func(r nodeRange) bool {
		n := r.node
		for b.nodes[n].parent >= 0 {
			n = b.nodes[n].parent
		}
		return folded[n]
	})
}

// fillGaps gives names of symbols to what is in no function.
func (b *builder) fillGaps(flat []nodeRange, symbols *elfsym.Table) []nodeRange {
	filled := make([]nodeRange, 0, len(flat)+symbols.Len())
	symbols.Each(func(start, limit uint64, name []byte) {
		for len(flat) > 0 && flat[0].limit <= start {
			filled, flat = append(filled, flat[0]), flat[1:]
		}
		node := int32(-1)
		for start < limit {
			end := limit
			if len(flat) > 0 && flat[0].start < limit {
				end = flat[0].start
			}
			if start < end {
				if node < 0 {
					node = b.symbol(name)
				}
				filled = append(filled, nodeRange{start, end, node})
			}
			if end == limit {
				break
			}
			if flat[0].limit > limit {
				break
			}
			start = flat[0].limit
			filled, flat = append(filled, flat[0]), flat[1:]
		}
	})
	return append(filled, flat...)
}

// symbol adds the node of a function that only has a symbol.
func (b *builder) symbol(name []byte) int32 {
	f := dwarf.Function{Name: string(name)}
	b.nodes = append(b.nodes, node{function: b.function(&f), parent: -1})
	return int32(len(b.nodes) - 1)
}
