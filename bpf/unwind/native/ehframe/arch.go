package ehframe

// registers are DWARF's numbers of an architecture's registers.
type registers struct {
	fp, sp uint8
	ra     uint8 // column of return addresses, but for a few functions in assembly
	rbx    uint8 // none on arm64
	pc     uint8 // none on arm64
	last   uint8 // the last that an address can be in
	signal *signalFrame
}

// tracks reports whether rows have a rule for the register apart from the
// return address.
func (r *registers) tracks(register uint64) bool {
	return register == uint64(r.fp) || register == uint64(r.sp) || register == uint64(r.rbx)
}

const none = 0xff

// signalFrame is where the kernel leaves registers for a signal handler, as
// offsets from the stack pointer when the handler has returned.
type signalFrame struct{ sp, fp, ra int32 }

var amd64 = registers{
	fp: 6, sp: 7, ra: 16, rbx: 3, pc: 16, last: 15,
	// struct rt_sigframe in arch/x86: the ucontext comes first, and in it
	// uc_mcontext at 40 has r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
	signal: &signalFrame{sp: 40 + 15*8, fp: 40 + 10*8, ra: 40 + 16*8},
}

var arm64 = registers{fp: 29, sp: 31, ra: 30, rbx: none, pc: none, last: 31}
