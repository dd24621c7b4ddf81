package native

const (
	addressBits = 1<<48 - 1
	// signalRegisters is where struct rt_sigframe has x0, from sp on. See
	// native.bpf.c.
	signalRegisters = 312
)

// returnRegister returns the return address of a function that keeps it in a
// register.
func (w *walk) returnRegister(Rule) (uint64, bool) { return w.LR, w.haveLR }

// interrupted takes the registers of interrupted code and returns its address.
func (w *walk) interrupted(word func(int) uint64) (pc uint64) {
	w.FP, w.LR = word(29), word(30)
	w.haveLR = true
	w.SP = word(31)
	return word(32)
}
