package symbolizer

import (
	"errors"
	"fmt"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
	"github.com/staccato-profiler/staccato/symbolizer/dwarf"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/elfsym"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
	"github.com/staccato-profiler/staccato/symbolizer/index"
	"github.com/staccato-profiler/staccato/symbolizer/kallsyms"
	"github.com/staccato-profiler/staccato/symbolizer/perfmap"
)

// symbols is what was read to name addresses.
type symbols struct {
	sources []source // the best first
	// reason may come with sources: why they know less than they might.
	reason string
	// reads says that the sources go on reading the executable.
	reads bool
	// pending says that a debug file may be on its way.
	pending bool
	// places are where files may appear that would make more of the executable, nil
	// when all is known.
	places *debugfile.Places
	// better makes a source that takes the place of all; nil when there is
	// nothing better to be had.
	better *build
	// whole says that there is debugging information, and all of it is known.
	whole bool
}

// kernelSources reads the kernel's symbols from the file at path.
func kernelSources(path string) func() symbols {
	return func() symbols {
		t, err := kallsyms.Load(path)
		if err != nil {
			return symbols{reason: err.Error()}
		}
		return symbols{sources: []source{{Resolver: t}}}
	}
}

// fileSources reads the symbols of an executable and of the files that describe
// it. All of them together take at most limit bytes.
func fileSources(m *staccato.Mapping, limit int64, indexes *indexes, search debugfile.Config) func() symbols {
	return func() symbols {
		file, err := elffile.Open(m.File)
		if err != nil {
			return symbols{reason: err.Error()}
		}
		set := debugfile.Find(m, file, search)
		found := readSources(m, file, set, limit, indexes)
		found.pending = set.Pending
		if !found.whole {
			found.places = set.Places
		}
		if found.better == nil {
			set.Close()
		}
		return found
	}
}

// readSources reads the symbols of a set of files, which stays open only if
// there is something better to be made of it.
func readSources(m *staccato.Mapping, file *elffile.File, set *debugfile.Set, limit int64, indexes *indexes) symbols {
	var found symbols
	var reasons []error
	config := elfsym.Config{Limit: limit, More: set.Symbols()}

	lines, err := gopclntab.New(file, gopclntab.Config{Limit: limit})
	isGo := err == nil
	switch {
	case isGo:
		found.sources = append(found.sources, source{Resolver: lines, kind: staccato.KindGo, stays: true})
		found.reads = true
		config.SkipStart, config.SkipLimit = lines.Range()
		config.Limit -= lines.Size()
		if !lines.Inlined() {
			reasons = append(reasons, errors.New("inlined calls of this release of Go are not known"))
		}
	case !errors.Is(err, gopclntab.ErrNoTable):
		reasons = append(reasons, err)
	}

	if !isGo {
		x, err := found.openIndex(m, file, set, indexes, false)
		if x != nil {
			found.useIndex(x)
			return found
		}
		if err != nil {
			reasons = append(reasons, err)
		}
	}

	// Go programs have functions in C, too; all others have no Go table.
	table, err := elfsym.New(file, config)
	if err != nil && len(config.More) > 0 {
		// What is wrong with other files does not touch the executable's own.
		reasons = append(reasons, err)
		config.More = nil
		table, err = elfsym.New(file, config)
	}
	if isGo && err == nil {
		x, failed := found.openIndex(m, file, set, indexes, true)
		if x != nil {
			found.useIndex(x)
			return found
		}
		if failed != nil {
			reasons = append(reasons, failed)
		}
	}
	switch {
	case err == nil:
		found.sources = append(found.sources, source{Resolver: table})
		if found.better != nil {
			found.better.source.Symbols = table
		}
	case found.better != nil && errors.Is(err, elfsym.ErrNoSymbols):
	case !errors.Is(err, elfsym.ErrNoSymbols) || len(found.sources) == 0:
		reasons = append(reasons, err)
	}
	if !isGo && set.Stripped() && set.Reason != "" {
		reasons = append(reasons, errors.New(set.Reason))
	}
	found.reason = reason(reasons)
	return found
}

// useIndex adds the index that openIndex returned.
func (s *symbols) useIndex(x *index.Index) {
	s.sources = append(s.sources, source{Resolver: x, index: x})
	s.reason, _ = x.Missed()
}

// openIndex returns the index of a set's debugging information, or takes note of
// what makes it. With skipGo it has the functions of other languages alone.
func (s *symbols) openIndex(m *staccato.Mapping, file *elffile.File, set *debugfile.Set, indexes *indexes, skipGo bool) (*index.Index, error) {
	debug, kind := debugInfo(set, skipGo)
	if debug == nil {
		return nil, nil
	}
	x, better, err := indexes.open(m, file, kind, set)
	if x != nil {
		missed, path := x.Missed()
		s.whole = missed == "" && !kind.part
		if path != "" {
			set.Places = set.Places.WithObject(path)
		}
	}
	if better != nil {
		split := dwarf.Split{Package: set.Package, Open: set.OpenObject}
		better.source = index.Source{Debug: debug, Alt: set.Alternate, Split: split, SkipGo: skipGo}
		better.close = set.Close
	}
	s.better = better
	return x, err
}

// debugInfo returns the file of a set that has debugging information, nil when
// there is none, and what kind that is.
func debugInfo(set *debugfile.Set, skipGo bool) (file *elffile.File, k kind) {
	switch {
	case debugfile.HasDebugInfo(set.Executable):
		file, k.file = set.Executable, "own"
	case set.Debug != nil && debugfile.HasDebugInfo(set.Debug):
		file, k.file = set.Debug, "debug"
	default:
		return nil, kind{}
	}
	refers := file.Section(".gnu_debugaltlink") != nil || file.Section(".debug_sup") != nil
	k.part = refers && set.Alternate == nil
	k.packaged, k.skipGo = set.Package != nil, skipGo
	return file, k
}

// kind is what an index is made of. It is a part of the key, so that one is made
// anew when better information appears.
type kind struct {
	file     string // "own" or "debug"
	part     bool   // what the file shares with others is missing
	packaged bool   // there is a package of what was split off
	skipGo   bool
}

func (k kind) String() string {
	text := k.file
	if k.part {
		text += "-part"
	}
	if k.packaged {
		text += "-package"
	}
	if k.skipGo {
		text += "-not-go"
	}
	return text
}

// lesser returns the kinds in whose place one comes: those that are made of less.
func (k kind) lesser() (all []kind) {
	for _, part := range []bool{false, true} {
		for _, packaged := range []bool{false, true} {
			other := kind{k.file, part, packaged, k.skipGo}
			if other != k && (part || !k.part) && (!packaged || k.packaged) {
				all = append(all, other)
			}
		}
	}
	return all
}

// generatedSources reads what a process lists of the code that it generated. One
// process may have a quarter of the limit: names in it are worth less than in
// executables, which many processes share.
func generatedSources(list staccato.GrowingFile, limit int64) func() symbols {
	m := perfmap.New(perfmap.Config{Limit: limit / 4})
	return func() symbols {
		found := symbols{sources: []source{{Resolver: m}}}
		err := list.Refresh()
		if err == nil {
			err = m.Update(list)
		}
		if found.reason = m.Reason(); err != nil {
			found.reason = err.Error()
		}
		return found
	}
}

// reason joins errors into one line.
func reason(errs []error) string {
	text := ""
	for _, err := range errs {
		if text != "" {
			text = fmt.Sprintf("%s; %s", text, err)
		} else {
			text = err.Error()
		}
	}
	return text
}
