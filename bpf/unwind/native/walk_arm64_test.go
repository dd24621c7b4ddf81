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

// Go's functions keep the caller's frame pointer below the stack pointer: in the
// innermost one it is there only while the frame pointer leads there. A frame pointer
// leads to another stack.
func TestWalkGo(t *testing.T) {
	const s = stackStart
	c := code{
		leaf: {AboveStack(32, ehframe.ARM64), Ruled}, middle: {FramePointer(16, ehframe.ARM64), Ruled},
		outer: {AboveStack(48, ehframe.ARM64), Ruled}, start: stop,
	}
	const goroutine = s + 256
	words := map[uint64]uint64{
		s + 64 - 8: goroutine - 8, s + 64: middle + 4, // the callee of middle, on the thread's stack
		goroutine - 8: 77, goroutine: outer + 4,
		goroutine + 16 - 8: 78, goroutine + 16: start + 4,
	}
	want := returns(leaf+8, middle+4, outer+4, start+4)
	for name, fp := range map[string]uint64{"set up": s + 64 - 8, "not set up yet": goroutine - 8} {
		if words[s+64-8] = goroutine - 8; fp == goroutine-8 {
			words[s+64-8] = 79 // what was there before
		}
		m := stackOf(64, words)
		steps, end := Walk(Registers{PC: leaf + 8, SP: s + 64, FP: fp}, m, 512, c.rule)
		if end != Outermost || !slices.Equal(steps, want) {
			t.Errorf("%s: %+v, end %d; want %+v", name, steps, end, want)
		}
	}
	// The way from C goes over what is not copied.
	c[middle] = known{CallsC(16), Ruled}
	words[s+64-8] = goroutine - 8
	steps, end := Walk(Registers{PC: leaf + 8, SP: s + 64, FP: s + 64 - 8}, stackOf(64, words), 512, c.rule)
	if want := returns(leaf+8, middle+4); end != NoGoroutine || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
}

// Where a signal handler of Go's has stopped a function, its link register lies above
// the frame of what it then seems to have called: the function may have no frame.
func TestWalkStopped(t *testing.T) {
	const s = stackStart
	c := code{leaf: {Injected(32, ehframe.ARM64), Ruled}, outer: {AboveStack(0, ehframe.ARM64), Ruled}, start: stop}
	m := stackOf(64, map[uint64]uint64{s: outer, s + 32: start + 4})
	steps, end := Walk(Registers{PC: leaf + 8, SP: s}, m, 512, c.rule)
	if want := []Step{{PC: leaf + 8}, {PC: outer}, {PC: start + 4, Return: true}}; end != Outermost || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
	if steps, end := Walk(Registers{PC: leaf + 8, SP: s}, stackOf(4, map[uint64]uint64{s: outer}), 512, c.rule); end != BeyondCopy {
		t.Errorf("a copy that ends below it: %+v, end %d", steps, end)
	}
}
