package native

import (
	"slices"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// The kernel's struct rt_sigframe: struct siginfo (128 bytes), struct ucontext
// with 176 bytes and the fault address before the registers x0 to x30, sp, pc.
// The interrupted code may be a leaf function.
func TestWalkSignal(t *testing.T) {
	const s, handler, restorer = stackStart, leaf, middle
	registers := uint64(s + 128 + 176 + 8)
	words := map[uint64]uint64{
		registers + 29*8: s + 640, registers + 30*8: start + 4, registers + 31*8: s + 632, registers + 32*8: outer,
	}
	lr := known{FromCFI(ehframe.Rule{
		CFA: cfa(armSP, 0), RBX: ehframe.RegisterRule{Kind: ehframe.Undefined},
		RA: ehframe.RegisterRule{Kind: ehframe.InRegister, Register: x30},
	}, ehframe.ARM64), Ruled}
	c := code{handler: lr, outer: lr, start: stop}
	rule := func(address uint64) (Rule, Code) {
		if address == restorer-1 {
			return Rule{kind: kindSignal}, Ruled
		}
		return c.rule(address)
	}
	want := []Step{{PC: handler + 4}, {PC: restorer}, {PC: outer}, {PC: start + 4, Return: true}}
	// The upper bits are a pointer authentication code.
	steps, end := Walk(Registers{PC: handler + 4, SP: s, LR: 0x00ab<<48 | restorer}, stackOf(100, words), 512, rule)
	if end != Outermost || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
	steps, end = Walk(Registers{PC: handler + 4, SP: s, LR: restorer}, stackOf(70, words), 512, rule)
	if end != BeyondCopy || !slices.Equal(steps, want[:2]) {
		t.Errorf("a frame that was not copied whole: %+v, end %d", steps, end)
	}
}

// The link register holds in the innermost frame alone.
func TestWalkLinkRegister(t *testing.T) {
	arm := func(r ehframe.Rule) known {
		r.RBX.Kind = ehframe.Undefined
		return known{FromCFI(r, ehframe.ARM64), Ruled}
	}
	inLink := arm(ehframe.Rule{CFA: cfa(armSP, 0), RA: ehframe.RegisterRule{Kind: ehframe.InRegister, Register: x30}})
	c := code{
		leaf: inLink, middle: arm(ehframe.Rule{CFA: cfa(armSP, 32), FP: at(-32), RA: at(-24)}),
		outer: arm(ehframe.Rule{CFA: cfa(x29, 32), FP: at(-32), RA: at(-24)}), start: stop,
	}
	m := stackOf(64, map[uint64]uint64{
		stackStart: stackStart + 64, stackStart + 8: outer + 4,
		stackStart + 72: start + 4,
	})
	steps, end := Walk(Registers{PC: leaf, SP: stackStart, LR: middle + 4}, m, 512, c.rule)
	if want := returns(leaf, middle+4, outer+4, start+4); end != Outermost || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
	c[outer] = inLink
	steps, end = Walk(Registers{PC: leaf, SP: stackStart, LR: middle + 4}, m, 512, c.rule)
	if want := returns(leaf, middle+4, outer+4); end != OtherRule || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
}
