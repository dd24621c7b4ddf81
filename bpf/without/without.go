// Package without makes single features of the kernel count as missing, so
// that what staccato does on older kernels can be tried on newer ones. It is
// for tests and for finding faults.
package without

import (
	"os"
	"slices"
	"strings"
)

// Variable is the environment variable that holds the features to do without,
// separated by commas.
const Variable = "STACCATO_WITHOUT"

// Features that can be done without.
const (
	Loop     = "bpf_loop"   // helper, Linux 5.17
	PerfLink = "perf_link"  // BPF links to perf events, Linux 5.15
	BuildID  = "build_id"   // build IDs in MMAP2 records, Linux 5.12
	Cycles   = "cycles"     // hardware counter of CPU cycles
	Timer    = "timer"      // counting the firings of the sampling timer
	Barrier  = "membarrier" // waiting for RCU by a system call
)

// All are the features that can be done without.
var All = []string{Loop, PerfLink, BuildID, Cycles, Timer, Barrier}

// Set says whether a feature is to count as missing.
func Set(feature string) bool {
	return slices.Contains(strings.Split(os.Getenv(Variable), ","), feature)
}
