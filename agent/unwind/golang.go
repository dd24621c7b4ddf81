package unwind

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
)

// goCode is what Go's tables say about unwinding a program's Go code. They are read
// when rows are asked for: those of large programs have hundreds of megabytes.
type goCode struct {
	arch         ehframe.Arch
	file         *elffile.File
	start, limit uint64
	usual        [128]native.Rule // of frames of so many words
	mu           sync.Mutex
	table        *gopclntab.Table // guarded by mu
}

func newGoCode(file *elffile.File, t *gopclntab.Table, arch ehframe.Arch) *goCode {
	c := &goCode{file: file, arch: arch, table: t}
	c.start, c.limit = t.Range()
	for i := range c.usual {
		c.usual[i] = native.AboveStack(8*int32(i), arch)
	}
	return c
}

// special is what a function of Go's runtime does to stacks.
type special int

const (
	ordinary special = iota
	// outermost functions have no callers.
	outermost
	// leaving is outermost, but for code without a frame.
	leaving
	// switching: the frame pointer leads to the stack that the function has left. In
	// code without a frame it has not, yet or any more.
	switching
	// growing is morestack.
	growing
	// callingC and calledByC are arm64's.
	callingC
	calledByC
	// injected: a signal handler has stopped the caller, and made it look as if it had
	// called.
	injected
	// restoring is where signal handlers return to.
	restoring
	// linkedC functions are of C, linked by Go's linker.
	linkedC
)

var specials = map[string]special{
	"runtime.goexit": outermost,
	"runtime.mstart": outermost,
	"runtime.rt0_go": outermost,
	// It goes to a goroutine's stack.
	"gogo": outermost,
	// It runs a function on the scheduler's stack, for a goroutine that does
	// not run any more.
	"runtime.mcall": leaving,

	"runtime.systemstack": switching,
	"runtime.asmcgocall":  switching,
	// C has called it on the thread's stack; it goes on on the goroutine's.
	"runtime.cgocallback": switching,
	// They call the vDSO on the thread's stack.
	"runtime.nanotime1":   switching,
	"runtime.walltime":    switching,
	"runtime.vgetrandom1": switching,
	"time.now":            switching,
	// They align the stack for C.
	"runtime.asmcgocall_no_g":  switching,
	"runtime.callCgoMmap":      switching,
	"runtime.callCgoMunmap":    switching,
	"runtime.callCgoSigaction": switching,
	"runtime.sigfwd":           switching,

	"runtime.morestack": growing,

	"runtime.asyncPreempt": injected,
	"runtime.sigpanic":     injected,
	"runtime.sigpanic0":    injected,

	"runtime.sigreturn__sigaction": restoring,
	"runtime.sigreturn":            restoring, // before Go 1.21
}

// specialsOfARM64 are others there.
var specialsOfARM64 = map[string]special{
	"runtime.asmcgocall": callingC,
	"crosscall2":         calledByC,
	// C code has its own idea of the frame pointer.
	"runtime.asmcgocall_no_g":  ordinary,
	"runtime.callCgoMmap":      ordinary,
	"runtime.callCgoMunmap":    ordinary,
	"runtime.callCgoSigaction": ordinary,
	"runtime.sigfwd":           ordinary,
}

// maxSpecial is the length of the longest name of specials.
const maxSpecial = len("runtime.sigreturn__sigaction")

// special returns what a function does to stacks.
func (c *goCode) special(name []byte) special {
	if len(name) > maxSpecial { // most
		return ordinary
	}
	if c.arch == ehframe.ARM64 {
		if s, ok := specialsOfARM64[string(name)]; ok {
			return s
		}
	}
	return specials[string(name)]
}

