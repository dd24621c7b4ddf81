package ehframe

import (
	"bytes"
	"errors"
	"fmt"
)

const (
	// maxAugmentation is the length of an augmentation string. Seen: 4.
	maxAugmentation = 8
	// maxInitial is the bytes of a CIE's instructions. They are executed again
	// for each FDE whose CIE is not among the recent ones. Seen: 39.
	maxInitial = 128
)

// cie is what FDEs share.
type cie struct {
	offset      int // in the section, -1 for none
	encoding    uint8
	segmentSize uint8
	augmented   bool  // FDEs have augmentation data
	ra          uint8 // column of the return address
	codeAlign   uint64
	dataAlign   int64
	signal      bool
	initial     state // where FDEs begin
	err         error // what is wrong with it
}

// lookup returns the CIE at the offset.
func (r *Reader) lookup(offset int) (*cie, error) {
	if offset < 0 || offset >= len(r.section.Data) {
		return nil, errNoCIE
	}
	c := &r.cies[offset/8%recentCIEs]
	if c.offset != offset {
		*c = cie{offset: offset}
		c.err = r.readCIE(c)
	}
	return c, c.err
}

var (
	errOldGCC  = errors.New("augmentation of gcc before 3.0")
	errInitial = errors.New("CIE with too many instructions")
)

func (r *Reader) readCIE(ci *cie) error {
	e, err := r.entry(ci.offset)
	if err != nil {
		return err
	}
	if !e.isCIE {
		return errNoCIE
	}
	c := cursor{data: r.section.Data[:e.limit], offset: e.body}
	version := c.u8()
	if version != 1 && version != 3 && (version != 4 || !r.section.Debug) {
		c.fail(fmt.Errorf("CIE version %d", version))
	}
	end := bytes.IndexByte(c.data[c.offset:min(len(c.data), c.offset+maxAugmentation+1)], 0)
	if end < 0 {
		c.fail(errors.New("augmentation without end"))
	}
	augmentation := c.bytes(uint64(end + 1))
	if version == 4 {
		if size := c.u8(); size != 8 {
			c.fail(fmt.Errorf("addresses of %d bytes", size))
		}
		if ci.segmentSize = c.u8(); ci.segmentSize > 8 {
			c.fail(fmt.Errorf("segment selectors of %d bytes", ci.segmentSize))
		}
	}
	ci.codeAlign = c.uleb()
	ci.dataAlign = c.sleb()
	var column uint64
	if version == 1 {
		column = uint64(c.u8())
	} else {
		column = c.uleb()
	}
	if c.err != nil {
		return c.err
	}
	if column > uint64(r.arch.last) && column != uint64(r.arch.ra) || r.arch.tracks(column) {
		return fmt.Errorf("return address in column %d", column)
	}
	ci.ra = uint8(column)
	if err := r.augment(ci, &c, augmentation[:end]); err != nil {
		return fmt.Errorf("augmentation %q: %w", augmentation[:end], err)
	}
	if len(c.data)-c.offset > maxInitial {
		return errInitial
	}
	return r.machine.initial(r, ci, c)
}

// augment reads what the letters of the augmentation say follows.
func (r *Reader) augment(ci *cie, c *cursor, letters []byte) error {
	ci.encoding = formatNative
	if len(letters) == 0 {
		return nil
	}
	if letters[0] != 'z' {
		if string(letters) == "eh" {
			return errOldGCC
		}
		return errors.New("unknown")
	}
	ci.augmented = true
	size := c.uleb()
	if c.bytes(size); c.err != nil {
		return c.err
	}
	after := c.offset
	data := cursor{data: c.data[:after], offset: after - int(size)}
	for _, letter := range letters[1:] {
		switch letter {
		case 'R': // how FDEs write addresses
			ci.encoding = data.u8()
		case 'P': // the personality routine
			r.skipAddress(&data, data.u8())
		case 'L': // how FDEs write the address of exception tables
			data.u8()
		case 'S':
			ci.signal = true
		case 'B', 'G':
			// arm64: return addresses are signed with the second key; frames
			// have tagged memory.
		default:
			return fmt.Errorf("unknown letter %q", letter)
		}
	}
	return data.err
}
