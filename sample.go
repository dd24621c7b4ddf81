package staccato

// Sample is a stack and how often it was seen since the last read. Samples
// that differ in thread, process or stack are different samples; two samples
// may be equal in all of them (the kernel side does not promise to have merged
// everything), so whoever adds samples up must merge.
type Sample struct {
	Process *Process
	Thread  Thread
	Stack   Stack
	// Count is the number of times the stack was seen, never 0.
	Count int64
}

// Stack is a call chain, innermost frame first: the kernel's frames, then the
// user's. Frames are shared between stacks and must be compared by pointer:
// within one read, equal frames are the same *Frame.
type Stack []*Frame

// Thread is the thread a sample was taken on.
type Thread struct {
	// TID is the kernel's thread ID, 0 when threads are not told apart.
	TID int
	// Name is the thread's command name, at most 15 bytes.
	Name string
}

// Process is one program image of one process: exec makes a new one, and a
// PID that is used again is a new one too.
type Process struct {
	// PID is the process ID in the PID namespace the profiler runs in. 0 is
	// the kernel's idle task, and also stands for samples that belong to no
	// process (losses).
	PID int
	// Generation tells apart program images with the same PID.
	Generation uint64
	// Name is the command name (comm) of the process's first thread.
	Name string
	// Executable is the path of the program as the process sees it, "" when
	// it is not known.
	Executable string
	// Container is the ID of the container the process runs in, "" when it
	// runs in none or when that is not known.
	Container string
}
