// Package rooted says which stacks of a profile are whole: begin where the program,
// the thread or the goroutine does. What counts as a beginning is read from the
// executables, and not taken from the profiler.
package rooted

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// goRoots are the functions of Go's runtime that begin a stack: goroutines,
// threads (clone: their first instructions), programs; and mcall, morestack and gogo,
// where a goroutine has just ended or been put aside and the thread looks for
// another.
var goRoots = []string{"runtime.goexit", "runtime.mstart", "runtime.clone", "runtime.rt0_go", "runtime.mcall", "runtime.morestack", "gogo"}

// finder says which frames begin stacks.
type finder struct{ files map[string]*file }

// file is what an executable says about where stacks begin in it.
type file struct {
	entry  uint64
	frames *ehframe.Table // nil: none
}

// maxEntry is how many bytes the code at an executable's entry may have.
const maxEntry = 64

// missing says why a stack does not reach its root, by its outermost frame: "" if
// it does.
func (f *finder) missing(l *profile.Location) string {
	name := nameOf(l)
	if cause, cut := strings.CutPrefix(name, "[truncated: "); cut {
		return strings.TrimSuffix(cause, "]")
	}
	if slices.Contains(goRoots, name) {
		return ""
	}
	if l.Mapping == nil {
		return "ends in no file"
	}
	in := f.open(l.Mapping.File)
	if in.entry != 0 && l.Address >= in.entry && l.Address < in.entry+maxEntry {
		return ""
	}
	// In code that nobody returns from, the return address is undefined.
	root := false
	if in.frames != nil {
		in.frames.Rows(l.Address, l.Address+1, func(r ehframe.Row) {
			root = r.Rule.RA.Kind == ehframe.Undefined
		})
	}
	if root {
		return ""
	}
	return fmt.Sprintf("ends in %s of %s", name, l.Mapping.File)
}

// open reads an executable; what cannot be read has no roots.
func (f *finder) open(path string) *file {
	if known := f.files[path]; known != nil {
		return known
	}
	in := &file{}
	f.files[path] = in
	e, err := elf.Open(path)
	if err != nil {
		return in
	}
	defer e.Close()
	in.entry = e.Entry
	arch := ehframe.AMD64
	if e.Machine == elf.EM_AARCH64 {
		arch = ehframe.ARM64
	}
	if s := e.Section(".eh_frame"); s != nil {
		if data, err := s.Data(); err == nil {
			in.frames, _ = ehframe.NewTable(ehframe.Section{Arch: arch, Data: data, Address: s.Addr})
		}
	}
	return in
}
