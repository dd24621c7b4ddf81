package ehframe

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
)

const (
	// maxFDEs is how many FDEs a table holds. Seen: 118,004.
	maxFDEs = 1 << 22
	// maxPadding is how many bytes between two functions are alignment. No
	// code is there, so it costs no row.
	maxPadding = 15
)

// Table has the rows of a section in order. It keeps the section's bytes and 16
// bytes for each FDE, and makes rows when they are asked for. It is safe for
// concurrent use.
type Table struct {
	section Section
	ranges  []fdeRange // by start, without overlaps
	skipped Skipped
}

// fdeRange is what a table keeps of an FDE. It may end before the FDE does.
type fdeRange struct {
	start  uint64
	length uint32
	offset uint32 // of the FDE in the section
}

func (f fdeRange) limit() uint64 { return f.start + uint64(f.length) }

// NewTable finds the FDEs of the section, whose bytes it keeps: they must not
// change. When the section is cut off, the error comes with a table of what
// precedes.
func NewTable(s Section) (*Table, error) {
	r, err := NewReader(s)
	if err != nil {
		return nil, err
	}
	t := &Table{section: s, ranges: make([]fdeRange, 0, r.count(maxFDEs))}
	var f FDE
	for f, err = r.Next(); err == nil; f, err = r.Next() {
		if len(t.ranges) == maxFDEs {
			err = fmt.Errorf("more than %d FDEs", maxFDEs)
			break
		}
		t.ranges = append(t.ranges, fdeRange{start: f.Start, length: uint32(f.Limit - f.Start), offset: uint32(f.offset)})
	}
	t.skipped = r.skipped
	t.sort()
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return t, err
}

// sort puts the ranges in order and cuts overlaps. An FDE ends where the next
// begins: unwinders at run time take the last that begins at or before an
// address. Of several that begin at one address, the longest is kept.
func (t *Table) sort() {
	slices.SortFunc(t.ranges, func(a, b fdeRange) int {
		if a.start != b.start {
			return cmp.Compare(a.start, b.start)
		}
		return cmp.Or(cmp.Compare(b.length, a.length), cmp.Compare(a.offset, b.offset))
	})
	t.ranges = slices.CompactFunc(t.ranges, func(a, b fdeRange) bool { return a.start == b.start })
	for i := 1; i < len(t.ranges); i++ {
		previous := &t.ranges[i-1]
		previous.length = uint32(min(uint64(previous.length), t.ranges[i].start-previous.start))
	}
}

// Skipped returns how many FDEs are not in the table since their headers are
// wrong.
func (t *Table) Skipped() Skipped { return t.skipped }

// Len returns how many FDEs are in the table.
func (t *Table) Len() int { return len(t.ranges) }

// Drop forgets the FDEs that begin from start to limit (exclusive).
func (t *Table) Drop(start, limit uint64) {
	t.ranges = slices.Clone(slices.DeleteFunc(t.ranges, func(f fdeRange) bool { return f.start >= start && f.start < limit }))
}

// Range returns the addresses that the table covers, from start to limit
// (exclusive). They are equal when it covers none.
func (t *Table) Range() (start, limit uint64) {
	if len(t.ranges) == 0 {
		return 0, 0
	}
	return t.ranges[0].start, t.ranges[len(t.ranges)-1].limit()
}

// Rows emits the rows for the addresses from start to limit (exclusive). They
// are in order, no two neighbours have equal rules, and the first is for start:
// the last row at or before an address there holds for it. It returns how many
// of the FDEs have wrong instructions.
func (t *Table) Rows(start, limit uint64, emit func(Row)) Skipped {
	var skipped Skipped
	if start >= limit {
		return skipped
	}
	m := merger{start: start, until: limit, emit: emit}
	r := newReader(t.section)
	first := sort.Search(len(t.ranges), func(i int) bool { return t.ranges[i].limit() > start })
	covered := start // up to here there are rows
	for _, f := range t.ranges[first:] {
		if f.start >= limit {
			break
		}
		// At the start there is no row that could go on over padding.
		if f.start > covered && (f.start-covered > maxPadding || covered == start) {
			m.until = limit
			m.add(Row{PC: covered})
		}
		covered = f.limit()
		m.until = min(covered, limit)
		if err := t.rows(r, f, m.add); err != nil {
			skipped.add(int(f.offset), err)
		}
	}
	m.until = limit
	if covered < limit {
		m.add(Row{PC: covered})
	}
	m.flush()
	return skipped
}

// rows emits the rows of one FDE.
func (t *Table) rows(r *Reader, f fdeRange, emit func(Row)) error {
	e, err := r.entry(int(f.offset))
	if err != nil {
		return err
	}
	fde, err := r.fde(e)
	if err != nil {
		return err
	}
	return r.rows(fde, emit)
}

// merger passes on the rows of one range of addresses that differ from their
// predecessor.
type merger struct {
	start uint64 // of the range; the last row before it is moved to it
	until uint64 // rows from here on are dropped
	emit  func(Row)

	next    Row // to be emitted when a row with another address comes
	any     bool
	last    Rule // emitted
	emitted bool
}

func (m *merger) add(row Row) {
	if row.PC >= m.until {
		return
	}
	row.PC = max(row.PC, m.start)
	if m.any && row.PC != m.next.PC {
		m.flush()
	}
	m.next, m.any = row, true
}

func (m *merger) flush() {
	if m.any && (!m.emitted || m.next.Rule != m.last) {
		m.emit(m.next)
		m.last, m.emitted = m.next.Rule, true
	}
}
