package index

import (
	"cmp"
	"encoding/binary"
	"errors"
	"math"
	"slices"
)

// packer writes the parts of an index file.
type packer struct {
	*builder
	parts [parts][]byte

	places    []uint32 // of nodes, by their number; 0 is not written yet
	functions []uint32 // numbers in the file + 1
	files     []uint32
	texts     map[string]uint32

	base    uint64
	block   []entry // that are not written yet
	last    entry   // once one was there
	started bool
}

var errTooWide = errors.New("code lies more than 4 GiB apart")

// pack writes what was collected; ranges do not overlap and are in order.
func (b *builder) pack(ranges []nodeRange, key string) ([]byte, error) {
	if len(ranges) == 0 {
		return nil, errors.New("no function has code")
	}
	p := &packer{
		builder:   b,
		places:    make([]uint32, len(b.nodes)),
		functions: make([]uint32, len(b.functions)),
		files:     make([]uint32, len(b.files)),
		texts:     make(map[string]uint32),
		base:      ranges[0].start,
	}
	if ranges[len(ranges)-1].limit-p.base > math.MaxUint32 {
		return nil, errTooWide
	}
	p.text("")
	missed, path := p.text(b.missed), p.text(b.missedPath)
	p.parts[files] = make([]byte, fileEntrySize)
	p.entries(ranges)

	var sizes [parts]int
	size := headerSize
	for i, part := range p.parts {
		if len(part) > math.MaxInt32 {
			return nil, ErrTooLarge
		}
		sizes[i] = len(part)
		size += len(part)
	}
	file := make([]byte, headerSize, size)
	for i, part := range p.parts {
		file = append(file, part...)
		p.parts[i] = nil
	}
	seal(file, key, p.base, sizes, missed, path)
	return file, nil
}

// entries joins ranges and rows: an entry begins where either changes.
func (p *packer) entries(ranges []nodeRange) {
	slices.SortFunc(p.sequences, func(x, y sequence) int {
		return cmp.Or(cmp.Compare(x.start, y.start), cmp.Compare(x.first, y.first))
	})
	lines := rowReader{rows: p.rows, sequences: p.sequences}
	end := uint64(0)
	for _, r := range ranges {
		if r.start > end && end > 0 {
			p.entry(end, entry{})
		}
		e := entry{node: p.node(r.node)}
		for at := r.start; at < r.limit; {
			row, next := lines.at(at)
			e.file, e.line, e.column = p.file(row.file), row.line, row.column
			p.entry(at, e)
			at = next
		}
		end = r.limit
	}
	p.entry(end, entry{})
	p.endBlock()
}

// rowReader finds the rows of addresses that grow.
type rowReader struct {
	rows      []row
	sequences []sequence
	next      int32 // row of the first sequence
}

// at returns the row that an address belongs to, and where the next begins.
// Without a file it is not known.
func (r *rowReader) at(address uint64) (known row, next uint64) {
	for len(r.sequences) > 0 {
		s := r.sequences[0]
		if s.limit <= address {
			r.sequences, r.next = r.sequences[1:], 0
			continue
		}
		if s.start > address {
			return row{}, s.start
		}
		r.next = max(r.next, s.first)
		for r.rows[r.next+1].address <= address {
			r.next++
		}
		return r.rows[r.next], r.rows[r.next+1].address
	}
	return row{}, math.MaxUint64
}

// entry writes an entry, unless it says the same as the one before.
func (p *packer) entry(address uint64, e entry) {
	e.start = p.last.start
	if p.started && e == p.last {
		return
	}
	e.start = uint32(address - p.base)
	if p.block = append(p.block, e); len(p.block) == blockEntries {
		p.endBlock()
	}
	p.last, p.started = e, true
}

func (p *packer) endBlock() {
	if len(p.block) == 0 {
		return
	}
	block := binary.LittleEndian.AppendUint32(p.parts[blocks], p.block[0].start)
	p.parts[blocks] = binary.LittleEndian.AppendUint32(block, uint32(len(p.parts[entries])))
	p.parts[entries] = appendBlock(p.parts[entries], p.block)
	p.block = p.block[:0]
}

// node writes a node, after those that it is inlined into, and returns its
// place.
func (p *packer) node(i int32) uint32 {
	if place := p.places[i]; place != 0 {
		return place
	}
	n := &p.nodes[i]
	parent := uint32(0)
	if n.parent >= 0 {
		parent = p.node(n.parent)
	}
	place := uint32(len(p.parts[nodes])) + 1
	out := binary.AppendUvarint(p.parts[nodes], uint64(p.function(n.function)))
	if parent == 0 {
		out = binary.AppendUvarint(out, 0)
	} else {
		out = binary.AppendUvarint(out, uint64(place-parent))
		for _, v := range []uint32{p.file(n.callFile), n.callLine, n.callColumn} {
			out = binary.AppendUvarint(out, uint64(v))
		}
	}
	p.parts[nodes] = out
	p.places[i] = place
	return place
}

// function writes a function and returns its number.
func (p *packer) function(i uint32) uint32 {
	if number := p.functions[i]; number != 0 {
		return number - 1
	}
	f := &p.builder.functions[i]
	number := uint32(len(p.parts[functions]) / functionSize)
	le := binary.LittleEndian
	out := le.AppendUint32(p.parts[functions], p.text(f.Name))
	out = le.AppendUint32(out, p.file(p.path(f.File)))
	p.parts[functions] = le.AppendUint32(out, f.Line)
	p.functions[i] = number + 1
	return number
}

// file writes a path and returns its number.
func (p *packer) file(i uint32) uint32 {
	if i == 0 {
		return 0
	}
	for uint32(len(p.files)) <= i {
		p.files = append(p.files, 0) // named by a declaration only
	}
	if p.files[i] == 0 {
		p.files[i] = uint32(len(p.parts[files]) / fileEntrySize)
		p.parts[files] = binary.LittleEndian.AppendUint32(p.parts[files], p.text(p.builder.files[i]))
	}
	return p.files[i]
}

func (p *packer) text(s string) uint32 {
	if place, known := p.texts[s]; known {
		return place
	}
	place := uint32(len(p.parts[texts]))
	p.texts[s] = place
	out := binary.AppendUvarint(p.parts[texts], uint64(len(s)))
	p.parts[texts] = append(out, s...)
	return place
}
