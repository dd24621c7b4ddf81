package native

import (
	"slices"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

const stackStart = 0x7ffe_0000_1000

// stackOf is a copy of n words of a stack that has some words by their address.
func stackOf(n int, words map[uint64]uint64) Memory {
	p := Piece{Start: stackStart, Words: make([]uint64, n)}
	for address, word := range words {
		if i := (address - stackStart) / 8; i < uint64(n) {
			p.Words[i] = word
		}
	}
	return Memory{p}
}

// code is a process's code: what is known of some ranges of 16 bytes.
type code map[uint64]known

type known struct {
	rule Rule
	code Code
}

func (c code) rule(address uint64) (Rule, Code) {
	k := c[address&^15]
	return k.rule, k.code
}

func ruled(r ehframe.Rule) known { return known{FromCFI(r, ehframe.AMD64), Ruled} }

// Functions in the test's code, each of 16 bytes.
const (
	leaf   = 0x401000
	middle = 0x401010
	outer  = 0x401020
	start  = 0x401030
	bare   = 0x402000 // code without rules
	data   = 0x600000 // no code
)

func returns(pcs ...uint64) (steps []Step) {
	for i, pc := range pcs {
		steps = append(steps, Step{PC: pc, Return: i > 0})
	}
	return steps
}

var (
	frameless = ruled(ehframe.Rule{CFA: cfa(rsp, 8), RA: at(-8)})
	stop      = known{Stop, Ruled}
	inBare    = known{code: Bare}
)

func TestWalk(t *testing.T) {
	const s = stackStart
	for _, test := range []struct {
		name string
		code code
		regs Registers
		// words is how many are in the copy, 64 if it is 0.
		words int
		stack map[uint64]uint64
		most  int // 512 if it is 0
		want  []Step
		end   End
	}{{
		name: "outermost at once",
		code: code{start: stop},
		regs: Registers{PC: start + 4, SP: s},
		want: returns(start + 4), end: Outermost,
	}, {
		name: "CFA by the stack pointer",
		code: code{leaf: frameless, middle: ruled(ehframe.Rule{CFA: cfa(rsp, 48), RA: at(-8)}), start: stop},
		regs: Registers{PC: leaf + 1, SP: s, FP: 1},
		stack: map[uint64]uint64{
			s: middle + 5, s + 8 + 40: start + 5,
		},
		want: returns(leaf+1, middle+5, start+5), end: Outermost,
	}, {
		// A return address at the very start of a function belongs to the one
		// before, which ends with the call.
		name: "call at the end of a function",
		code: code{leaf: frameless, middle: ruled(ehframe.Rule{CFA: cfa(rsp, 16), RA: at(-8)}), outer: stop, start: stop},
		regs: Registers{PC: leaf, SP: s},
		stack: map[uint64]uint64{
			s: outer, s + 16: start + 1,
		},
		want: returns(leaf, outer, start+1), end: Outermost,
	}, {
		name: "CFA by the frame pointer, which the callee has saved",
		code: code{
			leaf:   ruled(ehframe.Rule{CFA: cfa(rsp, 32), FP: at(-16), RBX: at(-24), RA: at(-8)}),
			middle: ruled(ehframe.Rule{CFA: cfa(rbp, 16), FP: at(-16), RA: at(-8)}),
			outer:  ruled(ehframe.Rule{CFA: cfa(rbx, 24), RA: at(-8)}),
			start:  stop,
		},
		regs: Registers{PC: leaf + 1, SP: s, FP: 77, RBX: 78},
		stack: map[uint64]uint64{
			s + 8: s + 200, s + 16: s + 128, s + 24: middle + 3, // rbx, rbp, return address
			s + 128: 79, s + 136: outer + 3,
			s + 200 + 16: start + 3,
		},
		want: returns(leaf+1, middle+3, outer+3, start+3), end: Outermost,
	}, {
		name: "registers that nobody has saved hold for callers",
		code: code{
			leaf: frameless, middle: frameless,
			outer: ruled(ehframe.Rule{CFA: cfa(rbp, 16), FP: at(-16), RA: at(-8)}), start: stop,
		},
		regs:  Registers{PC: leaf + 1, SP: s, FP: s + 64},
		stack: map[uint64]uint64{s: middle + 3, s + 8: outer + 3, s + 72: start + 3},
		want:  returns(leaf+1, middle+3, outer+3, start+3), end: Outermost,
	}, {
		name: "realigned stack",
		code: code{
			leaf: frameless,
			middle: ruled(ehframe.Rule{
				CFA: ehframe.CFARule{Kind: ehframe.CFADeref, Register: rbp, Offset: -8},
				FP:  ehframe.RegisterRule{Kind: ehframe.AtRegister, Register: rbp},
				RBX: ehframe.RegisterRule{Kind: ehframe.AtRegister, Register: rbp, Offset: -16}, RA: at(-8),
			}),
			outer: ruled(ehframe.Rule{CFA: cfa(rbp, 16), FP: at(-16), RA: at(-8)}),
			start: ruled(ehframe.Rule{CFA: cfa(rbx, 16), RA: at(-8)}),
			bare:  stop,
		},
		regs: Registers{PC: leaf + 1, SP: s, FP: s + 96, RBX: 78},
		stack: map[uint64]uint64{
			s: middle + 3,
			// rbx, the CFA, the caller's rbp
			s + 80: s + 240, s + 88: s + 160, s + 96: s + 184,
			s + 152: outer + 3,
			s + 192: start + 3,
			s + 248: bare + 1,
		},
		want: returns(leaf+1, middle+3, outer+3, start+3, bare+1), end: Outermost,
	}, {
		name: "deref and add",
		code: code{leaf: ruled(ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFADeref, Register: rsp, Offset: 16, Extra: 8}, RA: at(-8)}), start: stop},
		regs: Registers{PC: leaf + 1, SP: s},
		stack: map[uint64]uint64{
			s + 16: s + 80, s + 80: start + 1,
		},
		want: returns(leaf+1, start+1), end: Outermost,
	}, {
		name: "early in a PLT entry",
		code: code{leaf: ruled(ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFAPLT, Register: rsp, Offset: 8, Extra: 11}, RA: at(-8)}), start: stop},
		regs: Registers{PC: leaf + 10, SP: s}, stack: map[uint64]uint64{s: start + 1},
		want: returns(leaf+10, start+1), end: Outermost,
	}, {
		name: "late in a PLT entry",
		code: code{leaf: ruled(ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFAPLT, Register: rsp, Offset: 8, Extra: 11}, RA: at(-8)}), start: stop},
		regs: Registers{PC: leaf + 11, SP: s}, stack: map[uint64]uint64{s: 7, s + 8: start + 1},
		want: returns(leaf+11, start+1), end: Outermost,
	}, {
		name: "return address 0",
		code: code{leaf: frameless}, regs: Registers{PC: leaf, SP: s, FP: s + 8},
		want: returns(leaf), end: Outermost,
	}, {
		// At the end of a function its popped registers lie below the stack
		// pointer, where a signal may have written since; they are in place again.
		name: "epilogue",
		code: code{
			leaf:  ruled(ehframe.Rule{CFA: cfa(rsp, 8), FP: at(-16), RBX: at(-24), RA: at(-8)}),
			outer: ruled(ehframe.Rule{CFA: cfa(rbp, 16), FP: at(-16), RA: at(-8)}),
			start: ruled(ehframe.Rule{CFA: cfa(rbx, 16), RA: at(-8)}),
			bare:  stop,
		},
		regs: Registers{PC: leaf + 9, SP: s + 32, FP: s + 64, RBX: s + 96},
		stack: map[uint64]uint64{
			s + 16: 1, s + 24: 2, s + 32: outer + 1,
			s + 72:  start + 1,
			s + 104: bare + 1,
		},
		want: returns(leaf+9, outer+1, start+1, bare+1), end: Outermost,
	}, {
		name: "a stack pointer between words",
		code: code{leaf: frameless}, regs: Registers{PC: leaf, SP: s + 4},
		want: returns(leaf), end: BeyondCopy,
	}, {
		name: "too deep",
		code: code{leaf: frameless}, regs: Registers{PC: leaf, SP: s}, most: 3,
		stack: map[uint64]uint64{s: leaf + 1, s + 8: leaf + 2, s + 16: leaf + 3},
		want:  returns(leaf, leaf+1, leaf+2), end: TooDeep,
	}, {
		name: "just deep enough",
		code: code{leaf: frameless, start: stop}, regs: Registers{PC: leaf, SP: s}, most: 3,
		stack: map[uint64]uint64{s: leaf + 1, s + 8: start + 2},
		want:  returns(leaf, leaf+1, start+2), end: Outermost,
	}, {
		name: "the copy ends before the return address",
		code: code{leaf: ruled(ehframe.Rule{CFA: cfa(rsp, 48), RA: at(-8)})}, regs: Registers{PC: leaf, SP: s}, words: 5,
		want: returns(leaf), end: BeyondCopy,
	}, {
		name: "the copy ends before a saved frame pointer",
		code: code{
			leaf:  ruled(ehframe.Rule{CFA: cfa(rsp, 16), FP: at(32), RA: at(-8)}),
			outer: inBare,
		},
		regs: Registers{PC: leaf, SP: s}, words: 5, stack: map[uint64]uint64{s + 8: outer + 1},
		want: returns(leaf), end: BeyondCopy,
	}, {
		name: "the copy ends before a saved rbx",
		code: code{
			leaf:  ruled(ehframe.Rule{CFA: cfa(rsp, 16), RBX: at(32), RA: at(-8)}),
			outer: frameless, start: stop,
		},
		regs: Registers{PC: leaf, SP: s}, words: 5, stack: map[uint64]uint64{s + 8: outer + 1, s + 16: start + 1},
		want: returns(leaf), end: BeyondCopy,
	}, {
		name: "the copy ends before the place of the CFA",
		code: code{leaf: ruled(ehframe.Rule{CFA: ehframe.CFARule{Kind: ehframe.CFADeref, Register: rsp, Offset: 400}, RA: at(-8)})},
		regs: Registers{PC: leaf, SP: s}, words: 5,
		want: returns(leaf), end: BeyondCopy,
	}, {
		name: "no copy", code: code{leaf: frameless}, regs: Registers{PC: leaf, SP: s}, words: -1,
		want: returns(leaf), end: BeyondCopy,
	}, {
		name: "a CFA below the stack pointer",
		code: code{leaf: ruled(ehframe.Rule{CFA: cfa(rbp, 16), RA: at(-8)})}, regs: Registers{PC: leaf, SP: s + 64, FP: s},
		stack: map[uint64]uint64{s + 8: start + 1},
		want:  returns(leaf), end: BeyondCopy,
	}, {
		name: "a rule of another form",
		code: code{leaf: {Other, Ruled}}, regs: Registers{PC: leaf, SP: s},
		want: returns(leaf), end: OtherRule,
	}, {
		name: "a general register holds in the innermost frame",
		code: code{leaf: ruled(ehframe.Rule{CFA: cfa(rax, 8), RA: at(-8)}), start: stop},
		regs: Registers{PC: leaf, SP: s, General: [16]uint64{rax: s + 40}}, stack: map[uint64]uint64{s + 40: start + 1},
		want: returns(leaf, start+1), end: Outermost,
	}, {
		name: "rbx is not known",
		code: code{leaf: ruled(ehframe.Rule{CFA: cfa(rsp, 8), RBX: ehframe.RegisterRule{Kind: ehframe.Undefined}, RA: at(-8)}),
			middle: ruled(ehframe.Rule{CFA: cfa(rbx, 8), RA: at(-8)})},
		regs: Registers{PC: leaf, SP: s, RBX: s + 40}, stack: map[uint64]uint64{s: middle + 1, s + 40: start + 1},
		want: returns(leaf, middle+1), end: OtherRule,
	}, {
		name: "code without rules follows frame pointers",
		code: code{bare: inBare, start: stop},
		regs: Registers{PC: bare + 4, SP: s, FP: s + 32},
		stack: map[uint64]uint64{
			s + 32: s + 64, s + 40: bare + 8,
			s + 64: 0, s + 72: start + 1,
		},
		want: []Step{{PC: bare + 4}, {PC: bare + 8, Return: true, Guessed: true}, {PC: start + 1, Return: true, Guessed: true}}, end: Outermost,
	}, {
		name: "a rule that says nothing is none",
		code: code{bare: {Rule{}, Ruled}, start: stop},
		regs: Registers{PC: bare + 4, SP: s, FP: s + 32}, stack: map[uint64]uint64{s + 40: start + 1},
		want: []Step{{PC: bare + 4}, {PC: start + 1, Return: true, Guessed: true}}, end: Outermost,
	}, {
		name: "a chain of frame pointers ends with 0",
		code: code{bare: inBare}, regs: Registers{PC: bare, SP: s, FP: s + 32},
		stack: map[uint64]uint64{s + 40: bare + 8},
		want:  []Step{{PC: bare}, {PC: bare + 8, Return: true, Guessed: true}}, end: Outermost,
	}, {
		name: "a frame pointer of 0 that no frame pointer led to",
		code: code{bare: inBare}, regs: Registers{PC: bare, SP: s},
		want: returns(bare), end: NoFramePointer,
	}, {
		name: "a frame pointer of 0 in code that has one",
		code: code{leaf: {FramePointer(8, ehframe.AMD64), Ruled}}, regs: Registers{PC: leaf, SP: s},
		want: returns(leaf), end: Outermost,
	}, {
		name: "the frame pointer is not 0 but not known",
		code: code{leaf: ruled(ehframe.Rule{CFA: cfa(rsp, 8), FP: ehframe.RegisterRule{Kind: ehframe.Undefined}, RA: at(-8)}), bare: inBare},
		regs: Registers{PC: leaf, SP: s, FP: s + 32}, stack: map[uint64]uint64{s: bare + 1, s + 40: start + 1},
		want: returns(leaf, bare+1), end: NoFramePointer,
	}, {
		name: "a frame pointer below the stack pointer",
		code: code{bare: inBare}, regs: Registers{PC: bare, SP: s + 32, FP: s + 24},
		stack: map[uint64]uint64{s + 32: start + 1},
		want:  returns(bare), end: NoFramePointer,
	}, {
		name: "a frame pointer between words",
		code: code{bare: inBare}, regs: Registers{PC: bare, SP: s, FP: s + 12},
		want: returns(bare), end: NoFramePointer,
	}, {
		name: "a frame pointer out of the copy",
		code: code{bare: inBare}, regs: Registers{PC: bare, SP: s, FP: s + 4*8}, words: 5,
		want: returns(bare), end: NoFramePointer,
	}, {
		name: "frame pointers in a circle",
		code: code{bare: inBare}, regs: Registers{PC: bare, SP: s, FP: s + 32},
		stack: map[uint64]uint64{s + 32: s + 32, s + 40: bare + 1},
		want:  []Step{{PC: bare}, {PC: bare + 1, Return: true, Guessed: true}}, end: NoFramePointer,
	}, {
		name: "a frame pointer leads to no code",
		code: code{bare: inBare}, regs: Registers{PC: bare, SP: s, FP: s + 32},
		stack: map[uint64]uint64{s + 32: s + 64, s + 40: data},
		want:  returns(bare), end: NoFramePointer,
	}, {
		name: "the innermost address is no code",
		code: code{start: stop}, regs: Registers{PC: data, SP: s, FP: s + 32},
		stack: map[uint64]uint64{s + 40: start + 1},
		want:  []Step{{PC: data}, {PC: start + 1, Return: true, Guessed: true}}, end: Outermost,
	}, {
		name: "from one stack to another",
		code: code{leaf: frameless, middle: {FramePointer(8, ehframe.AMD64), Ruled}, outer: ruled(ehframe.Rule{CFA: cfa(rsp, 16), FP: at(-16), RA: at(-8)}), start: stop},
		regs: Registers{PC: leaf, SP: s + 256, FP: s + 32},
		stack: map[uint64]uint64{
			s + 256: middle + 1,
			s + 32:  5, s + 40: outer + 1,
			s + 56: start + 1,
		},
		want: returns(leaf, middle+1, outer+1, start+1), end: Outermost,
	}, {
		name: "the goroutine's stack",
		code: code{leaf: frameless, middle: {Goroutine(ehframe.AMD64), Ruled}}, regs: Registers{PC: leaf, SP: s},
		stack: map[uint64]uint64{s: middle + 1, s + 8: outer + 1},
		want:  returns(leaf, middle+1), end: NoGoroutine,
	}, {
		name: "before the goroutine's stack is left",
		code: code{middle: {Goroutine(ehframe.AMD64), Ruled}, start: stop}, regs: Registers{PC: middle, SP: s},
		stack: map[uint64]uint64{s: start + 1},
		want:  returns(middle, start+1), end: Outermost,
	}, {
		name: "the other stack was not copied",
		code: code{middle: {FramePointer(8, ehframe.AMD64), Ruled}}, regs: Registers{PC: middle, SP: s, FP: 0xc000_0000_1000},
		want: returns(middle), end: BeyondCopy,
	}, {
		name: "the other stack was not copied, from frame pointers in a circle",
		code: code{middle: {FramePointer(8, ehframe.AMD64), Ruled}}, regs: Registers{PC: middle, SP: s, FP: s + 32}, most: 4,
		stack: map[uint64]uint64{s + 32: s + 32, s + 40: middle + 1},
		want:  returns(middle, middle+1, middle+1, middle+1), end: TooDeep,
	}} {
		t.Run(test.name, func(t *testing.T) {
			n, most := 64, 512
			if test.words != 0 {
				n = max(test.words, 0)
			}
			if test.most != 0 {
				most = test.most
			}
			steps, end := Walk(test.regs, stackOf(n, test.stack), most, test.code.rule)
			if end != test.end || !slices.Equal(steps, test.want) {
				t.Errorf("%+v, end %d; want %+v, end %d", steps, end, test.want, test.end)
			}
		})
	}
}

func TestMemory(t *testing.T) {
	m := Memory{{Start: 0x1000, Words: []uint64{10, 20, 30}}, {Start: 0x10, Words: []uint64{40, 50}}}
	for address, want := range map[uint64]uint64{0x1000: 10, 0x1008: 20, 0x1010: 30, 0x10: 40, 0x18: 50} {
		if got, ok := m.read(address); !ok || got != want {
			t.Errorf("at %#x: %d, %t", address, got, ok)
		}
	}
	for _, address := range []uint64{0, 8, 0x11, 0x20, 0xff8, 0xfff, 0x1001, 0x1004, 0x1014, 0x1018, 1 << 63, ^uint64(0), ^uint64(7)} {
		if _, ok := m.read(address); ok {
			t.Errorf("%#x can be read", address)
		}
	}
	high := Memory{{Start: ^uint64(15), Words: []uint64{1, 2, 3}}}
	if _, ok := high.read(0); ok {
		t.Error("0 can be read")
	}
}
