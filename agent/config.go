package agent

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/symbolizer"
	"github.com/staccato-profiler/staccato/symbolizer/debuginfod"
	"github.com/staccato-profiler/staccato/symbolizer/demangle"
	"github.com/staccato-profiler/staccato/symbolizer/index"
)

// Config says what to sample. The zero value of each field is its default.
type Config struct {
	// Frequency is in samples per second and CPU; default 99.
	Frequency int
	// Target limits whose samples are taken; the zero value is the whole host.
	Target Target
	// Idle adds the time that CPUs were idle.
	Idle bool
	// NoKernel and NoUser leave that half of each stack out.
	NoKernel, NoUser bool
	// ThreadIDs tells threads apart in the profile (label tid).
	ThreadIDs bool
	// Debuginfod says which servers are asked for debug files; without URLs,
	// none are.
	Debuginfod Debuginfod
	// Window is the longest time between two reads of the kernel's tables;
	// default 5 s. Full tables are read earlier.
	Window time.Duration
	// Names says how frames get their names.
	Names NamesConfig

	// For tests of the accounting: idle CPUs run the program too, and small
	// tables; and tableMemory is native.Unwinder.MemoryLimit.
	timeIdle            bool
	tableSize, logWords int
	noEarlyRead         bool
	tableMemory         int64
	dump                func(*unix.PerfEventAttr) // see bpf.Config
	before              bpf.Unwinder              // runs before the native one
}

// NamesConfig says how frames get their names. The zero value of each field is
// its default.
type NamesConfig struct {
	// IndexDirectory is where the index files are kept that are made of
	// debugging information; default /var/cache/staccato/index for root, and
	// staccato/index in the user's cache folder for others. It must belong to
	// the user, and be closed to all others (mode 0700).
	IndexDirectory string
	// IndexLimit is what they may take together, in bytes; default 512 MiB.
	IndexLimit int64
	// BuildMemory bounds the memory that making one takes, in bytes; default
	// 256 MiB.
	BuildMemory int64
	// Demangle is how names of C++ and Rust are shown; default "simple".
	Demangle Demangle
	// Wait is how long Stop waits for names: for debug files that servers were
	// asked for and for debugging information that is being read, together.
	// Default 0: such frames have the names that are there. Cut never waits: what
	// comes later is in the next profile.
	Wait time.Duration
}

func (c NamesConfig) symbolizer() symbolizer.Config {
	return symbolizer.Config{
		Index:       index.Config{Directory: c.IndexDirectory, Limit: c.IndexLimit},
		BuildMemory: c.BuildMemory,
		Demangle:    c.Demangle,
	}
}

// Debuginfod is how servers of debug files are asked.
type Debuginfod = debuginfod.Config

// Demangle says how much of a C++ or Rust name is shown: "none", "simple" or
// "full".
type Demangle = demangle.Style

// Target chooses processes. Several fields set at once must all match.
type Target struct {
	PIDs      []int  // these processes and, unless NoInherit, their children
	Name      string // processes with this command name
	User      string // name or number of the user that runs the process
	Cgroup    string // cgroup v2 path, absolute or below the cgroup mount
	NoInherit bool
}

// Profile is what was sampled between two cuts.
type Profile struct {
	exporter.Input
	Summary Summary
}

// Summary counts what happened between two cuts. Entries = Samples + Filtered +
// Idle + Lost without "not sampled", exactly; the profile holds Samples and
// Lost, the latter as frames of their own.
type Summary struct {
	Start    time.Time
	Duration time.Duration
	// Frequency is what was asked for after clamping; Achieved is samples per
	// second of CPU time that was not idle.
	Frequency int
	Achieved  float64
	// Entries is how often the kernel ran the sampling program.
	Entries uint64
	// Samples were stored with a stack; Filtered belonged to others; Idle are
	// runs for idle CPUs that nobody asked for.
	Samples, Filtered, Idle uint64
	// Lost counts samples that ran but could not be stored, by cause; and
	// under "not sampled" those that the kernel never let run.
	Lost map[string]uint64
	// Truncated counts samples whose user stack is not whole, by cause.
	Truncated map[string]uint64
	// Complete, Named are shares (0 to 1) of samples: whole stacks, and
	// stacks of which every frame has a name.
	Complete, Named float64
	// SkippedOwn is how many of those not sampled the profiler caused itself:
	// they were due while it ran.
	SkippedOwn uint64
	// Late estimates how many firings of the timer were due and did not come,
	// because the virtual CPU did not run or the event was throttled.
	Late uint64
	// Estimated says why "not sampled" could only be estimated; "" when it was
	// counted.
	Estimated string
	// Unnamed says where frames have no names, the most samples first.
	Unnamed []UnnamedIn
	// TableFaults are the first files since the start whose code has no unwind tables,
	// or lacks some, because something is wrong with them; TableFaultsBeyond is how
	// often there was one more.
	TableFaults       []TableFault
	TableFaultsBeyond uint64
	// Unread are the paths of executables whose debugging information, or whose
	// debug file from a server, was not there in time: their frames have the
	// names of symbols. It is of the last profile alone.
	Unread []string
	// NoIndex is why index files cannot be kept, nil when they can.
	NoIndex error
	// ProfilerCPU is what the profiler itself used.
	ProfilerCPU time.Duration
}

// UnnamedIn says in how many samples frames of an executable have no name.
type UnnamedIn struct {
	// Path and BuildID are the executable's; "" for addresses outside of every
	// executable.
	Path, BuildID string
	// Program is set for code that a program generated: the program's own path,
	// or its command name.
	Program string
	Samples uint64
	// Reason says why, in a few words; "" when symbols were read and do not have
	// these functions.
	Reason string
}

// Status is a cheap look at a running profiler, for progress lines.
type Status struct {
	Elapsed     time.Duration
	Samples     uint64
	Lost        uint64
	BusyCPUs    float64
	ProfilerCPU time.Duration
	// Reading is the path of the executable whose debugging information is
	// being read, "" when there is none; Waiting is how many come after it, and
	// Asked how many debug files servers were asked for and have not sent yet.
	Reading string
	Waiting int
	Asked   int
}
