package ehframe

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// DW_CFA: instructions. The first three keep an operand in the low 6 bits.
const (
	opAdvance = 0x40
	opOffset  = 0x80
	opRestore = 0xc0
	opMask    = 0xc0

	opNop                    = 0x00
	opSetLocation            = 0x01
	opAdvance1               = 0x02
	opAdvance2               = 0x03
	opAdvance4               = 0x04
	opOffsetExtended         = 0x05
	opRestoreExtended        = 0x06
	opUndefined              = 0x07
	opSameValue              = 0x08
	opRegister               = 0x09
	opRememberState          = 0x0a
	opRestoreState           = 0x0b
	opDefCFA                 = 0x0c
	opDefCFARegister         = 0x0d
	opDefCFAOffset           = 0x0e
	opDefCFAExpression       = 0x0f
	opExpression             = 0x10
	opOffsetExtendedSigned   = 0x11
	opDefCFASigned           = 0x12
	opDefCFAOffsetSigned     = 0x13
	opValOffset              = 0x14
	opValOffsetSigned        = 0x15
	opValExpression          = 0x16
	opAdvance8               = 0x1d // MIPS
	opNegateRAStateWithPC    = 0x2c // arm64
	opNegateRAState          = 0x2d // arm64; register windows on SPARC
	opArgsSize               = 0x2e // GNU
	opNegativeOffsetExtended = 0x2f // GNU, obsolete
)

const (
	// maxRemembered is how many states may be remembered. Seen: 1.
	maxRemembered = 32
	// maxInstructions is the bytes of an FDE's instructions. They are executed
	// again for each range of addresses that is asked for. Seen: 33,659.
	maxInstructions = 1 << 18
)

var (
	errAdvanceInCIE = errors.New("CIE that advances")
	errBackwards    = errors.New("location goes backwards")
	errAdvance      = errors.New("location goes behind the last address")
	errOffset       = errors.New("offset of more than 32 bits")
	errNotRemember  = errors.New("state that was not remembered")
	errRemember     = errors.New("too many remembered states")
	errInstructions = errors.New("too many instructions")
)

// state is what instructions change.
type state struct {
	rule Rule
	// sp is the rule for the stack pointer. Everywhere but in a few
	// instructions of longjmp it is the CFA.
	sp RegisterRule
	// offset of the CFA from a register. It outlives an expression: libgcrypt
	// relies on that, and it is so in libgcc.
	offset int32
}

// machine executes instructions.
type machine struct {
	state
	remembered [maxRemembered]state
	depth      int
}

// initial executes the instructions of a CIE, which c is at, from the state
// that the ABI says all functions are called with.
func (m *machine) initial(r *Reader, ci *cie, c cursor) error {
	m.state = state{rule: Rule{
		CFA:    CFARule{Kind: CFAUnsupported},
		RA:     RegisterRule{Kind: InRegister, Register: ci.ra},
		Signal: ci.signal,
	}}
	if r.arch.rbx == none {
		m.rule.RBX.Kind = Undefined
	}
	ci.initial = m.state // what CIEs restore
	err := m.run(r, ci, &c, 0, 0, nil)
	ci.initial = m.state
	return err
}

// Rows emits the rows of an FDE of this reader's section, in order of their
// addresses, which lie in the FDE's range. After an error the last row is
// [CFAUnsupported], up to the end of the range.
func (r *Reader) Rows(f FDE, emit func(Row)) error {
	if err := r.rows(f, emit); err != nil {
		return fmt.Errorf("read FDE at %#x: %w", f.offset, err)
	}
	return nil
}

func (r *Reader) rows(f FDE, emit func(Row)) error {
	ci, err := r.lookup(f.cie)
	if err != nil {
		return err
	}
	r.machine.state = ci.initial
	c := cursor{data: r.section.Data[:f.codeTo], offset: f.code}
	if f.codeTo-f.code > maxInstructions {
		c.fail(errInstructions)
	}
	return r.machine.run(r, ci, &c, f.Start, f.Limit, emit)
}

