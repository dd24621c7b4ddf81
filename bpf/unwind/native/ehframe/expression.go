package ehframe

import (
	"errors"
	"math"
)

// DW_OP: operations of expressions, as far as the forms below have them.
const (
	opDeref      = 0x06
	opAnd        = 0x1a
	opPlus       = 0x22
	opPlusUconst = 0x23
	opShl        = 0x24
	opGe         = 0x2a
	opLit0       = 0x30 // to opLit0 + 31
	opBreg0      = 0x70 // to opBreg0 + 31
	opBregx      = 0x92
)

// maxExpression is the length of an expression in bytes. Seen: 14.
const maxExpression = 256

var errExpression = errors.New("long expression")

// block reads an expression and returns a cursor over it.
func block(c *cursor) cursor {
	size := c.uleb()
	if size > maxExpression {
		c.fail(errExpression)
	}
	c.bytes(size)
	if c.err != nil {
		return cursor{}
	}
	return cursor{data: c.data[:c.offset], offset: c.offset - int(size)}
}

// cfaExpression returns the rule for a CFA that is the value of an expression.
// The forms it knows are
//
//	breg R O, deref                  what lies at R + O
//	breg R O, deref, plus_uconst E   the same + E
//	breg R O, breg PC 0, lit15, and, litT, ge, lit3, shl, plus
//	                                 R + O, + 8 where PC & 15 >= T
func (a *registers) cfaExpression(e cursor) CFARule {
	register, offset, ok := a.base(&e)
	if !ok {
		return CFARule{Kind: CFAUnsupported}
	}
	if threshold, ok := a.plt(e.data[e.offset:]); ok {
		return CFARule{Kind: CFAPLT, Register: register, Offset: offset, Extra: threshold}
	}
	if e.u8() == opDeref {
		if extra, ok := addend(&e); ok {
			return CFARule{Kind: CFADeref, Register: register, Offset: offset, Extra: extra}
		}
	}
	return CFARule{Kind: CFAUnsupported}
}

// addressExpression returns the rule for a register that is saved at the
// address that is the value of the expression. The form it knows is
//
//	breg R O   at R + O
func (a *registers) addressExpression(e cursor) RegisterRule {
	register, offset, ok := a.base(&e)
	if !ok || e.more() {
		return RegisterRule{Kind: Unsupported}
	}
	return RegisterRule{Kind: AtRegister, Register: register, Offset: offset}
}

// base reads the operation that begins with the value of a register.
func (a *registers) base(e *cursor) (register uint8, offset int32, ok bool) {
	op := e.u8()
	number := uint64(op) - opBreg0
	if op == opBregx {
		number = e.uleb()
	}
	n := e.sleb()
	if e.err != nil || number > uint64(a.last) || n < math.MinInt32 || n > math.MaxInt32 {
		return 0, 0, false
	}
	return uint8(number), int32(n), true
}

// addend reads what is added at the end of an expression, if anything is.
func addend(e *cursor) (int32, bool) {
	if !e.more() {
		return 0, true
	}
	op, n := e.u8(), e.uleb()
	return int32(n), op == opPlusUconst && n <= math.MaxInt32 && e.err == nil && !e.more()
}

// plt returns T of the form that linkers write for a PLT.
func (a *registers) plt(operations []byte) (threshold int32, ok bool) {
	const at = 4 // of T
	if len(operations) != 9 || operations[at] < opLit0 || operations[at] > opLit0+31 {
		return 0, false
	}
	form := [...]byte{opBreg0 + a.pc, 0, opLit0 + 15, opAnd, operations[at], opGe, opLit0 + 3, opShl, opPlus}
	return int32(operations[at] - opLit0), a.pc != none && [9]byte(operations) == form
}
