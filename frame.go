package staccato

// Kind says what made a frame. Its text is the value of OpenTelemetry's
// profile.frame.type where that registry has one; interpreters add their own.
type Kind string

const (
	KindKernel Kind = "kernel"
	KindNative Kind = "native"
	KindGo     Kind = "go"
	// KindLost marks a frame that stands for what is missing: lost samples,
	// or the rest of a truncated stack. Its only line says why.
	KindLost Kind = "lost"
	// KindIdle marks the frame that stands for an idle CPU.
	KindIdle Kind = "idle"
)

// Frame is one entry of a stack. One frame is several lines when calls were
// inlined into it.
type Frame struct {
	Kind Kind
	// Mapping is the executable the address lies in; nil when nothing is known
	// about the address.
	Mapping *Mapping
	// Address is in the address space of Mapping's file (an ELF virtual
	// address), whatever address the process had it loaded at. For kernel
	// frames, in generated code, and where Mapping is nil it is the address as it
	// was sampled.
	Address uint64
	// Return says that Address is a return address: the call instruction
	// lies before it. See [Frame.Lookup].
	Return bool
	// Lines name the frame, the innermost inlined call first. Empty means
	// that no symbol source knew the address.
	Lines []Line
	// Index is the frame's place in the list of the distinct frames that were
	// read together, so that what is known of each can be kept in a slice.
	Index int32
}

// Lookup returns the address by which to find the frame's symbol: the byte
// before a return address, which belongs to the call, and Address otherwise.
func (f *Frame) Lookup() uint64 {
	if f.Return && f.Address > 0 {
		return f.Address - 1
	}
	return f.Address
}

// Line is a position in the source, in one function.
type Line struct {
	Function *Function
	// Line and Column count from 1; 0 means not known.
	Line, Column int64
}

// Function is named code. Functions are shared: equal functions of one
// mapping should be the same *Function.
type Function struct {
	// Name is for people (demangled), SystemName is the linker's.
	Name, SystemName string
	// File is the source file, "" when it is not known.
	File string
	// StartLine is where the function begins in File, 0 when not known.
	StartLine int64
}

// Marker returns a frame that stands for something that has no code, such as
// "[lost: table full]".
func Marker(kind Kind, text string) *Frame {
	return &Frame{Kind: kind, Lines: []Line{{Function: &Function{Name: text, SystemName: text}}}}
}
