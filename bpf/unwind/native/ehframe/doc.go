// Package ehframe compiles call frame information (CFI), the tables by which
// debuggers and exceptions unwind, into rows: from this address on, the CFA is
// there, and the caller's FP and return address are there.
//
// It reads the sections .eh_frame and .debug_frame of amd64 and arm64 files,
// and the vDSO's. It gets bytes and opens nothing; which sections a file has is
// its caller's business. A section may have any type (SHT_X86_64_UNWIND besides
// SHT_PROGBITS), and a file without section headers still has
// PT_GNU_EH_FRAME, from which [FrameAddress] leads to the frames.
//
// A [Table] is what unwinding needs: all rows in order, merged, without gaps,
// for any range of addresses. It is built on a [Reader], which yields the
// entries of a section as they are.
//
// The formats are described in
//
//   - DWARF 5, section 6.4 (instructions) and appendix D.6 (examples),
//   - Linux Standard Base 5.0, Core, chapter 10.6 (.eh_frame, .eh_frame_hdr),
//   - System V ABI, AMD64 supplement, sections 3.6 and 3.7,
//   - DWARF for the Arm 64-bit Architecture (aadwarf64).
//
// # Limits
//
// Whoever wrote the file may be hostile. Nothing is allocated by what a count
// or size in it says: a Reader has a fixed size, a Table 16 bytes per FDE, and
// a row exists only while it is handed over. Each row has taken at least one
// byte of the section, so there are never more rows than bytes. Time is linear
// in the section's size: 10 ms per MiB of a compiler's, 0.1 s at worst. The
// limits are maxSection, maxFDEs, maxAugmentation, maxInitial, maxInstructions,
// maxRemembered and maxExpression; beside each is the largest value seen in 3,202 sections of
// a system with many compilers and runtimes.
//
// What is wrong within one entry costs that entry: it is counted in [Skipped],
// and from the failing instruction on its rows are [CFAUnsupported].
//
// # Proof
//
// Rows are those that llvm-dwarfdump prints. The tests hold a few libraries to
// that; more files are compared with
//
//	go test ./bpf/unwind/native/ehframe -run TestAgainstLLVM -v -files /usr/bin/node,...
//
// Two differences are llvm-dwarfdump's: it has rows at and behind the end of an
// FDE, which hold for no address, and at def_cfa_register after an expression it
// forgets the offset, which libgcc does not.
package ehframe
