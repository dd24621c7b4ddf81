package ehframe

import (
	"errors"
	"fmt"
)

// DW_EH_PE: how an address is written. The low half of the byte is the format,
// the high half what it is relative to.
const (
	formatMask   = 0x0f
	formatNative = 0x00 // 8 bytes
	formatULEB   = 0x01
	formatU16    = 0x02
	formatU32    = 0x03
	formatU64    = 0x04
	formatSigned = 0x08 // 8 bytes
	formatSLEB   = 0x09
	formatS16    = 0x0a
	formatS32    = 0x0b
	formatS64    = 0x0c

	relativeMask = 0x70
	relativePC   = 0x10 // to the address of the field itself
	relativeData = 0x30 // to the section's DataBase
	aligned      = 0x50 // native, at the next multiple of 8

	indirect = 0x80 // it is where the address will be at run time
	omitted  = 0xff
)

var errIndirect = errors.New("address that is known at run time alone")

// number reads a number of the format. Signed ones are extended to 64 bits.
func (r *Reader) number(c *cursor, format uint8) uint64 {
	switch format {
	case formatNative, formatU64, formatSigned, formatS64:
		return c.u64()
	case formatULEB:
		return c.uleb()
	case formatU16:
		return uint64(c.u16())
	case formatU32:
		return uint64(c.u32())
	case formatSLEB:
		return uint64(c.sleb())
	case formatS16:
		return uint64(int16(c.u16()))
	case formatS32:
		return uint64(int32(c.u32()))
	}
	c.fail(fmt.Errorf("address format %#x", format))
	return 0
}

// address reads an address of the encoding.
func (r *Reader) address(c *cursor, encoding uint8) uint64 {
	if encoding&indirect != 0 {
		c.fail(errIndirect)
		return 0
	}
	at := r.section.Address + uint64(c.offset)
	v := r.number(c, encoding&formatMask)
	switch encoding & relativeMask {
	case 0:
		return v
	case relativePC:
		return at + v
	case relativeData:
		if r.section.DataBase != 0 {
			return r.section.DataBase + v
		}
	}
	c.fail(fmt.Errorf("address encoding %#x", encoding))
	return 0
}

// skipAddress passes over an address of any encoding.
func (r *Reader) skipAddress(c *cursor, encoding uint8) {
	switch {
	case encoding == omitted:
	case encoding&relativeMask == aligned:
		at := r.section.Address + uint64(c.offset)
		c.bytes(-at & 7)
		c.u64()
	default:
		r.number(c, encoding&formatMask)
	}
}
