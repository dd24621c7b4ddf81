package unwind

import (
	"cmp"
	"math"
	"slices"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
)

// goCode is what Go's tables say about unwinding a program's Go code, without
// the rest of these tables, which is much.
type goCode struct {
	arch         ehframe.Arch
	start, limit uint64
	changes      []change // by address; the first is at start
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

const changeBytes = 8

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
	c := &goCode{arch: arch}
	c.start, c.limit = t.Range()
	c.limit = min(c.limit, c.start+math.MaxUint32)
	var current []change // of a special function
	var name string
	isSpecial := false
	flush := func() {
		for _, each := range specially(current, special[name]) {
			c.add(each)
		}
		current = current[:0]
	}
	t.Frames(c.start, c.limit, func(address uint64, size int32, function string) {
		if address >= c.limit {
			return
		}
		if function != name {
			flush()
			name = function
			_, isSpecial = special[name]
		}
		each := change{uint32(address - c.start), size}
		if isSpecial {
			current = append(current, each)
		} else {
			c.add(each)
		}
	})
	flush()
	c.changes = slices.Clip(c.changes)
	return c
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

func (c *goCode) add(each change) {
	n := len(c.changes)
	if n > 0 && c.changes[n-1].after >= each.after {
		c.changes[n-1].size = each.size
	} else if n == 0 || c.changes[n-1].size != each.size {
		c.changes = append(c.changes, each)
	}
}

func (c *goCode) bytes() int64 { return changeBytes * int64(len(c.changes)) }

// rows returns the rows from start to limit (exclusive), the first for start.
func (c *goCode) rows(start, limit uint64) []row {
	if c.start >= limit || c.limit <= start {
		return []row{{address: start}}
	}
	find := func(address uint64) (int, bool) {
		return slices.BinarySearchFunc(c.changes, address-c.start, func(a change, after uint64) int { return cmp.Compare(uint64(a.after), after) })
	}
	i, found := find(max(start, c.start))
	if !found && i > 0 {
		i--
	}
	end, _ := find(limit)
	rows := make([]row, 0, end-i+2)
	if c.start > start {
		rows = append(rows, row{address: start})
	}
	for _, each := range c.changes[i:end] {
		rows = append(rows, row{max(c.start+uint64(each.after), start), c.rule(each.size)})
	}
	if c.limit < limit {
		rows = append(rows, row{address: c.limit})
	}
	return rows
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
