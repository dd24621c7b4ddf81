package native

const (
	addressBits = 1<<48 - 1
	// signalRegisters is where struct rt_sigframe has x0, from sp on. See
	// native.bpf.c.
	signalRegisters = 312
)

// belowStack is how many bytes below the stack pointer a frame of Go's begins:
// with the caller's frame pointer.
const belowStack = 8

// StartOfCopy is the address from which on a stack is copied.
func StartOfCopy(sp uint64) uint64 { return sp&^7 - belowStack }

// isSaved says whether a register's place holds it.
func (w *walk) isSaved(at uint64) bool {
	if at == w.SP-belowStack {
		// In Go's code the frame pointer leads there, but at a function's ends.
		return w.steps[len(w.steps)-1].Return || w.FP == at
	}
	return at >= w.SP // the end of a function has popped it
}

// returnRegister returns the return address of a function that keeps it in a
// register.
func (w *walk) returnRegister(Rule) (uint64, bool) { return w.LR, w.haveLR }

// interrupted takes the registers of interrupted code and returns its address.
func (w *walk) interrupted(word func(int) uint64) (pc uint64) {
	w.FP, w.LR = word(29), word(30)
	w.haveLR = true
	w.General[0] = word(28)
	w.SP = word(31)
	return word(32)
}

// stopped goes on in code that a signal handler of Go's has stopped: it has put the
// link register above the frame of what it then made the code seem to call.
func (w *walk) stopped() bool {
	w.LR, w.haveLR = w.memory.read(w.SP)
	w.SP += 16
	return w.haveLR
}
