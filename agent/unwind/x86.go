package unwind

import "encoding/binary"

// x86 is an instruction of amd64, as far as it matters here.
type x86 struct {
	size     int
	table    int // of opcodes: 0, 1 (0F), 2 (0F 38), 3 (0F 3A)
	op       byte
	rex      byte // of the bits W, R, X and B
	hasREX   bool
	vector   bool // VEX or EVEX
	hasModRM bool
	mod      byte
	reg, rm  byte  // registers, of mod 3 both
	stack    bool  // the operand in memory is at rsp + displacement
	at       int32 // displacement
	value    int32 // immediate value, or distance of a jump
}

// Registers by their numbers in instructions.
const (
	x86SP = 4
	x86FP = 5
)

// How instructions go on behind opcode and ModRM (Intel's Software Developer's Manual,
// volume 2, appendix A).
const (
	none8   = iota // nothing
	value8         // a byte
	value32        // four bytes; two with prefix 66
	far32          // four bytes
)

// valueOf returns the form of a value behind an opcode without prefix byte.
func valueOf(op byte) int {
	switch {
	case op < 0x40 && op&7 == 4, op == 0x6a, op == 0x6b, op >= 0x70 && op <= 0x80, op == 0x83, op == 0xa8, op >= 0xb0 && op <= 0xb7,
		op == 0xc0, op == 0xc1, op == 0xc6, op == 0xcd, op >= 0xe0 && op <= 0xe7, op == 0xeb:
		return value8
	case op < 0x40 && op&7 == 5, op == 0x68, op == 0x69, op == 0x81, op == 0xa9, op == 0xc7:
		return value32
	case op == 0xe8, op == 0xe9:
		return far32
	}
	return none8
}

func hasModRM(op byte) bool {
	return op < 0x40 && op&7 < 4 || op == 0x63 || op == 0x69 || op == 0x6b || op >= 0x80 && op <= 0x8f ||
		op == 0xc0 || op == 0xc1 || op == 0xc6 || op == 0xc7 || op >= 0xd0 && op <= 0xd3 || op >= 0xd8 && op <= 0xdf ||
		op == 0xf6 || op == 0xf7 || op == 0xfe || op == 0xff
}

// isInvalid are opcodes that 64-bit code has not, or that we do not expect there.
func isInvalid(op byte) bool {
	switch op {
	case 0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xc8, 0xca, 0xcb, 0xcf, 0xce, 0xd4, 0xd5, 0xd6, 0xea:
		return true
	}
	return false
}

func (x *x86) valueOf0F() int {
	switch op := x.op; {
	case op >= 0x80 && op <= 0x8f && !x.vector:
		return far32
	case op >= 0x70 && op <= 0x73, op == 0xa4, op == 0xac, op == 0xba, op == 0xc2, op >= 0xc4 && op <= 0xc6:
		return value8
	}
	return none8
}

func (x *x86) hasModRM0F() bool {
	switch op := x.op; {
	case x.vector:
		return op != 0x77
	case op >= 0x80 && op <= 0x8f, op >= 0xc8 && op <= 0xcf, op >= 0x30 && op <= 0x37, op >= 0xa0 && op <= 0xa2, op >= 0xa8 && op <= 0xaa,
		op == 0x05, op >= 0x06 && op <= 0x09, op == 0x0b, op == 0x0e, op == 0x77:
		return false
	}
	return true
}

