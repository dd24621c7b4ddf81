package native

import (
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// The numbers of include/table.h, spelled out: the kernel side reads them.
const (
	kindCFA    = uint8(nativeRuleKindRULE_CFA)
	kindDeref  = uint8(nativeRuleKindRULE_DEREF)
	kindPLT    = uint8(nativeRuleKindRULE_PLT)
	kindSignal = uint8(nativeRuleKindRULE_SIGNAL)

	registerSP      = uint8(nativeRuleRegisterREGISTER_SP)
	registerFP      = uint8(nativeRuleRegisterREGISTER_FP)
	registerRBX     = uint8(nativeRuleRegisterREGISTER_RBX)
	registerGeneral = uint8(nativeRuleRegisterREGISTER_GENERAL)

	savedCFA  = uint8(nativeRuleSavedSAVED_CFA)
	savedFP   = uint8(nativeRuleSavedSAVED_FP)
	savedLost = uint8(nativeRuleSavedSAVED_LOST)
)

// DWARF's numbers.
const (
	rax, rbx, rbp, rsp, r10, rip = 0, 3, 6, 7, 10, 16
	x29, x30, armSP              = 29, 30, 31
)

func at(offset int32) ehframe.RegisterRule {
	return ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: offset}
}

func cfa(register uint8, offset int32) ehframe.CFARule {
	return ehframe.CFARule{Kind: ehframe.CFARegister, Register: register, Offset: offset}
}

