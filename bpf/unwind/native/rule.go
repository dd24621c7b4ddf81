package native

import (
	"math"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// Rule is what the kernel side does at an address to get to the caller:
// struct rule of include/table.h. Its zero value says that nothing is known.
type Rule struct {
	kind, reg uint8
	fp, rbx   uint8
	cfa       int32
	extra, ra int16
	fpAt      int16
	rbxAt     int16
}

// Rules without a form of their own in call frame information.
var (
	// Stop: the outermost frame of a thread.
	Stop = Rule{kind: uint8(nativeRuleKindRULE_STOP)}
	// Signal: where a signal handler returns to, with the kernel's frame above.
	Signal = Rule{kind: uint8(nativeRuleKindRULE_SIGNAL)}
	// Other: there is a caller, but no way to it.
	Other = Rule{kind: uint8(nativeRuleKindRULE_OTHER)}
)

// FramePointer is the rule of Go's code whose frame pointer is one, and leads to
// another stack. size is as for [AboveStack].
func FramePointer(size int32, arch ehframe.Arch) Rule {
	r := Rule{kind: uint8(nativeRuleKindRULE_FP), cfa: 16}
	if arch == ehframe.ARM64 {
		r.cfa = size + 8 // it points below the stack pointer
	}
	return r
}

// Goroutine is the rule where Go's runtime has gone from a goroutine's stack, which
// must grow, to the thread's. Before that it is code without a frame.
func Goroutine(arch ehframe.Arch) Rule {
	r := AboveStack(0, arch)
	r.kind = uint8(nativeRuleKindRULE_GOROUTINE)
	return r
}

// CallsC is the rule of arm64 where Go's runtime has gone from a goroutine's stack
// to the thread's for C code. size is as for [AboveStack].
func CallsC(size int32) Rule {
	r := AboveStack(size, ehframe.ARM64)
	if r != Other {
		r.kind = uint8(nativeRuleKindRULE_CGO)
	}
	return r
}

// CalledByC is the rule of the arm64 function of Go's runtime that C calls: it keeps
// the frame pointer and the return address at the top of its frame.
func CalledByC(size int32) Rule {
	return Rule{
		kind: uint8(nativeRuleKindRULE_CFA), reg: uint8(nativeRuleRegisterREGISTER_SP), cfa: size, ra: -8,
		fp: uint8(nativeRuleSavedSAVED_CFA), fpAt: -16,
	}
}

// Injected is the rule of functions of Go's runtime that goroutines seem to have
// called where a signal handler has stopped them. size is as for [AboveStack].
func Injected(size int32, arch ehframe.Arch) Rule {
	r := AboveStack(size, arch)
	if r != Other {
		r.kind = uint8(nativeRuleKindRULE_INJECTED)
	}
	return r
}

// AboveStack is the rule of Go's code: size is how many bytes of its frame lie
// above the stack pointer, up to the return address (amd64) or the caller's frame
// (arm64).
func AboveStack(size int32, arch ehframe.Arch) Rule {
	r := Rule{kind: uint8(nativeRuleKindRULE_CFA), reg: uint8(nativeRuleRegisterREGISTER_SP), cfa: size}
	if arch == ehframe.ARM64 {
		// The return address is the lowest word of a frame, and in the link
		// register while there is none.
		// The caller's frame pointer is a word below.
		if !fits(-size, &r.ra) || !fits(-size-8, &r.fpAt) {
			return Other
		}
		if size > 0 {
			r.fp = uint8(nativeRuleSavedSAVED_CFA)
		} else {
			r.fpAt = 0
		}
		return r
	}
	r.cfa += 8
	r.ra = -8
	if size > 0 {
		r.fp, r.fpAt = uint8(nativeRuleSavedSAVED_CFA), -16
	}
	return r
}

// FromCFI makes a rule of one of call frame information.
func FromCFI(r ehframe.Rule, arch ehframe.Arch) Rule {
	n := &registersOfAMD64
	if arch == ehframe.ARM64 {
		n = &registersOfARM64
	}
	if r.RA.Kind == ehframe.Undefined || arch == ehframe.AMD64 && r.RA == noReturnAddress {
		return Stop
	}
	if r.Signal && (arch == ehframe.ARM64 || r.CFA.Kind == ehframe.CFASignal) {
		return Signal
	}
	out := Rule{cfa: r.CFA.Offset}
	switch r.CFA.Kind {
	case ehframe.CFAEnd:
		return Rule{}
	case ehframe.CFARegister:
		out.kind = uint8(nativeRuleKindRULE_CFA)
	case ehframe.CFADeref:
		out.kind = uint8(nativeRuleKindRULE_DEREF)
	case ehframe.CFAPLT:
		out.kind = uint8(nativeRuleKindRULE_PLT)
	default:
		return Other
	}
	ok := fits(r.CFA.Extra, &out.extra)
	switch reg := r.CFA.Register; {
	case reg == n.sp:
		out.reg = uint8(nativeRuleRegisterREGISTER_SP)
	case reg == n.fp:
		out.reg = uint8(nativeRuleRegisterREGISTER_FP)
	case reg == n.rbx:
		out.reg = uint8(nativeRuleRegisterREGISTER_RBX)
	case n.isGeneral(reg):
		out.reg = uint8(nativeRuleRegisterREGISTER_GENERAL) + reg
	default:
		return Other
	}
	switch r.RA.Kind {
	case ehframe.AtCFA:
		ok = ok && fits(r.RA.Offset, &out.ra) && out.ra != 0
	case ehframe.InRegister:
		switch {
		case r.RA.Register == n.lr:
		case n.isGeneral(r.RA.Register) && out.kind == uint8(nativeRuleKindRULE_CFA):
			out.extra = int16(r.RA.Register)
		default:
			return Other
		}
	case ehframe.Same: // in the link register
		ok = ok && n.lr != none
	default:
		return Other
	}
	out.fp, out.fpAt = n.saved(r.FP)
	out.rbx, out.rbxAt = n.saved(r.RBX)
	if !ok {
		return Other
	}
	return out
}

// noReturnAddress says on amd64 that the function has none: its column stands
// for no register.
var noReturnAddress = ehframe.RegisterRule{Kind: ehframe.InRegister, Register: 16}

// registers are DWARF's numbers of them.
type registers struct{ sp, fp, rbx, lr uint8 }

const none = 0xff

var (
	registersOfAMD64 = registers{sp: 7, fp: 6, rbx: 3, lr: none}
	registersOfARM64 = registers{sp: 31, fp: 29, rbx: none, lr: 30}
)

// isGeneral says that a register is one of amd64 that has no place of its own.
func (n *registers) isGeneral(reg uint8) bool {
	return n.lr == none && reg < 16 && reg != n.sp && reg != n.fp && reg != n.rbx
}

// saved says where the caller's value of a register is.
func (n *registers) saved(r ehframe.RegisterRule) (where uint8, at int16) {
	switch r.Kind {
	case ehframe.Same:
		return uint8(nativeRuleSavedSAVED_SAME), 0
	case ehframe.AtCFA:
		if fits(r.Offset, &at) {
			return uint8(nativeRuleSavedSAVED_CFA), at
		}
	case ehframe.AtRegister:
		if r.Register == n.fp && fits(r.Offset, &at) {
			return uint8(nativeRuleSavedSAVED_FP), at
		}
	}
	return uint8(nativeRuleSavedSAVED_LOST), 0
}

func fits(n int32, to *int16) bool {
	*to = int16(n)
	return n >= math.MinInt16 && n <= math.MaxInt16
}

// words are the rule as the kernel side reads it.
func (r Rule) words() [ruleWords]uint32 {
	pair := func(low, high int16) uint32 { return uint32(uint16(low)) | uint32(uint16(high))<<16 }
	return [ruleWords]uint32{
		uint32(r.kind) | uint32(r.reg)<<8 | uint32(r.fp)<<16 | uint32(r.rbx)<<24,
		uint32(r.cfa), pair(r.extra, r.ra), pair(r.fpAt, r.rbxAt),
	}
}

const ruleWords = 4 // RULE_WORDS
