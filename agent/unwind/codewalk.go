package unwind

import (
	"math"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// Some code has no call frame information, but it is known where its functions are:
// C code that Go's own linker has linked, which leaves it out, and the vDSO of arm64.
// What functions do to the stack pointer can be read from their instructions: all
// paths through a function are followed.

// maxCode is how many bytes such a function has at most.
const maxCode = 32 << 10

// frameAt is where the frame is before an instruction.
type frameAt struct {
	sp int32 // bytes from the stack pointer to the CFA, or unknown
	fp int32 // from the frame pointer, when it points into the frame
	// saved is how many bytes below the CFA the caller's frame pointer is saved, on
	// arm64 with the return address behind it; 0: it is not.
	saved int32
	lost  bool // the frame pointer is not the caller's any more
}

const unknown = -1

// entered is the frame when a function is called.
func entered(arch ehframe.Arch) frameAt {
	if arch == ehframe.ARM64 {
		return frameAt{sp: 0, fp: unknown}
	}
	return frameAt{sp: 8, fp: unknown} // the return address
}

// move moves the stack pointer n bytes down.
func (f *frameAt) move(n int32) {
	if f.sp == unknown || int64(f.sp)+int64(n) < 0 || int64(f.sp)+int64(n) > math.MaxInt32 {
		f.sp = unknown
		return
	}
	f.sp += n
}

// save notes that the frame pointer is kept n bytes above the stack pointer.
func (f *frameAt) save(n int32) {
	if !f.lost && f.saved == 0 && f.sp != unknown && f.sp > n {
		f.saved = f.sp - n
	}
}

// restore notes that the frame pointer is taken from n bytes above the stack pointer.
func (f *frameAt) restore(n int32) {
	f.fp = unknown
	f.lost = f.saved == 0 || f.sp == unknown || f.saved != f.sp-n
	if !f.lost {
		f.saved = 0
	}
}

// point notes that the frame pointer points n bytes above the stack pointer.
func (f *frameAt) point(n int32) {
	f.fp, f.lost = unknown, true
	if f.sp != unknown && f.sp >= n {
		f.fp = f.sp - n
	}
}

// back notes that the stack pointer is set n bytes above the frame pointer.
func (f *frameAt) back(n int32) {
	f.sp = unknown
	if f.fp != unknown && f.fp >= n {
		f.sp = f.fp - n
	}
}

func (f frameAt) rule(arch ehframe.Arch) native.Rule {
	sp, fp := uint8(7), uint8(6)
	r := ehframe.Rule{RA: ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: -8}, RBX: ehframe.RegisterRule{Kind: ehframe.Undefined}}
	if arch == ehframe.ARM64 {
		sp, fp = 31, 29
		if r.RA.Offset = 8 - f.saved; f.saved == 0 {
			r.RA = ehframe.RegisterRule{Kind: ehframe.Same}
		}
	}
	switch {
	case f.sp != unknown:
		r.CFA = ehframe.CFARule{Kind: ehframe.CFARegister, Register: sp, Offset: f.sp}
	case f.fp != unknown:
		r.CFA = ehframe.CFARule{Kind: ehframe.CFARegister, Register: fp, Offset: f.fp}
	default:
		return native.Rule{}
	}
	switch {
	case f.saved > 0:
		r.FP = ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: -f.saved}
	case f.lost:
		r.FP = ehframe.RegisterRule{Kind: ehframe.Undefined}
	}
	return native.FromCFI(r, arch)
}

// instruction is what one does to the path through a function.
type instruction struct {
	size int
	flow int
	jump int32 // bytes from its end
}

// codeWalk follows the paths through a function.
type codeWalk struct {
	arch  ehframe.Arch
	code  []byte
	known []visit // by offset
	// paths are offsets to go on at; after those behind calls, which may not return.
	paths, behind []int
	torn          bool // paths with different frames meet
}

type visit struct {
	size  int // of the instruction; 0: not come to yet
	frame frameAt
}

// rowsOfCode passes on the rows of a function at an address. Nothing is known of code
// that no path leads to.
func rowsOfCode(code []byte, address uint64, arch ehframe.Arch, emit func(address uint64, rule native.Rule)) {
	w := codeWalk{arch: arch, code: code, known: make([]visit, len(code))}
	if w.follow(); w.torn {
		emit(address, native.Rule{})
	} else {
		w.emit(address, emit)
	}
}

// follow follows all paths.
func (w *codeWalk) follow() {
	w.come(0, entered(w.arch), &w.paths)
	for {
		switch {
		case len(w.paths) > 0:
			at := w.paths[len(w.paths)-1]
			w.paths = w.paths[:len(w.paths)-1]
			w.along(at)
		case len(w.behind) > 0:
			at := w.behind[0]
			w.behind = w.behind[1:]
			w.along(at)
		default:
			return
		}
	}
}

// come notes that there is a path to an offset.
func (w *codeWalk) come(at int, f frameAt, list *[]int) {
	if at < 0 || at >= len(w.code) {
		return // another function
	}
	v := &w.known[at]
	if v.size > 0 {
		if v.frame.sp != f.sp || v.frame.saved != f.saved {
			w.torn = true
		}
		v.frame.lost = v.frame.lost || f.lost
		if v.frame.fp != f.fp {
			v.frame.fp = unknown
		}
		return
	}
	v.frame = f
	*list = append(*list, at)
}

// along goes along a path from an offset on until it ends or joins another.
func (w *codeWalk) along(at int) {
	for at < len(w.code) && w.known[at].size == 0 {
		v := &w.known[at]
		f := v.frame
		x, ok := w.step(w.code[at:], &f)
		if !ok {
			return
		}
		v.size = x.size
		next := at + x.size
		switch x.flow {
		case flowEnds:
			return
		case flowJumps:
			w.come(next+int(x.jump), f, &w.paths)
			return
		case flowBranches:
			w.come(next+int(x.jump), f, &w.paths)
		case flowCalls:
			if next < len(w.code) && w.known[next].size == 0 {
				w.known[next].frame = f
				w.behind = append(w.behind, next)
			}
			return
		}
		if next < len(w.code) && w.known[next].size > 0 {
			w.come(next, f, nil)
			return
		}
		if next < len(w.code) {
			w.known[next].frame = f
		}
		at = next
	}
}

// step reads an instruction, and moves the frame by what it does.
func (w *codeWalk) step(code []byte, f *frameAt) (instruction, bool) {
	if w.arch == ehframe.ARM64 {
		return stepARM64(code, f)
	}
	return stepX86(code, f)
}

func (w *codeWalk) emit(address uint64, emit func(address uint64, rule native.Rule)) {
	for at := 0; at < len(w.code); {
		v := &w.known[at]
		if v.size == 0 {
			emit(address+uint64(at), native.Rule{})
			for at < len(w.code) && w.known[at].size == 0 {
				at++
			}
			continue
		}
		emit(address+uint64(at), v.frame.rule(w.arch))
		at += v.size
	}
	emit(address+uint64(len(w.code)), native.Rule{})
}

const (
	flowNext = iota
	flowJumps
	flowBranches
	flowCalls
	flowEnds
)
