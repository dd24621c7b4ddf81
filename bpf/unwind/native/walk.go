package native

// Registers of a thread in user mode, as far as unwinding needs them: struct
// registers and general of include/types.h.
type Registers struct {
	PC, SP, FP uint64
	RBX        uint64     // amd64
	LR         uint64     // arm64
	General    [16]uint64 // amd64: by DWARF's numbers; arm64: the first is x28
}

// Memory is a copy of a thread's stack, in pieces.
type Memory []Piece

// Piece is a copy of memory.
type Piece struct {
	Start uint64 // address of the first word, a multiple of 8
	Words []uint64
}

func (m Memory) read(address uint64) (uint64, bool) {
	for _, p := range m {
		at := address - p.Start
		if address >= p.Start && at&7 == 0 && at/8 < uint64(len(p.Words)) {
			return p.Words[at/8], true
		}
	}
	return 0, false
}

// Code says what is known of an address in a process.
type Code int

const (
	// Unknown: in no executable memory.
	Unknown Code = iota
	// Ruled: there is a rule.
	Ruled
	// Bare: executable memory without a rule: generated or hand-written code.
	Bare
)

// End says why a walk ended.
type End int

const (
	// Outermost: the stack is whole.
	Outermost End = iota
	// NoFramePointer: in code without a rule, whose frame pointer is none.
	NoFramePointer
	// BeyondCopy: the stack goes on where it was not copied.
	BeyondCopy
	// TooDeep: more frames than were asked for.
	TooDeep
	// NoGoroutine: Go's runtime works on another stack than the goroutine's.
	NoGoroutine
	// OtherRule: a rule of a form that is not followed.
	OtherRule
)

// Step is a frame that a walk found.
type Step struct {
	PC uint64
	// Return says that PC is behind a call; Guessed that it was found by a frame
	// pointer that nothing vouches for.
	Return, Guessed bool
}

// Walk is what the kernel side does, over a copy of the stack: for samples
// that were taken before the kernel side knew the process or its unwind tables.
// rule is asked for the rule of an address. The architecture is that of the
// machine.
func Walk(r Registers, m Memory, most int, rule func(address uint64) (Rule, Code)) ([]Step, End) {
	w := walk{Registers: r, memory: m, most: most, haveRBX: true, haveLR: true}
	w.push(Step{PC: r.PC})
	for {
		if end, over := w.step(rule); over {
			return w.steps, end
		}
	}
}

type walk struct {
	Registers
	memory          Memory
	most            int
	steps           []Step
	haveRBX, haveLR bool
}

// lostFP is a frame pointer that nobody knows: 0 would be that of the outermost
// frame, and none is odd.
const lostFP = 1

func (w *walk) push(s Step) { w.steps = append(w.steps, s) }

func (w *walk) step(rule func(address uint64) (Rule, Code)) (End, bool) {
	last := w.steps[len(w.steps)-1]
	look := last.PC
	if last.Return {
		look--
	}
	r, code := rule(look)
	switch {
	case code == Unknown && last.Return:
		// No code returns there: something else was taken for a frame.
		w.steps = w.steps[:len(w.steps)-1]
		return NoFramePointer, true
	case code == Ruled && r != (Rule{}):
		return w.byRule(r)
	}
	return w.byFramePointer(16, true)
}

// goOn continues at a return address.
func (w *walk) goOn(s Step) (End, bool) {
	s.PC &= addressBits
	switch {
	case s.PC == 0:
		return Outermost, true
	case len(w.steps) >= w.most:
		return TooDeep, true
	}
	w.PC = s.PC
	w.push(s)
	return 0, false
}

// byFramePointer goes on at the frame pointer; the caller's frame is size bytes above.
func (w *walk) byFramePointer(size int32, guessed bool) (End, bool) {
	if w.FP == 0 && guessed && !w.steps[len(w.steps)-1].Guessed {
		return NoFramePointer, true // code that has any number there
	}
	if w.FP == 0 {
		return Outermost, true
	}
	if guessed && w.FP < w.SP {
		return NoFramePointer, true
	}
	fp, ok := w.memory.read(w.FP)
	ra, ok2 := w.memory.read(w.FP + 8)
	if !ok || !ok2 {
		if guessed {
			return NoFramePointer, true
		}
		return BeyondCopy, true
	}
	w.SP = w.FP + uint64(int64(size))
	w.FP = fp
	w.haveRBX, w.haveLR = false, false
	return w.goOn(Step{PC: ra, Return: true, Guessed: guessed})
}

