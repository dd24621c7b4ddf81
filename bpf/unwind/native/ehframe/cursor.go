package ehframe

import (
	"encoding/binary"
	"errors"
)

var (
	errShort  = errors.New("ends early")
	errNumber = errors.New("number of more than 64 bits")
)

// cursor reads a section up to a limit. The first error sticks: after it, reads
// return zero.
type cursor struct {
	data   []byte // the section up to the limit
	offset int    // into the section
	err    error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.offset = len(c.data)
}

func (c *cursor) more() bool { return c.offset < len(c.data) }

// bytes returns the next n bytes.
func (c *cursor) bytes(n uint64) []byte {
	if n > uint64(len(c.data)-c.offset) {
		c.fail(errShort)
		return nil
	}
	b := c.data[c.offset : c.offset+int(n)]
	c.offset += int(n)
	return b
}

func (c *cursor) u8() uint8 {
	if c.offset >= len(c.data) {
		c.fail(errShort)
		return 0
	}
	c.offset++
	return c.data[c.offset-1]
}

func (c *cursor) u16() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.bytes(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// uleb reads an unsigned LEB128 number.
func (c *cursor) uleb() uint64 {
	if c.offset < len(c.data) {
		if b := c.data[c.offset]; b < 0x80 { // as nearly all
			c.offset++
			return uint64(b)
		}
	}
	return c.longULEB()
}

func (c *cursor) longULEB() uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		b := c.u8()
		bits := uint64(b & 0x7f)
		// Padding with zeros is allowed, but not without end.
		if shift >= 70 || shift == 63 && bits > 1 {
			c.fail(errNumber)
			return 0
		}
		v |= bits << shift
		if b < 0x80 {
			return v
		}
	}
}

// sleb reads a signed LEB128 number.
func (c *cursor) sleb() int64 {
	var v int64
	for shift := uint(0); ; shift += 7 {
		b := c.u8()
		// The tenth byte has room for one bit, the sign.
		if shift >= 70 || shift == 63 && b != 0 && b != 0x7f {
			c.fail(errNumber)
			return 0
		}
		v |= int64(b&0x7f) << shift
		if b < 0x80 {
			if b&0x40 != 0 && shift < 57 {
				v |= -1 << (shift + 7)
			}
			return v
		}
	}
}
