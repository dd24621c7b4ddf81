// Package bpf loads staccato's eBPF programs, attaches them and reads what they
// collected.
package bpf

// Entry is an executable memory range of a process as the kernel side sees it:
// a user address in [Start, End) becomes the frame (Chunk, Base + address −
// Start), packed in one word.
type Entry struct {
	Start, End uint64
	// Chunk numbers a piece of an executable file of at most 4 MiB; 0 is
	// executable memory without a file (generated code), whose addresses stay
	// as they are.
	Chunk uint32
	// Base is the offset of Start in the chunk.
	Base uint32
}
