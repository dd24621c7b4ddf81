package native

const (
	addressBits = 1<<56 - 1
	// signalRegisters is where struct rt_sigframe has r8, from sp on. See
	// native.bpf.c.
	signalRegisters = 40
)

// StartOfCopy is the address from which on a stack is copied.
func StartOfCopy(sp uint64) uint64 { return sp &^ 7 }

// isSaved says whether a register's place holds it: not below the stack pointer,
// where the end of a function has popped it.
func (w *walk) isSaved(at uint64) bool { return at >= w.SP }

// returnRegister returns the return address of a function that keeps it in a
// register.
func (w *walk) returnRegister(r Rule) (uint64, bool) {
	return w.General[r.extra&15], !w.steps[len(w.steps)-1].Return
}

// interrupted takes the registers of interrupted code and returns its address.
func (w *walk) interrupted(word func(int) uint64) (pc uint64) {
	for i := range 8 {
		w.General[8+i] = word(i)
	}
	for i, n := range [...]int{5, 4} { // rdi, rsi
		w.General[n] = word(8 + i)
	}
	w.FP, w.RBX = word(10), word(11)
	for i, n := range [...]int{1, 0, 2} { // rdx, rax, rcx
		w.General[n] = word(12 + i)
	}
	w.haveRBX = true
	w.SP = word(15)
	return word(16)
}

// stopped goes on in code that a signal handler of Go's has stopped.
func (w *walk) stopped() bool { return true }