// run executes the instructions between two addresses and emits the rows they
// make. CIEs' instructions have no addresses: they are equal.
func (m *machine) run(r *Reader, ci *cie, c *cursor, pc, limit uint64, emit func(Row)) error {
	m.depth = 0
	for c.more() {
		next := pc
		op := c.u8()
		switch op & opMask {
		case opAdvance:
			next = advance(c, pc, uint64(op&^opMask), ci.codeAlign)
		case opOffset:
			at := factored(c, int64(c.uleb()), ci.dataAlign)
			m.set(r.arch, ci, uint64(op&^opMask), RegisterRule{Kind: AtCFA, Offset: at})
		case opRestore:
			m.restore(r.arch, ci, uint64(op&^opMask))
		default:
			next = m.extended(r, ci, c, op, pc)
		}
		if c.err != nil {
			break
		}
		if next == pc {
			continue
		}
		if limit == 0 {
			return errAdvanceInCIE
		}
		emit(Row{PC: pc, Rule: m.finished(r.arch)})
		if next >= limit {
			return nil
		}
		pc = next
	}
	if limit == 0 {
		return c.err
	}
	if c.err != nil {
		emit(Row{PC: pc, Rule: Rule{CFA: CFARule{Kind: CFAUnsupported}}})
		return c.err
	}
	emit(Row{PC: pc, Rule: m.finished(r.arch)})
	return nil
}

// extended executes an instruction whose operands follow it, and returns the
// address that code after it is for.
func (m *machine) extended(r *Reader, ci *cie, c *cursor, op uint8, pc uint64) uint64 {
	switch op {
	case opNop:
	case opSetLocation:
		next := r.address(c, ci.encoding)
		if next < pc {
			c.fail(errBackwards)
		}
		return next
	case opAdvance1:
		return advance(c, pc, uint64(c.u8()), ci.codeAlign)
	case opAdvance2:
		return advance(c, pc, uint64(c.u16()), ci.codeAlign)
	case opAdvance4:
		return advance(c, pc, uint64(c.u32()), ci.codeAlign)
	case opAdvance8:
		return advance(c, pc, c.u64(), ci.codeAlign)
	case opDefCFA, opDefCFASigned, opDefCFARegister, opDefCFAOffset, opDefCFAOffsetSigned, opDefCFAExpression:
		m.defineCFA(r.arch, ci, c, op)
	case opRememberState:
		if m.depth == maxRemembered {
			c.fail(errRemember)
			break
		}
		m.remembered[m.depth] = m.state
		m.depth++
	case opRestoreState:
		if m.depth == 0 {
			c.fail(errNotRemember)
			break
		}
		m.depth--
		m.state = m.remembered[m.depth]
	case opArgsSize:
		c.uleb() // what exceptions pop
	case opNegateRAState, opNegateRAStateWithPC:
		// Signatures are stripped from return addresses whether or not there
		// is one.
		if r.section.Arch != ARM64 {
			c.fail(fmt.Errorf("instruction %#x", op))
		}
	default:
		m.defineRegister(r.arch, ci, c, op)
	}
	return pc
}

// defineCFA executes an instruction that changes the CFA.
func (m *machine) defineCFA(arch *registers, ci *cie, c *cursor, op uint8) {
	switch op {
	case opDefCFA:
		register := c.uleb()
		m.setCFA(arch, register, unfactored(c))
	case opDefCFASigned:
		register := c.uleb()
		m.setCFA(arch, register, factored(c, c.sleb(), ci.dataAlign))
	case opDefCFARegister:
		m.setCFA(arch, c.uleb(), m.offset)
	case opDefCFAOffset:
		m.setOffset(unfactored(c))
	case opDefCFAOffsetSigned:
		m.setOffset(factored(c, c.sleb(), ci.dataAlign))
	case opDefCFAExpression:
		m.rule.CFA = arch.cfaExpression(block(c))
	}
}

// setCFA makes the CFA a register and an offset.
func (m *machine) setCFA(arch *registers, register uint64, offset int32) {
	m.offset = offset
	m.rule.CFA = CFARule{Kind: CFARegister, Register: uint8(register), Offset: offset}
	if register > uint64(arch.last) {
		m.rule.CFA = CFARule{Kind: CFAUnsupported}
	}
}

// setOffset changes the offset. A CFA that is an expression stays so.
func (m *machine) setOffset(offset int32) {
	m.offset = offset
	if m.rule.CFA.Kind == CFARegister {
		m.rule.CFA.Offset = offset
	}
}

