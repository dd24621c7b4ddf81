package ehframe

import (
	"errors"
	"fmt"
	"io"
	"math"
)

// Arch is what the file's code runs on. Its registers have other numbers and
// tasks on each.
type Arch uint8

const (
	AMD64 Arch = iota + 1
	ARM64
)

// Section is a section of call frame information, as the file has it.
type Section struct {
	Arch Arch
	Data []byte
	// Address is the ELF address of Data.
	Address uint64
	// Debug says that this is a .debug_frame: a little other than .eh_frame.
	Debug bool
	// Open says that Data may go on behind the section, whose size is not
	// known. Then the first terminator ends it; otherwise terminators are
	// skipped, since a linker may leave them in the middle.
	Open bool
	// DataBase is what DW_EH_PE_datarel addresses are relative to. Without it
	// (0) entries with such addresses are skipped. Compilers do not use them
	// here.
	DataBase uint64
}

const (
	// maxSection is the size of a section in bytes. Seen: 6.5 MB.
	maxSection = 1 << 28
	// recentCIEs is how many CIEs a Reader remembers. Others are read again:
	// linkers merge equal ones, and FDEs mostly follow theirs.
	recentCIEs = 32
)

// FDE is the entry for one range of code.
type FDE struct {
	Start, Limit uint64 // ELF addresses; Limit is exclusive, and more than Start
	Signal       bool   // see [Rule]

	offset       int // of the entry in the section
	cie          int // offset of its CIE
	code, codeTo int // offsets of its instructions
}

// Skipped counts what could not be read.
type Skipped struct {
	FDEs  int
	First error // what was wrong with the first of them, nil without any
}

func (s *Skipped) add(offset int, err error) {
	if s.FDEs == 0 {
		s.First = fmt.Errorf("read FDE at %#x: %w", offset, err)
	}
	s.FDEs++
}

// Reader reads the entries of a section one after the other. It is not safe for
// concurrent use.
type Reader struct {
	section Section
	arch    *registers
	next    int // offset of the next entry
	skipped Skipped
	cies    [recentCIEs]cie
	machine machine
}

// NewReader returns a reader of the section's entries.
func NewReader(s Section) (*Reader, error) {
	if s.Arch != AMD64 && s.Arch != ARM64 {
		return nil, fmt.Errorf("call frame information of unknown architecture %d", s.Arch)
	}
	if len(s.Data) > maxSection || s.Address > math.MaxUint64-uint64(len(s.Data)) {
		return nil, fmt.Errorf("call frame information of %d bytes at %#x", len(s.Data), s.Address)
	}
	return newReader(s), nil
}

// newReader returns a reader of a section that NewReader accepts.
func newReader(s Section) *Reader {
	r := &Reader{section: s, arch: &amd64}
	if s.Arch == ARM64 {
		r.arch = &arm64
	}
	for i := range r.cies {
		r.cies[i].offset = -1
	}
	return r
}

// Skipped returns how many FDEs [Reader.Next] has passed over since their
// headers, or their CIE's, are wrong.
func (r *Reader) Skipped() Skipped { return r.skipped }

// Next returns the next FDE that covers any code; they have no order. At the end
// the error is io.EOF. Any other error says that the section is cut off there.
func (r *Reader) Next() (FDE, error) {
	for r.next < len(r.section.Data) {
		e, err := r.entry(r.next)
		if err != nil {
			r.next = len(r.section.Data)
			return FDE{}, fmt.Errorf("read entry at %#x: %w", e.offset, err)
		}
		r.next = e.limit
		if e.terminator && r.section.Open {
			r.next = len(r.section.Data)
		}
		if e.terminator || e.isCIE { // CIEs are read with the first FDE that needs them
			continue
		}
		f, err := r.fde(e)
		if err != nil {
			r.skipped.add(e.offset, err)
			continue
		}
		if f.Start != f.Limit {
			return f, nil
		}
	}
	return FDE{}, io.EOF
}

// count returns how many FDEs there are, up to a limit: what [Reader.Next] will
// yield at most.
func (r *Reader) count(limit int) int {
	n := 0
	for offset := 0; offset < len(r.section.Data) && n < limit; {
		e, err := r.entry(offset)
		if err != nil || e.terminator && r.section.Open {
			break
		}
		if !e.isCIE && !e.terminator {
			n++
		}
		offset = e.limit
	}
	return n
}

// entry is what CIEs and FDEs have in common.
type entry struct {
	offset, limit int // where it begins and ends
	body          int // what follows the field that tells CIE and FDE apart
	cie           int // offset of an FDE's CIE, which may lie outside
	isCIE         bool
	terminator    bool
}

// entry reads the head of the entry at the offset. It fails when that leaves
// unknown where the next one is.
func (r *Reader) entry(offset int) (entry, error) {
	e := entry{offset: offset}
	c := cursor{data: r.section.Data, offset: offset}
	length := uint64(c.u32())
	wide := length == 0xffffffff // 64-bit DWARF
	if wide {
		length = c.u64()
	} else if length >= 0xfffffff0 {
		return e, fmt.Errorf("reserved length %#x", length)
	}
	start := c.offset
	c.bytes(length)
	if c.err != nil {
		return e, c.err
	}
	e.limit = c.offset
	if length == 0 {
		e.terminator = true
		return e, nil
	}
	c = cursor{data: r.section.Data[:e.limit], offset: start}
	if !r.section.Debug {
		id := int(c.u32()) // 0, or the distance back to the CIE
		e.isCIE, e.cie = id == 0, start-id
	} else if wide {
		id := c.u64()
		e.isCIE, e.cie = id == math.MaxUint64, int(min(id, math.MaxInt32))
	} else {
		id := c.u32()
		e.isCIE, e.cie = id == math.MaxUint32, int(min(id, math.MaxInt32))
	}
	e.body = c.offset
	if c.err != nil { // too short to be anything: it will be skipped as an FDE
		e.isCIE, e.cie = false, -1
	}
	return e, nil
}

var (
	errNoCIE   = errors.New("no CIE where it refers to")
	errRange   = errors.New("range of more than 4 GiB")
	errWrapped = errors.New("range ends behind the last address")
)

// fde reads the header of an FDE.
func (r *Reader) fde(e entry) (FDE, error) {
	cie, err := r.lookup(e.cie)
	if err != nil {
		return FDE{}, err
	}
	c := cursor{data: r.section.Data[:e.limit], offset: e.body}
	c.bytes(uint64(cie.segmentSize))
	start := r.address(&c, cie.encoding)
	size := r.number(&c, cie.encoding&formatMask)
	if cie.augmented {
		c.bytes(c.uleb()) // the address of exception tables
	}
	if c.err != nil {
		return FDE{}, c.err
	}
	if size > math.MaxUint32 {
		return FDE{}, errRange
	}
	if start > math.MaxUint64-size {
		return FDE{}, errWrapped
	}
	return FDE{
		Start: start, Limit: start + size, Signal: cie.signal,
		offset: e.offset, cie: e.cie, code: c.offset, codeTo: e.limit,
	}, nil
}