// decodeX86 reads an instruction. It returns false for what it does not know, and at
// the end of the code.
func decodeX86(code []byte) (x x86, ok bool) {
	const longest = 15
	b := code[:min(len(code), longest)]
	at, short := 0, false // short: operands of 16 bits
	next := func() byte {
		if at >= len(b) {
			at = longest + 1
			return 0
		}
		at++
		return b[at-1]
	}
	op := next()
	for ; ; op = next() {
		switch op {
		case 0x66:
			short = true
			continue
		case 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65, 0xf0, 0xf2, 0xf3:
			continue
		case 0x67:
			return x, false // addresses of 32 bits
		}
		break
	}
	if op&0xf0 == 0x40 {
		x.rex, x.hasREX = op&0xf, true
		op = next()
	}
	switch {
	case op == 0xc5 || op == 0xc4 || op == 0x62:
		x.vector = true
		first := next()
		x.table = 1
		x.rex = ^first >> 5 & 4
		if op != 0xc5 {
			x.table, x.rex = int(first&0x1f), ^first>>5&7
			second := next()
			x.rex |= second >> 4 & 8
		}
		if op == 0x62 {
			x.table = int(first & 7)
			next()
		}
		if x.table < 1 || x.table > 3 {
			return x, false
		}
		op = next()
	case op == 0x0f:
		x.table = 1
		if op = next(); op == 0x38 || op == 0x3a {
			x.table = 2 + int(op>>1&1)
			op = next()
		}
	case isInvalid(op):
		return x, false
	}
	x.op = op
	value := none8
	switch x.table {
	case 0:
		x.hasModRM, value = hasModRM(op), valueOf(op)
	case 1:
		x.hasModRM, value = x.hasModRM0F(), x.valueOf0F()
	case 2:
		x.hasModRM = true
	case 3:
		x.hasModRM, value = true, value8
	}
	if x.hasModRM {
		m := next()
		x.mod, x.reg, x.rm = m>>6, m>>3&7|x.rex<<1&8, m&7|x.rex<<3&8
		if x.mod != 3 {
			size := int(x.mod) * int(x.mod) // none, 1 or 4
			if m&7 == 4 {
				s := next()
				x.stack = s&0x3f == 0x24 && x.rex&3 == 0
				if x.mod == 0 && s&7 == 5 {
					size = 4
				}
			} else if x.mod == 0 && m&7 == 5 {
				size = 4
			}
			x.at = signed(b, &at, size)
		}
		if x.table == 0 && (op == 0xf6 || op == 0xf7) && m>>3&7 < 2 {
			value = value8 + int(op&1)
		}
	}
	switch {
	case value == value8:
		x.value = signed(b, &at, 1)
	case value == value32 && short && x.rex&8 == 0:
		x.value = signed(b, &at, 2)
	case value != none8:
		x.value = signed(b, &at, 4)
	case x.table == 0 && op >= 0xb8 && op <= 0xbf && x.rex&8 != 0, x.table == 0 && op >= 0xa0 && op <= 0xa3:
		at += 8
	case x.table == 0 && op >= 0xb8 && op <= 0xbf:
		at += 4
		if short {
			at -= 2
		}
	case x.table == 0 && op == 0xc2:
		at += 2
	}
	x.size = at
	return x, at <= len(b)
}

// signed reads a number of size bytes: 0, 1, 2 or 4.
func signed(b []byte, at *int, size int) (v int32) {
	if *at+size <= len(b) {
		switch part := b[*at:]; size {
		case 1:
			v = int32(int8(part[0]))
		case 2:
			v = int32(int16(binary.LittleEndian.Uint16(part)))
		case 4:
			v = int32(binary.LittleEndian.Uint32(part))
		}
	}
	*at += size
	return v
}

// writes says whether the instruction may write a general register: rsp or rbp.
func (x *x86) writes(register byte) bool {
	inReg, inRM := x.reg == register, x.mod == 3 && x.rm == register
	low := x.op&7|x.rex<<3&8 == register
	// Of a byte these numbers mean others: ah, ch and so on.
	bytes := func() bool { return x.op&1 == 0 && !x.hasREX }
	switch op := x.op; x.table {
	case 0:
		switch {
		case op >= 0xb8 && op <= 0xbf, op >= 0x90 && op <= 0x97, op >= 0x58 && op <= 0x5f:
			return low
		case op >= 0xb0 && op <= 0xb7:
			return low && x.hasREX
		case !x.hasModRM:
			return false
		case op >= 0x38 && op < 0x40, op == 0x84, op == 0x85: // compare
			return false
		case op < 0x40:
			return !bytes() && (op&2 != 0 && inReg || op&2 == 0 && inRM)
		case op == 0x80 || op == 0x81 || op == 0x83:
			return inRM && x.reg&7 != 7 && !(op == 0x80 && !x.hasREX)
		case op == 0x86 || op == 0x87:
			return !bytes() && (inReg || inRM)
		case op == 0x63 || op == 0x69 || op == 0x6b || op == 0x8a || op == 0x8b || op == 0x8d:
			return inReg && !(op == 0x8a && !x.hasREX)
		case op >= 0xd8 && op <= 0xdf: // of the FPU
			return false
		case op == 0xf6 || op == 0xf7:
			return inRM && !bytes() && (x.reg&7 == 2 || x.reg&7 == 3)
		case op == 0xff && x.reg&7 >= 2:
			return false
		}
		return inRM && !bytes()
	case 1:
		switch {
		case op >= 0x40 && op <= 0x4f && !x.vector, op == 0xaf, op == 0xb6, op == 0xb7, op == 0xbe, op == 0xbf, op == 0xb8, op == 0xbc, op == 0xbd,
			op == 0x2c, op == 0x2d, op == 0x50, op == 0xd7, op == 0xc5, op == 0x02, op == 0x03, op == 0x78:
			return inReg
		case op >= 0xc8 && op <= 0xcf && !x.vector:
			return low
		case op == 0xc0 || op == 0xc1:
			return inReg || inRM
		case op >= 0x90 && op <= 0x9f, op == 0xab, op == 0xb3, op == 0xbb, op == 0xba, op == 0xa4, op == 0xa5, op == 0xac, op == 0xad, op == 0xb0, op == 0xb1,
			op == 0x7e, op == 0xc7, op == 0x00, op == 0x01, op == 0x20, op == 0x21, op == 0x1e:
			return inRM
		}
		return false
	case 2:
		return op >= 0xf0 && (inReg || inRM || x.vector)
	}
	return op3Writes(x.op) && (inReg || inRM)
}