// rows passes on the rows from start to limit (exclusive), the first for start; of
// those for one address the last holds. With an error some are missing.
func (c *goCode) rows(start, limit uint64, emit func(address uint64, rule *native.Rule)) error {
	var unknown, large native.Rule
	emit(start, &unknown)
	from, to := max(start, c.start), min(limit, c.limit)
	if from >= to {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	inside := func(address uint64, rule native.Rule) {
		if address < to {
			emit(max(address, from), &rule)
		}
	}
	// A function may begin a byte early, see specially.
	err := c.table.Frames(from, to+1, func(f *gopclntab.Frame) {
		if kind := c.kind(f); kind != ordinary {
			c.specially(f.Pieces, kind, f.Limit, inside)
			return
		}
		for _, p := range f.Pieces {
			switch {
			case p.Address >= to:
				return
			case p.Size < 0:
				emit(max(p.Address, from), &unknown)
			case p.Size&7 == 0 && int(p.Size/8) < len(c.usual):
				emit(max(p.Address, from), &c.usual[p.Size/8])
			default:
				large = native.AboveStack(p.Size, c.arch)
				emit(max(p.Address, from), &large)
			}
		}
	})
	if c.limit < limit {
		emit(c.limit, &unknown)
	}
	return err
}

// kind returns what a function does to stacks.
func (c *goCode) kind(f *gopclntab.Frame) special {
	if s := c.special(f.Name); s != ordinary {
		return s
	}
	if len(f.Pieces) > 0 && f.Pieces[0].Size < 0 && c.isC(f.Name) {
		return linkedC
	}
	return ordinary
}

// isC says whether a function that Go's tables say no more of is one of C.
func (c *goCode) isC(name []byte) bool {
	// What the compiler has put elsewhere does not begin as functions do.
	return c.arch == ehframe.AMD64 && len(name) > 0 && !bytes.Contains(name, []byte(".cold"))
}

// specially passes on the rows of a special function, which ends at limit at the
// latest.
func (c *goCode) specially(pieces []gopclntab.Piece, s special, limit uint64, emit func(address uint64, rule native.Rule)) {
	if len(pieces) == 0 {
		return
	}
	start := pieces[0].Address
	switch s {
	case outermost:
		emit(start, native.Stop)
		return
	case growing:
		emit(start, native.Goroutine(c.arch))
		return
	case restoring:
		// Nobody has called it, but return addresses are looked up a byte before.
		emit(max(start, 1)-1, native.Signal)
		return
	case injected:
		for _, p := range pieces {
			rule := native.Other // asyncPreempt's last instruction: the stack is the caller's
			if p.Size >= 0 {
				rule = native.Injected(p.Size, c.arch)
			}
			emit(p.Address, rule)
		}
		return
	case linkedC:
		c.ofC(start, limit, emit)
		return
	}
	// Where a function has no frame yet, or none any more, it is still one like
	// others. Before Go 1.21 some never had one.
	framed := slices.ContainsFunc(pieces, func(p gopclntab.Piece) bool { return p.Size > 0 })
	for i, p := range pieces {
		if p.Size == 0 && framed {
			emit(p.Address, native.AboveStack(0, c.arch))
			continue
		}
		if n := c.settingUp(pieces, i); n > 0 {
			emit(p.Address, native.AboveStack(p.Size, c.arch))
			p.Address += n
		}
		if s == callingC {
			if at := c.leavesStack(start, limit); p.Address < at {
				emit(p.Address, native.AboveStack(p.Size, c.arch))
				p.Address = at
			}
		}
		emit(p.Address, c.specialRule(p.Size, s))
	}
}

// leavesStack is the address behind the instruction of a function of arm64 that goes to
// another stack, 0 if that is not found: the first that moves a register to the stack
// pointer.
func (c *goCode) leavesStack(start, limit uint64) uint64 {
	if c.file == nil || limit <= start || limit-start > maxCode {
		return 0
	}
	code := make([]byte, limit-start)
	if c.file.ReadAddress(code, start) != nil {
		return 0
	}
	for at := 0; at+4 <= len(code); at += 4 {
		if binary.LittleEndian.Uint32(code[at:])&^(31<<5) == 0x9100001f { // add sp, xN, #0
			return start + uint64(at) + 4
		}
	}
	return 0
}

// ofC passes on the rows of a function of C that Go's linker has linked: it leaves
// out their call frame information, but says where they are.
func (c *goCode) ofC(start, limit uint64, emit func(address uint64, rule native.Rule)) {
	emit(start, native.Rule{})
	if limit <= start || limit-start > maxCode {
		return
	}
	code := make([]byte, limit-start)
	if c.file.ReadAddress(code, start) == nil {
		rowsOfCode(code, start, c.arch, emit)
	}
}

// settingUp is for how many bytes from a piece of a function on the frame pointer is
// not that of its frame yet.
func (c *goCode) settingUp(pieces []gopclntab.Piece, i int) uint64 {
	switch {
	case i != 1 || pieces[0].Size != 0:
		return 0
	case c.arch == ehframe.ARM64:
		return 8 // MOVD R29, -8(RSP); SUB $8, RSP, R29
	case pieces[1].Size == 8:
		return 3 // MOVQ SP, BP
	}
	return 0
}

// sizeOfCalling is the frame's size of runtime.asmcgocall, in bytes. That of the
// function of the same name that the compiler makes to call it is larger.
const sizeOfCalling = 16

func (c *goCode) specialRule(size int32, s special) native.Rule {
	switch s {
	case switching:
		return native.FramePointer(max(size, 0), c.arch)
	case callingC:
		if size == sizeOfCalling {
			return native.CallsC(size)
		}
		return native.AboveStack(max(size, 0), c.arch)
	case calledByC:
		return native.CalledByC(max(size, 0))
	}
	return native.Stop // leaving
}
