package unwind

import (
	"math"
	"slices"
	"sync"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
)

// goCode is what Go's tables say about unwinding a program's Go code. They are read
// when rows are asked for: those of large programs have hundreds of megabytes.
type goCode struct {
	arch         ehframe.Arch
	start, limit uint64
	mu           sync.Mutex
	table        *gopclntab.Table // guarded by mu
}

// change says how many bytes of the frame lie above the stack pointer from an
// address on.
type change struct {
	after uint32 // bytes from start on
	size  int32  // or one of the numbers below
}

const (
	sizeUnknown = -1 - iota
	sizeOutermost
	sizeLeft // outermost, but for code without a frame
	sizeFramePointer
	sizeSignal
	sizeGoroutine
)

// special are functions of Go's runtime that have no callers, those that go from
// one stack to another, and where signal handlers return to.
var special = map[string]int32{
	"runtime.goexit": sizeOutermost,
	"runtime.mstart": sizeOutermost,
	"runtime.rt0_go": sizeOutermost,
	// It runs a function on the scheduler's stack, for a goroutine that does
	// not run any more.
	"runtime.mcall": sizeLeft,

	// From them on the frame pointer leads, to the stack that they left.
	"runtime.systemstack": sizeFramePointer,
	"runtime.asmcgocall":  sizeFramePointer,
	// They call the vDSO on the thread's stack.
	"runtime.nanotime1":   sizeFramePointer,
	"runtime.walltime":    sizeFramePointer,
	"runtime.vgetrandom1": sizeFramePointer,
	"time.now":            sizeFramePointer,

	"runtime.morestack": sizeGoroutine,

	"runtime.sigreturn__sigaction": sizeSignal,
	"runtime.sigreturn":            sizeSignal, // before Go 1.21
}

func newGoCode(t *gopclntab.Table, arch ehframe.Arch) *goCode {
	c := &goCode{arch: arch, table: t}
	c.start, c.limit = t.Range()
	c.limit = min(c.limit, c.start+math.MaxUint32)
	return c
}

// changes returns the changes in the functions that have code from start to limit
// (exclusive).
func (c *goCode) changes(start, limit uint64) ([]change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all, current []change // current is of a special function
	var name []byte
	size, isSpecial := int32(0), false
	flush := func() {
		for _, each := range specially(current, size) {
			all = add(all, each)
		}
		current = current[:0]
	}
	err := c.table.Frames(start, limit, func(address uint64, bytes int32, function []byte) {
		if address >= c.limit {
			return
		}
		if string(function) != string(name) {
			flush()
			name = append(name[:0], function...)
			size, isSpecial = special[string(name)]
		}
		each := change{uint32(address - c.start), bytes}
		if isSpecial {
			current = append(current, each)
		} else {
			all = add(all, each)
		}
	})
	flush()
	return all, err
}

// specially gives the code of a special function its meaning.
func specially(code []change, size int32) []change {
	if len(code) == 0 {
		return nil
	}
	switch size {
	case sizeSignal:
		// Nobody has called it, but return addresses are looked up a byte before.
		return []change{{max(code[0].after, 1) - 1, sizeSignal}}
	case sizeGoroutine:
		return []change{{code[0].after, sizeGoroutine}}
	case sizeOutermost:
		for i := range code {
			code[i].size = size
		}
	case sizeLeft, sizeFramePointer:
		// Where it has no frame yet, or none any more, it is still a function like
		// others. Before Go 1.21 they never had one.
		framed := slices.ContainsFunc(code, func(c change) bool { return c.size > 0 })
		for i := range code {
			if code[i].size != 0 || !framed {
				code[i].size = size
			}
		}
	}
	return code
}

func add(list []change, each change) []change {
	n := len(list)
	if n > 0 && list[n-1].after >= each.after {
		list[n-1].size = each.size
		return list
	}
	if n > 0 && list[n-1].size == each.size {
		return list
	}
	return append(list, each)
}

// rows returns the rows from start to limit (exclusive), the first for start. With
// an error some are missing.
func (c *goCode) rows(start, limit uint64) ([]row, error) {
	from, to := max(start, c.start), min(limit, c.limit)
	if from >= to {
		return []row{{address: start}}, nil
	}
	// A function may begin a byte early, see specially.
	changes, err := c.changes(from, to+1)
	rows := make([]row, 1, len(changes)+2)
	rows[0].address = start
	for _, each := range changes {
		r := row{max(c.start+uint64(each.after), from), c.rule(each.size)}
		switch last := &rows[len(rows)-1]; {
		case r.address >= to:
		case r.address <= last.address:
			last.rule = r.rule
		default:
			rows = append(rows, r)
		}
	}
	if c.limit < limit {
		rows = append(rows, row{address: c.limit})
	}
	return rows, err
}

func (c *goCode) rule(size int32) native.Rule {
	switch size {
	case sizeUnknown:
		return native.Rule{}
	case sizeOutermost, sizeLeft:
		return native.Stop
	case sizeFramePointer:
		return native.FramePointer
	case sizeSignal:
		return native.Signal
	case sizeGoroutine:
		if c.arch == ehframe.AMD64 {
			return native.Goroutine
		}
		return native.Other
	}
	return native.AboveStack(size, c.arch)
}
