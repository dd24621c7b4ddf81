package unwind

import "encoding/binary"

// stepARM64 reads an instruction of arm64, and moves the frame by what it does (Arm's
// Architecture Reference Manual, C4.1).
func stepARM64(code []byte, f *frameAt) (instruction, bool) {
	if len(code) < 4 {
		return instruction{}, false
	}
	w := binary.LittleEndian.Uint32(code)
	x := instruction{size: 4}
	field := func(at, bits int) int32 { return int32(w<<(32-at-bits)) >> (32 - bits) }
	jump := func(at, bits int) int32 { return 4*field(at, bits) - 4 }
	first, second, base := w&31, w>>10&31, w>>5&31
	const sp, fp, lr = 31, 29, 30
	switch {
	case w>>16 == 0: // undefined
		return x, false
	case w&0xff9ffc1f == 0xd61f0000 && w>>21&3 != 1, w&0xffe0001f == 0xd4200000, w&0xfffffbff == 0xd65f0bff: // br, ret, brk, retaa
		x.flow = flowEnds
	case w>>26 == 0x05: // b
		x.flow, x.jump = flowJumps, jump(0, 26)
	case w>>26 == 0x25, w&0xfffffc1f == 0xd63f0000: // bl, blr
		x.flow = flowCalls
		if f.saved == 0 {
			f.sp, f.fp = unknown, unknown // where the return address is
		}
	case w>>24 == 0x54, w&0x7e000000 == 0x34000000: // b.cond, cbz
		x.flow, x.jump = flowBranches, jump(5, 19)
	case w&0x7e000000 == 0x36000000: // tbz
		x.flow, x.jump = flowBranches, jump(5, 14)
	case w&0xbf800000 == 0x91000000: // add, sub of a constant, of 64 bits
		n := int32(w>>10&0xfff) << (12 * (w >> 22 & 1))
		if w>>30&1 == 1 {
			n = -n
		}
		switch {
		case first == sp && base == sp:
			f.move(-n)
		case first == fp && base == sp:
			f.point(n)
		case first == sp && base == fp:
			f.back(n)
		case first == sp:
			f.sp = unknown
		case first == fp:
			f.fp, f.lost = unknown, true
		}
	case w&0xbfe00000 == 0x8b200000 && first == sp: // add, sub of a register
		f.sp = unknown
	case w&0xfe000000 == 0xa8000000 && base == sp: // stp, ldp
		n, load := 8*field(15, 7), w>>22&1 == 1
		isFrame := first == fp && second == lr
		after, before := w>>23&3 == 1, w>>23&3 == 3
		if before {
			f.move(-n)
		}
		at := n
		if after || before {
			at = 0
		}
		switch {
		case isFrame && load:
			f.restore(at)
		case isFrame:
			f.save(at)
		case load && (first == fp || second == fp || first == lr || second == lr):
			f.fp, f.lost = unknown, true
		}
		if after {
			f.move(-n)
		}
	case w&0x3e000000 == 0x2c000000 && base == sp && w>>23&1 == 1: // of the vector unit
		f.move(-field(15, 7) * (4 << (w >> 30)))
	case w&0x3b200400 == 0x38000400 && base == sp: // str, ldr that move the stack pointer
		f.move(-field(12, 9))
		if first == fp {
			f.fp, f.lost = unknown, true
		}
	}
	return x, true
}
