package dwarf

import (
	"bytes"
	"encoding/binary"
)

// buffer is read from front to back. Reading beyond its end gives zeros and
// makes it bad.
type buffer struct {
	data []byte
	at   int
	bad  bool
}

func (b *buffer) left() int { return len(b.data) - b.at }

// fail ends the buffer.
func (b *buffer) fail() {
	b.bad = true
	b.at = len(b.data)
}

func (b *buffer) skip(n uint64) {
	if n > uint64(b.left()) {
		b.fail()
		return
	}
	b.at += int(n)
}

func (b *buffer) u8() uint8 {
	if b.at >= len(b.data) {
		b.bad = true
		return 0
	}
	v := b.data[b.at]
	b.at++
	return v
}

func (b *buffer) u16() uint16 {
	if b.left() < 2 {
		b.fail()
		return 0
	}
	v := binary.LittleEndian.Uint16(b.data[b.at:])
	b.at += 2
	return v
}

func (b *buffer) u32() uint32 {
	if b.left() < 4 {
		b.fail()
		return 0
	}
	v := binary.LittleEndian.Uint32(b.data[b.at:])
	b.at += 4
	return v
}

func (b *buffer) u64() uint64 {
	if b.left() < 8 {
		b.fail()
		return 0
	}
	v := binary.LittleEndian.Uint64(b.data[b.at:])
	b.at += 8
	return v
}

// number reads one of size bytes, at most 8.
func (b *buffer) number(size int) uint64 {
	switch size {
	case 1:
		return uint64(b.u8())
	case 2:
		return uint64(b.u16())
	case 4:
		return uint64(b.u32())
	case 8:
		return b.u64()
	}
	v := uint64(0)
	for i := range size {
		v |= uint64(b.u8()) << (8 * i)
	}
	return v
}

// offset reads an offset in a section, which is 4 bytes, or 8 in the 64-bit
// format.
func (b *buffer) offset(wide bool) uint64 {
	if wide {
		return b.u64()
	}
	return uint64(b.u32())
}

// uleb and sleb read numbers of 7 bits per byte (DWARF 5, section 7.6). Bits
// beyond 64 are dropped.
func (b *buffer) uleb() uint64 {
	if b.at < len(b.data) && b.data[b.at] < 0x80 {
		b.at++
		return uint64(b.data[b.at-1])
	}
	v := uint64(0)
	for shift := 0; ; shift += 7 {
		c := b.u8()
		v |= uint64(c&0x7f) << min(shift, 64)
		if c < 0x80 {
			return v
		}
	}
}

func (b *buffer) sleb() int64 {
	v := int64(0)
	for shift := 0; ; {
		c := b.u8()
		v |= int64(c&0x7f) << min(shift, 64)
		shift += 7
		if c < 0x80 {
			if c&0x40 != 0 && shift < 64 {
				v |= -1 << shift
			}
			return v
		}
	}
}

// text reads a string that ends with a zero byte, which is not part of it.
func (b *buffer) text() []byte {
	end := bytes.IndexByte(b.data[b.at:], 0)
	if end < 0 {
		b.fail()
		return nil
	}
	t := b.data[b.at : b.at+end]
	b.at += end + 1
	return t
}

// length reads the length that units and tables begin with, and whether it is
// in the 64-bit format (DWARF 5, section 7.4).
func (b *buffer) length() (n uint64, wide bool) {
	n = uint64(b.u32())
	if n == 0xffffffff {
		return b.u64(), true
	}
	if n >= 0xfffffff0 {
		b.fail()
	}
	return n, false
}
