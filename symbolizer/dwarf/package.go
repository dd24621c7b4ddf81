package dwarf

import (
	"errors"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// contributions is where the parts of one unit begin in the sections of a
// package.
type contributions struct {
	info, abbrev, strOffsets, rnglists uint64
}

// packageFile is a DWARF package file, .dwp (DWARF 5, section 7.3.5; its
// predecessor by GNU has version 2).
type packageFile struct {
	*file
	index   *section
	columns [maxColumns]uint32 // what kinds of sections there are
	counts  struct{ columns, units, slots uint32 }
	begin   struct{ hashes, rows, offsets uint64 } // in index
}

const (
	maxColumns  = 16
	indexHeader = 16
	// Kinds of sections.
	columnInfo        = 1
	columnAbbrev      = 3
	columnStrOffsets  = 6
	columnRanges      = 8
	maxPackagedUnits  = 1 << 26
	oldPackageVersion = 2
)

// openPackage reads the header of a package's index.
func (r *Reader) openPackage(e *elffile.File) (*packageFile, error) {
	f, err := r.openSplit(e)
	if err != nil {
		return nil, err
	}
	p := &packageFile{file: f}
	left := uint64(max(r.limit-r.Memory(), 0))
	if p.index, err = openSection(e, ".debug_cu_index", left/8, left); err != nil {
		return nil, err
	}
	var header [4]uint32
	for i := range header {
		n, _ := p.index.number(uint64(4*i), 4)
		header[i] = uint32(n)
	}
	version := header[0] & 0xffff // 4 bytes once, now 2 and padding
	if version != 5 && version != oldPackageVersion {
		return nil, errors.New("package without an index that is known")
	}
	p.counts.columns, p.counts.units, p.counts.slots = header[1], header[2], header[3]
	columns, units, slots := uint64(header[1]), uint64(header[2]), uint64(header[3])
	if columns == 0 || columns > maxColumns || units > maxPackagedUnits || slots > 2*maxPackagedUnits || slots&(slots-1) != 0 {
		return nil, malformed("index of package", 0)
	}
	p.begin.hashes = indexHeader
	p.begin.rows = p.begin.hashes + 8*slots
	p.begin.offsets = p.begin.rows + 4*slots
	for i := range columns {
		n, _ := p.index.number(p.begin.offsets+4*i, 4)
		p.columns[i] = uint32(n)
	}
	return p, nil
}

// unit returns the rest of a skeleton, nil when the package does not have it.
func (p *packageFile) unit(skeleton *unit) (*unit, error) {
	row, ok := p.row(skeleton.split.id)
	if !ok {
		return nil, nil
	}
	c, ok := p.contributions(row)
	if !ok {
		return nil, malformed("index of package", 0)
	}
	// A file of its own, whose only unit it is: nothing in it refers to others.
	f := *p.file
	f.countedElsewhere = true
	f.forget()
	var piece []byte
	u, known, err := f.unitHeader(c.info, &piece)
	if err != nil || !known || u.version >= 5 && u.split.id != skeleton.split.id {
		return nil, err
	}
	u.file = &f
	f.units = []unit{u}
	found := &f.units[0]
	found.adopt(skeleton, c)
	f.reader.current = &f
	return found, nil
}

// row finds a unit in the hash table: rows count from 1.
func (p *packageFile) row(id uint64) (row uint64, ok bool) {
	slots := uint64(p.counts.slots)
	if slots == 0 {
		return 0, false
	}
	mask := slots - 1
	slot, step := id&mask, id>>32&mask|1
	for range slots {
		if !p.reader.spend(16) {
			return 0, false
		}
		found, ok := p.index.number(p.begin.hashes+8*slot, 8)
		row, ok2 := p.index.number(p.begin.rows+4*slot, 4)
		if !ok || !ok2 || row == 0 {
			return 0, false
		}
		if found == id {
			return row, row <= uint64(p.counts.units)
		}
		slot = (slot + step) & mask
	}
	return 0, false
}

func (p *packageFile) contributions(row uint64) (c contributions, ok bool) {
	n := uint64(p.counts.columns)
	for i := range n {
		at, ok := p.index.number(p.begin.offsets+4*(row*n+i), 4)
		if !ok {
			return c, false
		}
		switch p.columns[i] {
		case columnInfo:
			c.info = at
		case columnAbbrev:
			c.abbrev = at
		case columnStrOffsets:
			c.strOffsets = at
		case columnRanges:
			c.rnglists = at
		}
	}
	return c, true
}
