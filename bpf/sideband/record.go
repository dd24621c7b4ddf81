package sideband

// Record is one of [Mmap], [Many], [Comm], [Fork], [Exit], [Symbol] and [Lost].
type Record interface {
	// When is the time of the record: nanoseconds of CLOCK_MONOTONIC.
	When() uint64
}

// Mmap says that a process mapped memory executable, or made mapped memory
// executable. Nothing is written when memory is unmapped.
type Mmap struct {
	Time     uint64
	PID, TID uint32 // in the PID namespace of whoever opened the reader
	// Addr and Len are the range in the process, in bytes; Offset is where in
	// the file it begins.
	Addr, Len, Offset uint64
	Prot, Flags       uint32 // as given to mmap(2)
	// BuildID is the file's GNU build ID in lower-case hex. The kernel gives
	// either it or, with BuildID "", the device, inode and inode generation.
	BuildID    string
	Maj, Min   uint32
	Inode, Gen uint64
	// Path is as the process sees it; "//anon" for memory without a file, and
	// "[vdso]", "[heap]" and the like for what the kernel maps.
	Path string
}

// Many stands for records of a process's mappings that were not looked at, because
// there were so many of them.
type Many struct {
	Time  uint64 // of the last
	PID   uint32
	Count uint64
}

// Comm says that a thread has a new command name.
type Comm struct {
	Time     uint64
	PID, TID uint32
	Name     string
	// Exec is set when the name comes from exec; the records of the new
	// program's mappings follow it.
	Exec bool
}

// Fork says that a thread was made: of a new process when PID and ParentPID
// differ. A new process begins with its parent's mappings, for which there are
// no records.
type Fork struct {
	Time                 uint64
	PID, TID             uint32
	ParentPID, ParentTID uint32
}

// Exit says that a thread ended.
type Exit struct {
	Time     uint64
	PID, TID uint32
}

// Symbol says that a symbol was added to the kernel's, or removed.
type Symbol struct {
	Time       uint64
	Addr       uint64
	Len        uint32 // in bytes
	Name       string
	Unregister bool // removed
	BPF        bool // a BPF program, else code such as a trampoline
}

// Lost says that records did not fit in the ring of a CPU.
type Lost struct {
	Time  uint64 // when the next record fitted
	CPU   uint32
	Count uint64
	// Symbols says that they were of the kernel's symbols, and of nothing else.
	Symbols bool
}

func (m Mmap) When() uint64   { return m.Time }
func (m Many) When() uint64   { return m.Time }
func (c Comm) When() uint64   { return c.Time }
func (f Fork) When() uint64   { return f.Time }
func (e Exit) When() uint64   { return e.Time }
func (s Symbol) When() uint64 { return s.Time }
func (l Lost) When() uint64   { return l.Time }
