package main

import (
	"debug/elf"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// goRoots are the functions of Go's runtime that begin a stack: goroutines,
// threads, programs; and mcall and morestack, where a goroutine has just ended or
// been put aside and the thread looks for another.
var goRoots = []string{"runtime.goexit", "runtime.mstart", "runtime.rt0_go", "runtime.mcall", "runtime.morestack"}

// rootFinder says which frames begin stacks.
type rootFinder struct{ files map[string]*rootFile }

// rootFile is what an executable says about where stacks begin in it.
type rootFile struct {
	entry  uint64
	frames *ehframe.Table // nil: none
}

func newRootFinder() *rootFinder { return &rootFinder{files: make(map[string]*rootFile)} }

// maxEntry is how many bytes the code at an executable's entry may have.
const maxEntry = 64

// missing says why a stack does not reach its root, by its outermost frame: "" if
// it does.
func (f *rootFinder) missing(l *profile.Location) string {
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
	file := f.open(l.Mapping.File)
	if file.entry != 0 && l.Address >= file.entry && l.Address < file.entry+maxEntry {
		return ""
	}
	// In code that nobody returns from, the return address is undefined.
	root := false
	if file.frames != nil {
		file.frames.Rows(l.Address, l.Address+1, func(r ehframe.Row) {
			root = r.Rule.RA.Kind == ehframe.Undefined
		})
	}
	if root {
		return ""
	}
	return fmt.Sprintf("ends in %s of %s", name, l.Mapping.File)
}

// open reads an executable; what cannot be read has no roots.
func (f *rootFinder) open(path string) *rootFile {
	if file := f.files[path]; file != nil {
		return file
	}
	file := &rootFile{}
	f.files[path] = file
	e, err := elf.Open(path)
	if err != nil {
		return file
	}
	defer e.Close()
	file.entry = e.Entry
	arch := ehframe.AMD64
	if e.Machine == elf.EM_AARCH64 {
		arch = ehframe.ARM64
	}
	if s := e.Section(".eh_frame"); s != nil {
		if data, err := s.Data(); err == nil {
			file.frames, _ = ehframe.NewTable(ehframe.Section{Arch: arch, Data: data, Address: s.Addr})
		}
	}
	return file
}
