package process

import (
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent/limit"
)

// Image is one program in one process: it begins with a fork or an exec and
// ends with the next exec or the exit.
type Image struct {
	// Process says who it is. It is replaced, not changed, when more becomes
	// known.
	Process *staccato.Process

	table   *Table
	regions *regions
	// complete says that regions are all there is: from the records since the
	// exec, from the parent, or from a scan.
	complete bool
	// fromExec says that the image began with the record of an exec, and
	// confirmed that the generation after that exec is known for sure.
	fromExec, confirmed bool
	// described says that /proc was asked about the process.
	described bool
	uploaded  bool
	exited    bool
	retiredAt uint64 // window

	// When /proc/PID/maps was last read, begin and end; 0 when never.
	scanned, scannedEnd uint64
	// startTicks is when the process began as /proc says, 0 when not known.
	startTicks uint64
	nextScan   uint64        // no scan for a miss before this time
	generated  *generated    // nil: it has no memory for code without a file
	former     []former      // what mappings have replaced lately
	contested  []place       // in which executables replace each other; not uploaded
	backoff    time.Duration // between scans for misses
	user       uint32        // effective; nobody while it is not known
	work       limit.Budget  // for looking into its mappings
	code       programCode
}

// Result says what an address was found to be.
type Result int

const (
	// None is an address outside of every known executable range.
	None Result = iota
	// Contested is an address where executables have replaced each other lately: which
	// one it was in depends on when, see LookupAt.
	Contested
	// Anonymous is executable memory without a file, such as generated code.
	Anonymous
	// File is an address in an executable.
	File
)

// Lookup finds what the process had at an address: for File the executable and
// the address in it, for Anonymous the mapping of generated code, if there is
// one, and the address itself. It also answers for images that have ended.
func (i *Image) Lookup(addr uint64) (*staccato.Mapping, uint64, Result) {
	if i.contests(addr) {
		return nil, 0, Contested
	}
	return i.in(i.regions.at(addr), addr)
}

func (i *Image) in(r *region, addr uint64) (*staccato.Mapping, uint64, Result) {
	if r == nil {
		return nil, 0, None
	}
	e := r.executable
	if e == nil {
		return i.generated.mappingOf(), addr, Anonymous
	}
	i.table.executables.touch(e)
	return e.mapping, i.table.executables.address(e, addr-r.start+r.offset), File
}

func (i *Image) pid() uint32 { return uint32(i.Process.PID) }

// generation is 0 while it is not known.
func (i *Image) generation() uint64 { return i.Process.Generation }

// update replaces the process by a changed copy: samples taken before keep
// what they have.
func (i *Image) update(change func(*staccato.Process)) {
	p := *i.Process
	change(&p)
	i.Process = &p
}

// setRegions replaces all regions; it takes over the caller's reference.
func (i *Image) setRegions(r *regions) {
	i.table.mappings += len(r.list) - len(i.regions.list)
	i.regions.drop(i.table.executables)
	i.regions = r
}

// insert adds a region, within the limits.
func (i *Image) insert(added region) {
	t := i.table
	i.regions = i.regions.own(t.executables)
	before := len(i.regions.list)
	room := min(t.config.MaxMappings, before+t.config.MaxAllMappings-t.mappings)
	if !i.regions.insert(t.executables, added, room) {
		t.stats.MappingsBeyond++
	}
	t.mappings += len(i.regions.list) - before
}
