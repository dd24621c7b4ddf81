package native

import (
	"slices"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// signalFrame is the kernel's struct rt_sigframe as a handler's return finds it:
// struct ucontext without the return address. 40 bytes (flags, link, stack) are
// before the registers.
func signalFrame(at uint64, words map[uint64]uint64, r Registers) {
	saved := [...]uint64{
		r.General[8], r.General[9], r.General[10], r.General[11], r.General[12], r.General[13], r.General[14], r.General[15],
		r.General[5], r.General[4], r.FP, r.RBX, r.General[1], r.General[0], r.General[2], r.SP, r.PC,
	}
	for i, v := range saved {
		words[at+40+8*uint64(i)] = v
	}
}

func TestWalkSignal(t *testing.T) {
	const s, handler, restorer = stackStart, leaf, middle
	interrupted := Registers{PC: outer, SP: s + 400, FP: s + 440, RBX: s + 480}
	for i := range interrupted.General {
		interrupted.General[i] = s + 400 + 8*uint64(i)
	}
	words := map[uint64]uint64{s: restorer}
	signalFrame(s+8, words, interrupted)
	run := func(r ehframe.Rule, n int) ([]Step, End) {
		c := code{handler: frameless, outer: ruled(r), start: stop}
		return Walk(Registers{PC: handler + 1, SP: s}, stackOf(n, words), 512, func(address uint64) (Rule, Code) {
			if address == restorer-1 { // its rules begin a byte before it, since nobody calls it
				return Rule{kind: kindSignal}, Ruled
			}
			return c.rule(address)
		})
	}
	// The interrupted code was at its function's first byte: that is no return
	// address, and the function the right one.
	want := []Step{{PC: handler + 1}, {PC: restorer}, {PC: outer}, {PC: start + 1, Return: true}}
	base := map[uint8]uint64{rsp: s + 400, rbp: s + 440, rbx: s + 480}
	for n := range uint8(16) {
		place := interrupted.General[n]
		if special, ok := base[n]; ok {
			place = special
		}
		words[place] = start + 1
		steps, end := run(ehframe.Rule{CFA: cfa(n, 8), RA: at(-8)}, 100)
		delete(words, place)
		if end != Outermost || !slices.Equal(steps, want) {
			t.Errorf("CFA by register %d: %+v, end %d; want %+v", n, steps, end, want)
		}
	}
	if steps, end := run(ehframe.Rule{}, (8+40+8*17)/8-1); end != BeyondCopy || !slices.Equal(steps, want[:2]) {
		t.Errorf("a frame that was not copied whole: %+v, end %d", steps, end)
	}
}

// Vfork keeps its return address in a register. That holds in the innermost frame.
func TestWalkReturnRegister(t *testing.T) {
	const s = stackStart
	c := code{
		leaf:  ruled(ehframe.Rule{CFA: cfa(rsp, 0), RA: ehframe.RegisterRule{Kind: ehframe.InRegister, Register: 5}}),
		outer: ruled(ehframe.Rule{CFA: cfa(rsp, 16), RA: at(-8)}), start: stop,
	}
	m := stackOf(64, map[uint64]uint64{s + 8: start + 1})
	steps, end := Walk(Registers{PC: leaf + 1, SP: s, General: [16]uint64{5: outer + 1}}, m, 512, c.rule)
	if want := returns(leaf+1, outer+1, start+1); end != Outermost || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
	c[outer] = c[leaf]
	steps, end = Walk(Registers{PC: leaf + 1, SP: s, General: [16]uint64{5: outer + 1}}, m, 512, c.rule)
	if want := returns(leaf+1, outer+1); end != OtherRule || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
}

// Where a signal handler of Go's has stopped a function, the address is no return
// address: that of the byte before may be of another row.
func TestWalkStopped(t *testing.T) {
	const s = stackStart
	c := code{leaf: {Injected(8, ehframe.AMD64), Ruled}, outer: frameless, start: stop}
	m := stackOf(64, map[uint64]uint64{s + 8: outer, s + 16: start + 1})
	steps, end := Walk(Registers{PC: leaf + 8, SP: s}, m, 512, c.rule)
	if want := []Step{{PC: leaf + 8}, {PC: outer}, {PC: start + 1, Return: true}}; end != Outermost || !slices.Equal(steps, want) {
		t.Errorf("%+v, end %d; want %+v", steps, end, want)
	}
}
