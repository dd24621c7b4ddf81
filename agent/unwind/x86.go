package unwind

import (
	"bytes"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// endbr64 marks where code may be jumped to; x86asm does not know it.
var endbr64 = []byte{0xf3, 0x0f, 0x1e, 0xfa}

// stepX86 reads an instruction of amd64, and moves the frame by what it does. It
// returns false for what is no instruction, or one of AVX.
func stepX86(code []byte, f *frameAt) (instruction, bool) {
	if bytes.HasPrefix(code, endbr64) {
		return instruction{size: len(endbr64)}, true
	}
	in, err := x86asm.Decode(code, 64)
	if err != nil {
		return instruction{}, false
	}
	x := instruction{size: in.Len}
	to, _ := in.Args[0].(x86asm.Reg)
	from, _ := in.Args[1].(x86asm.Reg)
	value, isValue := in.Args[1].(x86asm.Imm)
	load, loads := onStack(in.Args[1])
	store, stores := onStack(in.Args[0])
	switch op := in.Op; {
	case op == x86asm.RET || op == x86asm.UD2 || op == x86asm.UD1 || op == x86asm.HLT || op == x86asm.INT:
		x.flow = flowEnds
	case op == x86asm.CALL:
		x.flow = flowCalls
	case op == x86asm.JMP:
		if jump, ok := in.Args[0].(x86asm.Rel); ok {
			x.flow, x.jump = flowJumps, int32(jump)
		} else {
			x.flow = flowEnds
		}
	case isBranch(in):
		x.flow, x.jump = flowBranches, int32(in.Args[0].(x86asm.Rel))
	case op == x86asm.PUSH || op == x86asm.PUSHFQ:
		f.move(8)
		if to == x86asm.RBP {
			f.save(0)
		}
	case (op == x86asm.POP || op == x86asm.POPFQ) && to != x86asm.RSP:
		if to == x86asm.RBP {
			f.restore(0)
		}
		f.move(-8)
	case op == x86asm.SUB && to == x86asm.RSP && isValue:
		f.move(int32(value))
	case op == x86asm.ADD && to == x86asm.RSP && isValue:
		f.move(-int32(value))
	case op == x86asm.LEA && to == x86asm.RSP && loads && load.Base == x86asm.RSP:
		f.move(-int32(load.Disp))
	case op == x86asm.LEA && to == x86asm.RSP && loads:
		f.back(int32(load.Disp))
	case op == x86asm.LEA && to == x86asm.RBP && loads && load.Base == x86asm.RSP:
		f.point(int32(load.Disp))
	case op == x86asm.MOV && to == x86asm.RBP && from == x86asm.RSP:
		f.point(0)
	case op == x86asm.MOV && to == x86asm.RSP && from == x86asm.RBP:
		f.back(0)
	case op == x86asm.MOV && stores && store.Base == x86asm.RSP && from == x86asm.RBP:
		f.save(int32(store.Disp))
	case op == x86asm.MOV && to == x86asm.RBP && loads && load.Base == x86asm.RSP:
		f.restore(int32(load.Disp))
	case op == x86asm.LEAVE:
		f.back(0)
		f.restore(0)
		f.move(-8)
	case op == x86asm.XCHG || op == x86asm.XADD:
		f.write(to)
		f.write(from)
	case !slices.Contains(readers, op):
		f.write(to)
	}
	return x, true
}

// readers are instructions that do not write their first operand.
var readers = []x86asm.Op{x86asm.CMP, x86asm.TEST, x86asm.BT, x86asm.NOP, x86asm.MUL, x86asm.DIV, x86asm.IDIV}

// write notes that a register has got a value that is not known.
func (f *frameAt) write(r x86asm.Reg) {
	switch r {
	case x86asm.RSP, x86asm.ESP, x86asm.SP, x86asm.SPB:
		f.sp = unknown
	case x86asm.RBP, x86asm.EBP, x86asm.BP, x86asm.BPB:
		f.fp, f.lost = unknown, true
	}
}

// onStack returns an operand that lies at a known distance from the stack or the
// frame pointer.
func onStack(a x86asm.Arg) (x86asm.Mem, bool) {
	m, ok := a.(x86asm.Mem)
	return m, ok && m.Index == 0 && m.Segment == 0 && (m.Base == x86asm.RSP || m.Base == x86asm.RBP)
}

// isBranch says whether an instruction jumps or not: all others that have a distance
// are known already.
func isBranch(in x86asm.Inst) bool {
	_, ok := in.Args[0].(x86asm.Rel)
	return ok
}