func TestFromCFI(t *testing.T) {
	inRegister := func(n uint8) ehframe.RegisterRule {
		return ehframe.RegisterRule{Kind: ehframe.InRegister, Register: n}
	}
	atRegister := func(n uint8, offset int32) ehframe.RegisterRule {
		return ehframe.RegisterRule{Kind: ehframe.AtRegister, Register: n, Offset: offset}
	}
	none := ehframe.RegisterRule{Kind: ehframe.Undefined} // RBX on arm64
	ra := at(-8)
	for _, test := range []struct {
		name string
		arch ehframe.Arch
		rule ehframe.Rule
		want Rule
	}{
		{"nothing", ehframe.AMD64, ehframe.Rule{}, Rule{}},
		{"rsp", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 24), RA: ra}, Rule{kind: kindCFA, reg: registerSP, cfa: 24, ra: -8}},
		{"rsp far", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 540_128), RA: ra}, Rule{kind: kindCFA, reg: registerSP, cfa: 540_128, ra: -8}},
		{"rbp", ehframe.AMD64, ehframe.Rule{CFA: cfa(rbp, 16), FP: at(-16), RBX: at(-24), RA: ra},
			Rule{kind: kindCFA, reg: registerFP, cfa: 16, ra: -8, fp: savedCFA, fpAt: -16, rbx: savedCFA, rbxAt: -24}},
		{"rbx", ehframe.AMD64, ehframe.Rule{CFA: cfa(rbx, 24), RA: ra}, Rule{kind: kindCFA, reg: registerRBX, cfa: 24, ra: -8}},
		{"rax", ehframe.AMD64, ehframe.Rule{CFA: cfa(rax, 0), RA: ra}, Rule{kind: kindCFA, reg: registerGeneral, ra: -8}},
		{"r10", ehframe.AMD64, ehframe.Rule{CFA: cfa(r10, -8), RA: ra}, Rule{kind: kindCFA, reg: registerGeneral + 10, cfa: -8, ra: -8}},
		{"rip is no base", ehframe.AMD64, ehframe.Rule{CFA: cfa(rip, 8), RA: ra}, Other},
		{"realigned stack", ehframe.AMD64,
			ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFADeref, Register: rbp, Offset: -8}, FP: atRegister(rbp, 0), RBX: atRegister(rbp, -40), RA: ra},
			Rule{kind: kindDeref, reg: registerFP, cfa: -8, ra: -8, fp: savedFP, rbx: savedFP, rbxAt: -40}},
		{"deref and add", ehframe.AMD64,
			ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFADeref, Register: rsp, Offset: 152, Extra: 8}, RA: ra},
			Rule{kind: kindDeref, reg: registerSP, cfa: 152, extra: 8, ra: -8}},
		{"deref and add too much", ehframe.AMD64,
			ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFADeref, Register: rsp, Extra: 1 << 15}, RA: ra}, Other},
		{"PLT", ehframe.AMD64,
			ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFAPLT, Register: rsp, Offset: 8, Extra: 11}, RA: ra},
			Rule{kind: kindPLT, reg: registerSP, cfa: 8, extra: 11, ra: -8}},
		{"signal frame", ehframe.AMD64,
			ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFASignal, Register: rsp, Offset: 160}, RA: at(8), Signal: true}, Rule{kind: kindSignal}},
		{"unsupported", ehframe.AMD64, ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFAUnsupported}, RA: ra}, Other},
		{"outermost", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: ehframe.RegisterRule{Kind: ehframe.Undefined}}, Stop},
		{"no return address", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: inRegister(rip)}, Stop},
		{"return address in a register", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: inRegister(5)}, Rule{kind: kindCFA, reg: registerSP, cfa: 8, extra: 5}},
		{"return address in rbx", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: inRegister(rbx)}, Other},
		{"return address in a register, CFA in memory", ehframe.AMD64,
			ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFADeref, Register: rsp}, RA: inRegister(5)}, Other},
		{"return address at a register", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: atRegister(rbp, 8)}, Other},
		{"return address is an address", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: ehframe.RegisterRule{Kind: ehframe.IsCFA}}, Other},
		{"return address unchanged", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8)}, Other},
		{"return address of a form", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: ehframe.RegisterRule{Kind: ehframe.Unsupported}}, Other},
		{"return address far", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: at(-1<<15 - 8)}, Other},
		{"return address at the CFA", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RA: at(0)}, Other},
		{"rbp in a register", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), FP: inRegister(rax), RA: ra},
			Rule{kind: kindCFA, reg: registerSP, cfa: 8, ra: -8, fp: savedLost}},
		{"rbp at another register", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), FP: atRegister(rsp, 8), RA: ra},
			Rule{kind: kindCFA, reg: registerSP, cfa: 8, ra: -8, fp: savedLost}},
		{"rbp far", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), FP: at(1 << 15), RA: ra},
			Rule{kind: kindCFA, reg: registerSP, cfa: 8, ra: -8, fp: savedLost}},
		{"rbx undefined", ehframe.AMD64, ehframe.Rule{CFA: cfa(rsp, 8), RBX: none, RA: ra},
			Rule{kind: kindCFA, reg: registerSP, cfa: 8, ra: -8, rbx: savedLost}},

		{"arm64: nothing", ehframe.ARM64, ehframe.Rule{}, Rule{}},
		{"arm64: leaf", ehframe.ARM64, ehframe.Rule{CFA: cfa(armSP, 0), RBX: none, RA: inRegister(x30)},
			Rule{kind: kindCFA, reg: registerSP, rbx: savedLost}},
		{"arm64: unchanged", ehframe.ARM64, ehframe.Rule{CFA: cfa(armSP, 0), RBX: none},
			Rule{kind: kindCFA, reg: registerSP, rbx: savedLost}},
		{"arm64: frame", ehframe.ARM64, ehframe.Rule{CFA: cfa(armSP, 48), FP: at(-48), RBX: none, RA: at(-40)},
			Rule{kind: kindCFA, reg: registerSP, cfa: 48, ra: -40, fp: savedCFA, fpAt: -48, rbx: savedLost}},
		{"arm64: x29", ehframe.ARM64, ehframe.Rule{CFA: cfa(x29, 64), FP: at(-64), RBX: none, RA: at(-56)},
			Rule{kind: kindCFA, reg: registerFP, cfa: 64, ra: -56, fp: savedCFA, fpAt: -64, rbx: savedLost}},
		{"arm64: another base", ehframe.ARM64, ehframe.Rule{CFA: cfa(9, 0), RBX: none, RA: inRegister(x30)}, Other},
		{"arm64: rbx's number is no base", ehframe.ARM64, ehframe.Rule{CFA: cfa(rbx, 0), RBX: none, RA: inRegister(x30)}, Other},
		{"arm64: signal frame", ehframe.ARM64, ehframe.Rule{CFA: cfa(x29, 16), RBX: none, RA: at(-8), Signal: true}, Rule{kind: kindSignal}},
		{"arm64: outermost", ehframe.ARM64, ehframe.Rule{CFA: cfa(armSP, 0), RBX: none, RA: ehframe.RegisterRule{Kind: ehframe.Undefined}}, Stop},
		{"arm64: return address in another register", ehframe.ARM64, ehframe.Rule{CFA: cfa(armSP, 0), RBX: none, RA: inRegister(17)}, Other},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := FromCFI(test.rule, test.arch); got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestAboveStack(t *testing.T) {
	for _, test := range []struct {
		size int32
		arch ehframe.Arch
		want Rule
	}{
		{0, ehframe.AMD64, Rule{kind: kindCFA, reg: registerSP, cfa: 8, ra: -8}},
		{104, ehframe.AMD64, Rule{kind: kindCFA, reg: registerSP, cfa: 112, ra: -8, fp: savedCFA, fpAt: -16}},
		{1 << 20, ehframe.AMD64, Rule{kind: kindCFA, reg: registerSP, cfa: 1<<20 + 8, ra: -8, fp: savedCFA, fpAt: -16}},
		{0, ehframe.ARM64, Rule{kind: kindCFA, reg: registerSP}},
		{32, ehframe.ARM64, Rule{kind: kindCFA, reg: registerSP, cfa: 32, ra: -32, fp: savedCFA, fpAt: -40}},
		{1 << 16, ehframe.ARM64, Other},
	} {
		if got := AboveStack(test.size, test.arch); got != test.want {
			t.Errorf("AboveStack(%d, %d) is %+v, want %+v", test.size, test.arch, got, test.want)
		}
	}
}

// The words of struct rule, as C lays it out.
func TestRuleWords(t *testing.T) {
	r := Rule{kind: 1, reg: 2, fp: 3, rbx: 4, cfa: -5, extra: -6, ra: -8, fpAt: -16, rbxAt: -24}
	want := [ruleWords]uint32{0x04030201, 0xfffffffb, 0xfff8fffa, 0xffe8fff0}
	if got := r.words(); got != want {
		t.Errorf("%x, want %x", got, want)
	}
}