func (w *walk) byRule(r Rule) (End, bool) {
	switch nativeRuleKind(r.kind) {
	case nativeRuleKindRULE_GOROUTINE, nativeRuleKindRULE_CGO:
		// The runtime's own records lead on, which are not copied.
		if w.steps[len(w.steps)-1].Return {
			return NoGoroutine, true
		}
	case nativeRuleKindRULE_STOP:
		return Outermost, true
	case nativeRuleKindRULE_FP:
		return w.byFramePointer(r.cfa, false)
	case nativeRuleKindRULE_SIGNAL:
		return w.bySignal()
	case nativeRuleKindRULE_OTHER:
		return OtherRule, true
	}
	cfa, ok := w.base(r.reg)
	if !ok {
		return OtherRule, true
	}
	cfa += uint64(int64(r.cfa))
	switch nativeRuleKind(r.kind) {
	case nativeRuleKindRULE_DEREF:
		if cfa, ok = w.memory.read(cfa); !ok {
			return BeyondCopy, true
		}
		cfa += uint64(int64(r.extra))
	case nativeRuleKindRULE_PLT:
		if int64(w.PC&15) >= int64(r.extra) {
			cfa += 8
		}
	}
	if cfa < w.SP {
		return BeyondCopy, true
	}
	var ra uint64
	if r.ra != 0 {
		if ra, ok = w.memory.read(cfa + uint64(int64(r.ra))); !ok {
			return BeyondCopy, true
		}
	} else if ra, ok = w.returnRegister(r); !ok {
		return OtherRule, true
	}
	rbx, haveRBX, ok := w.restored(r.rbx, r.rbxAt, cfa, w.RBX, w.haveRBX)
	if !ok {
		return BeyondCopy, true
	}
	fp, haveFP, ok := w.restored(r.fp, r.fpAt, cfa, w.FP, true)
	if !ok {
		return BeyondCopy, true
	}
	if !haveFP {
		fp = lostFP
	}
	w.RBX, w.haveRBX, w.FP, w.SP, w.haveLR = rbx, haveRBX, fp, cfa, false
	if nativeRuleKind(r.kind) != nativeRuleKindRULE_INJECTED {
		return w.goOn(Step{PC: ra, Return: true})
	}
	if !w.stopped() {
		return BeyondCopy, true
	}
	return w.goOn(Step{PC: ra})
}

// restored returns the caller's value of a register, and whether it is known. ok
// is false when it lies beyond the copy.
func (w *walk) restored(where uint8, at int16, cfa, value uint64, have bool) (caller uint64, known, ok bool) {
	var address uint64
	switch nativeRuleSaved(where) {
	case nativeRuleSavedSAVED_SAME:
		return value, have, true
	case nativeRuleSavedSAVED_CFA:
		address = cfa + uint64(int64(at))
	case nativeRuleSavedSAVED_FP:
		address = w.FP + uint64(int64(at))
	default:
		return 0, false, true
	}
	if !w.isSaved(address) {
		return value, have, true
	}
	caller, ok = w.memory.read(address)
	return caller, ok, ok
}

func (w *walk) base(reg uint8) (uint64, bool) {
	switch nativeRuleRegister(reg) {
	case nativeRuleRegisterREGISTER_SP:
		return w.SP, true
	case nativeRuleRegisterREGISTER_FP:
		return w.FP, true
	case nativeRuleRegisterREGISTER_RBX:
		return w.RBX, w.haveRBX
	}
	n := int(reg) - int(nativeRuleRegisterREGISTER_GENERAL)
	if n < 0 || n >= len(w.General) {
		return 0, false
	}
	return w.General[n], true
}

// bySignal takes the registers that the kernel has saved for a signal handler.
func (w *walk) bySignal() (End, bool) {
	at := w.SP
	ok := true
	// Nobody has called the code that handlers return to: it begins there.
	w.steps[len(w.steps)-1].Return = false
	word := func(n int) uint64 {
		v, found := w.memory.read(at + signalRegisters + 8*uint64(n))
		ok = ok && found
		return v
	}
	pc := w.interrupted(word)
	if !ok {
		return BeyondCopy, true
	}
	return w.goOn(Step{PC: pc})
}