// defineRegister executes an instruction that changes a register's rule.
func (m *machine) defineRegister(arch *registers, ci *cie, c *cursor, op uint8) {
	register := c.uleb()
	var rule RegisterRule
	switch op {
	case opOffsetExtended:
		rule = RegisterRule{Kind: AtCFA, Offset: factored(c, int64(c.uleb()), ci.dataAlign)}
	case opOffsetExtendedSigned:
		rule = RegisterRule{Kind: AtCFA, Offset: factored(c, c.sleb(), ci.dataAlign)}
	case opNegativeOffsetExtended:
		rule = RegisterRule{Kind: AtCFA, Offset: factored(c, -int64(c.uleb()), ci.dataAlign)}
	case opValOffset:
		rule = RegisterRule{Kind: IsCFA, Offset: factored(c, int64(c.uleb()), ci.dataAlign)}
	case opValOffsetSigned:
		rule = RegisterRule{Kind: IsCFA, Offset: factored(c, c.sleb(), ci.dataAlign)}
	case opUndefined:
		rule = RegisterRule{Kind: Undefined}
	case opSameValue:
		rule = ci.same(register)
	case opRegister:
		rule = arch.inRegister(c.uleb())
	case opExpression:
		rule = arch.addressExpression(block(c))
	case opValExpression:
		block(c)
		rule = RegisterRule{Kind: Unsupported}
	case opRestoreExtended:
		m.restore(arch, ci, register)
		return
	default:
		c.fail(fmt.Errorf("instruction %#x", op))
		return
	}
	m.set(arch, ci, register, rule)
}

// same returns the rule of a register that was not changed.
func (ci *cie) same(register uint64) RegisterRule {
	if register == uint64(ci.ra) {
		return RegisterRule{Kind: InRegister, Register: ci.ra}
	}
	return RegisterRule{Kind: Same}
}

// inRegister returns the rule of a value that is in a register.
func (a *registers) inRegister(register uint64) RegisterRule {
	if register > uint64(a.last) && register != uint64(a.ra) {
		return RegisterRule{Kind: Unsupported}
	}
	return RegisterRule{Kind: InRegister, Register: uint8(register)}
}

// set sets the rule of a register, if it is one that matters.
func (m *machine) set(arch *registers, ci *cie, register uint64, rule RegisterRule) {
	switch register {
	case uint64(ci.ra):
		m.rule.RA = rule
	case uint64(arch.fp):
		m.rule.FP = rule
	case uint64(arch.rbx):
		m.rule.RBX = rule
	case uint64(arch.sp):
		m.sp = rule
	}
}

// restore sets the rule of a register to the one it had at the FDE's start.
func (m *machine) restore(arch *registers, ci *cie, register uint64) {
	switch register {
	case uint64(ci.ra):
		m.rule.RA = ci.initial.rule.RA
	case uint64(arch.fp):
		m.rule.FP = ci.initial.rule.FP
	case uint64(arch.rbx):
		m.rule.RBX = ci.initial.rule.RBX
	case uint64(arch.sp):
		m.sp = ci.initial.sp
	}
}

// finished returns the rule for a row.
func (m *machine) finished(arch *registers) Rule {
	if m.sp.Kind == Same {
		return m.rule
	}
	return m.unusual(arch)
}

func (m *machine) unusual(arch *registers) Rule {
	rule := m.rule
	if rule.Signal && rule.CFA.Kind == CFADeref && arch.signal != nil {
		at := func(offset int32) RegisterRule {
			return RegisterRule{Kind: AtRegister, Register: arch.sp, Offset: offset}
		}
		s := arch.signal
		if rule.CFA == (CFARule{Kind: CFADeref, Register: arch.sp, Offset: s.sp}) &&
			m.sp == at(s.sp) && rule.FP == at(s.fp) && rule.RA == at(s.ra) {
			rule.CFA.Kind = CFASignal
			return rule
		}
	}
	if m.sp != (RegisterRule{Kind: IsCFA}) {
		rule.CFA = CFARule{Kind: CFAUnsupported}
	}
	return rule
}

// advance returns the address n units of code after pc.
func advance(c *cursor, pc, n, unit uint64) uint64 {
	high, distance := bits.Mul64(n, unit)
	if high != 0 || pc > math.MaxUint64-distance {
		c.fail(errAdvance)
		return pc
	}
	return pc + distance
}

// unfactored reads an offset in bytes.
func unfactored(c *cursor) int32 {
	n := c.uleb()
	if n > math.MaxInt32 {
		c.fail(errOffset)
	}
	return int32(n)
}

// factored returns n units as an offset in bytes.
func factored(c *cursor, n, unit int64) int32 {
	if n < math.MinInt32 || n > math.MaxInt32 || unit < math.MinInt32 || unit > math.MaxInt32 ||
		n*unit < math.MinInt32 || n*unit > math.MaxInt32 {
		c.fail(errOffset)
		return 0
	}
	return int32(n * unit)
}