func op3Writes(op byte) bool {
	return op >= 0x14 && op <= 0x17 || op >= 0x60 && op <= 0x63 || op == 0xf0
}

// flow says where the instruction leads.
func (x *x86) flow() int {
	switch op := x.op; {
	case x.table == 1 && !x.vector && op >= 0x80 && op <= 0x8f, x.table == 0 && (op >= 0x70 && op <= 0x7f || op >= 0xe0 && op <= 0xe3):
		return flowBranches
	case x.table == 1 && op == 0x0b && !x.vector, x.table == 0 && (op == 0xc2 || op == 0xc3 || op == 0xcc || op == 0xf4):
		return flowEnds
	case x.table != 0:
		return flowNext
	case op == 0xeb, op == 0xe9:
		return flowJumps
	case op == 0xe8, op == 0xff && x.reg&7 == 2:
		return flowCalls
	case op == 0xff && x.reg&7 == 4:
		return flowEnds
	}
	return flowNext
}

// step is what the instruction does to the frame.
func (x *x86) step(f *frameAt) {
	wide := x.rex&8 != 0
	register := x.op&7 | x.rex<<3&8
	toSP := x.mod == 3 && x.rm == x86SP && wide
	switch op := x.op; {
	case x.table != 0:
	case op >= 0x50 && op <= 0x57: // push
		f.move(8)
		if register == x86FP {
			f.save(0)
		}
		return
	case op >= 0x58 && op <= 0x5f && register != x86SP: // pop
		if register == x86FP {
			f.restore(0)
		}
		f.move(-8)
		return
	case op == 0x68, op == 0x6a, op == 0x9c, op == 0xff && x.reg&7 == 6: // push
		f.move(8)
		return
	case op == 0x9d, op == 0x8f: // pop
		f.move(-8)
		return
	case (op == 0x81 || op == 0x83) && toSP && x.reg&7 == 5: // sub
		f.move(x.value)
		return
	case (op == 0x81 || op == 0x83) && toSP && x.reg&7 == 0: // add
		f.move(-x.value)
		return
	case op == 0x8d && wide && x.stack && x.reg == x86SP: // lea
		f.move(-x.at)
		return
	case op == 0x8d && wide && x.stack && x.reg == x86FP:
		f.point(x.at)
		return
	case op == 0x8d && wide && x.reg == x86SP && (x.mod == 1 || x.mod == 2) && x.rm == x86FP:
		f.back(x.at)
		return
	case (op == 0x89 || op == 0x8b) && wide && x.mod == 3: // mov
		from, to := x.reg, x.rm
		if op == 0x8b {
			from, to = to, from
		}
		switch {
		case from == x86SP && to == x86FP:
			f.point(0)
			return
		case from == x86FP && to == x86SP:
			f.back(0)
			return
		case to != x86SP && to != x86FP:
			return
		}
	case op == 0x89 && wide && x.stack && x.reg == x86FP:
		f.save(x.at)
		return
	case op == 0x8b && wide && x.stack && x.reg == x86FP:
		f.restore(x.at)
		return
	case op == 0xc9: // leave
		f.back(0)
		f.restore(0)
		f.move(-8)
		return
	}
	if x.writes(x86SP) {
		f.sp = unknown
	}
	if x.writes(x86FP) {
		f.fp, f.lost = unknown, true
	}
}
