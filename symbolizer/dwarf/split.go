package dwarf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// Split finds the rest of units of which a file has only a skeleton: what
// -gsplit-dwarf leaves in files of their own, one per object (.dwo), or all in
// one (.dwp).
type Split struct {
	// Package is the file of all, or nil.
	Package *elffile.File
	// Open opens the file of one object. An error means that its unit is not
	// had; nil that none can be.
	Open func(path string) (*elffile.File, io.Closer, error)
}

// split says of a skeleton where the rest is.
type split struct {
	id   uint64
	name string // of the file
	// Bases that only the skeleton tells.
	rangesBase uint64
}

const (
	// maxMissed bounds the files that are looked for in vain.
	maxMissed = 64
	// openWork is what looking for a file counts for, in bytes.
	openWork = 1 << 10
	// maxObjects bounds the sections of all files of objects together, in bytes.
	maxObjects = 8 << 30
)

// Missed says in a few words what was not read because the file of an object is
// not there, or is another's, "" when there is nothing to say; path is that of the
// file when there is none.
func (r *Reader) Missed() (what, path string) { return r.missed, r.missedPath }

// rest returns the unit with the entries that a skeleton has none of, and what
// closes its file; nil when it cannot be had.
func (r *Reader) rest(u *unit) (*unit, io.Closer, error) {
	if u.split.id == 0 || r.restRead[u.split.id] || !r.spend(openWork) {
		return nil, nil, nil
	}
	r.restRead[u.split.id] = true // what many claim to be theirs is not read for each
	if r.packaged != nil {
		found, err := r.packaged.unit(u)
		if found != nil || err != nil {
			return found, nil, err
		}
	}
	file := u.split.name
	if !path.IsAbs(file) {
		file = path.Join(u.folder, file)
	}
	if r.openObject == nil || !path.IsAbs(file) || r.misses >= maxMissed {
		return nil, nil, nil
	}
	file = path.Clean(file)
	e, closer, err := r.openObject(file)
	if errors.Is(err, fs.ErrNotExist) {
		r.miss(file+" not found", file)
		return nil, nil, nil
	}
	if err != nil {
		r.miss(err.Error(), "")
		return nil, nil, nil
	}
	found, err := r.object(u, e)
	if found != nil {
		return found, closer, nil
	}
	closer.Close() // it was only read
	if errors.Is(err, ErrTooLarge) {
		return nil, nil, err
	}
	r.miss(file+" is of another build", "")
	return nil, nil, nil
}

// miss takes note of a file that could not be used. The first is told of.
func (r *Reader) miss(what, path string) {
	if r.misses++; r.misses == 1 {
		r.missed, r.missedPath = "split debug information "+what, path
	}
}

// object returns the rest of a skeleton in the file of one object.
func (r *Reader) object(skeleton *unit, e *elffile.File) (*unit, error) {
	f, err := r.openSplit(e)
	if err != nil {
		return nil, err
	}
	if err := f.readUnits(); err != nil {
		return nil, err
	}
	for i := range f.units {
		if u := &f.units[i]; f.identify(u) == skeleton.split.id {
			u.adopt(skeleton, contributions{})
			return u, nil
		}
	}
	return nil, nil
}

// openSplit opens the sections that the rest of units has.
func (r *Reader) openSplit(e *elffile.File) (*file, error) {
	f := r.newFile()
	f.isSplit = true
	r.current = f // so that its memory counts
	for _, s := range []struct {
		to   **section
		name string
	}{
		{&f.info, ".debug_info.dwo"}, {&f.abbrev, ".debug_abbrev.dwo"}, {&f.str, ".debug_str.dwo"},
		{&f.strOffsets, ".debug_str_offsets.dwo"}, {&f.rnglists, ".debug_rnglists.dwo"},
	} {
		left := uint64(max(r.limit-r.Memory(), 0))
		var err error
		if *s.to, err = openSection(e, s.name, left/8, left); err != nil {
			return nil, err
		}
		if r.objectBytes += (*s.to).size; r.objectBytes > maxObjects {
			return nil, fmt.Errorf("files of objects: %w", ErrTooLarge)
		}
	}
	f.line, f.lineStr = &section{}, &section{}
	f.addr, f.ranges = r.main.addr, r.main.ranges
	return f, nil
}

// identify returns the identity of a unit, 0 when it has none.
func (f *file) identify(u *unit) uint64 {
	if u.split.id == 0 && u.version < 5 && u.root() != nil {
		return 0 // a unit that cannot be read is nobody's
	}
	return u.split.id
}

// adopt makes u the rest of a skeleton. Its tables begin where its part of the
// sections does.
func (u *unit) adopt(skeleton *unit, c contributions) {
	u.skeleton = skeleton
	u.abbrevOffset += c.abbrev
	u.strOffsetsBase, u.rnglistsBase = c.strOffsets, c.rnglists
	if u.version >= 5 {
		header := u.tableHeader()
		u.strOffsetsBase += header
		u.rnglistsBase += header + 4
	}
	u.addrBase, u.low, u.folder = skeleton.addrBase, skeleton.low, skeleton.folder
	u.split.rangesBase = skeleton.split.rangesBase
	u.rootRead = true
	// What is in it may be read as often as what is in the main file.
	u.file.reader.maxWork += workPerByte * (u.limit - u.offset)
}
