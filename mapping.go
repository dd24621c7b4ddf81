package staccato

import "io"

// KernelPath is the Path of the kernel's own mapping, as perf and pprof name
// it.
const KernelPath = "[kernel.kallsyms]"

// VDSOPath is the Path of the code that the kernel maps into each process.
const VDSOPath = "[vdso]"

// Mapping is an executable as profiles show it: the program, a shared object,
// the vDSO or the kernel; or all that a process generated. There is one Mapping
// per distinct executable and not one per process: addresses of frames are the
// file's own.
type Mapping struct {
	// Path is the file's path as the process that mapped it saw it.
	Path string
	// BuildID is the GNU build ID in lower-case hex, "" when the file has
	// none.
	BuildID string
	// GoBuildID is the build ID that Go's linker writes, "" when none.
	GoBuildID string
	// Hash is the first 16 bytes, in hex, of SHA-256(first 4,096 bytes, last
	// 4,096 bytes, big-endian 8-byte size): OpenTelemetry's
	// process.executable.build_id.htlhash. "" when the file was not read.
	Hash string
	// Start, Limit and Offset describe the executable segment: ELF addresses
	// from Start to Limit (exclusive) are the file's bytes from Offset on.
	Start, Limit, Offset uint64
	// File is the content, nil when it could not be opened (Reason says why).
	File File
	// Reason says why File is nil, in a few words for people.
	Reason string
	// Roots are where files that describe the executable may lie, the best
	// first: the file system that the process saw, then our own.
	Roots []Root
	// Generated is set for code that a process made while it ran, which lies in
	// no executable: where the process lists it for perf (/tmp/perf-PID.map,
	// which is Path). Addresses are the process's then, and File is nil.
	Generated GrowingFile
}

// GrowingFile is a File that its program adds to, or that is yet to come.
type GrowingFile interface {
	File
	// Refresh looks for the file anew. Size and content are then what it has
	// now. The error says in a few words why there is none.
	Refresh() error
}

// File is the content of an executable. It comes from the machine's users:
// readers must expect anything in it, and that it changes while being read.
// ReadAt may be called from several goroutines at once.
type File interface {
	io.ReaderAt
	// Size is the number of bytes when the file was opened.
	Size() int64
}

// Root is a file system in which files are found by path. Like File it comes
// from the machine's users.
type Root interface {
	// Open opens the regular file at an absolute path, whose links lead nowhere
	// out of the root. What is no regular file is refused, without opening it.
	// The error is fs.ErrNotExist when there is nothing.
	Open(path string) (OpenFile, error)
}

// OpenFile is a File that is to be closed.
type OpenFile interface {
	File
	io.Closer
}
