package ehframe

// Row says how to find the caller's frame from PC on, up to the next row.
type Row struct {
	PC   uint64 // ELF address
	Rule Rule
}

// Rule is what the rows of one kind of place have in common. It is comparable,
// and there are few of them: at most 1,253 in any file seen.
type Rule struct {
	CFA CFARule
	FP  RegisterRule // rbp or x29
	RBX RegisterRule // amd64 alone: the only other register that CFAs of callers are based on
	// RA says where the return address is. Without a rule, that is the register
	// that calls leave it in: [InRegister] 30 on arm64 (the link register). On
	// amd64 [InRegister] 16 (rip) says that there is none.
	RA RegisterRule
	// Signal tells that the caller was interrupted and did not call: its
	// address is not a return address.
	Signal bool
}

// CFARule says what the CFA (canonical frame address) is, which is the
// caller's stack pointer too.
type CFARule struct {
	Kind     CFAKind
	Register uint8 // DWARF's number of it
	Offset   int32 // bytes
	// Extra is what CFADeref adds to what was read, in bytes, and CFAPLT's
	// threshold.
	Extra int32
}

// CFAKind is the form of a [CFARule].
type CFAKind uint8

const (
	// CFAEnd: no FDE covers these addresses. Only a [Table] has such rows.
	CFAEnd CFAKind = iota
	// CFARegister: Register + Offset.
	CFARegister
	// CFADeref: what lies in memory at Register + Offset, + Extra. Compilers
	// write it in functions that align their stack, OpenSSL in assembly.
	CFADeref
	// CFAPLT: Register + Offset, + 8 where the low 4 bits of the program counter
	// are Extra or more. It is the linker's rule for all entries of a PLT.
	CFAPLT
	// CFASignal: as CFADeref, and it is the frame that Linux pushes for a
	// signal: all registers of the interrupted code are in it, where the
	// kernel's struct rt_sigframe has them.
	CFASignal
	// CFAUnsupported: there is a rule, of another form.
	CFAUnsupported
)

// RegisterRule says where the caller's value of a register is.
type RegisterRule struct {
	Kind     RegisterKind
	Register uint8 // DWARF's number of it
	Offset   int32 // bytes
}

// RegisterKind is the form of a [RegisterRule].
type RegisterKind uint8

const (
	// Same: the register was not changed.
	Same RegisterKind = iota
	// Undefined: nowhere. A return address that is undefined marks the
	// outermost frame.
	Undefined
	// AtCFA: in memory at the CFA + Offset.
	AtCFA
	// AtRegister: in memory at Register + Offset.
	AtRegister
	// IsCFA: it is the CFA + Offset.
	IsCFA
	// InRegister: in Register.
	InRegister
	// Unsupported: there is a rule, of another form.
	Unsupported
)
