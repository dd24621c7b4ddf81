// Package debugfile finds the files that describe an executable from which
// debug information was stripped:
//
//   - the debug file, by build ID below /usr/lib/debug/.build-id, or by the name
//     in .gnu_debuglink (GDB's manual, "Debugging Information in Separate Files")
//   - the file that debug files of one package share, which .gnu_debugaltlink
//     names (dwz(1))
//   - the file with the parts of debug information that were split off (DWARF 5,
//     section 7.3.5), and those parts by themselves
//   - the small ELF file in .gnu_debugdata (GDB's manual, "Debugging information
//     in a special section")
//
// Only files of the very same build are taken. Whoever may write to a root of
// the executable decides what is found in it.
package debugfile

import (
	"errors"
	"io"
	"strings"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// ErrPending says that it is not known yet whether there is a file.
var ErrPending = errors.New("being asked for")

// Fetcher gets debug files from elsewhere than the roots of an executable.
type Fetcher interface {
	// Fetch returns the debug file with a build ID, or why there is none. When
	// the error is ErrPending, later is called as soon as there is another
	// answer.
	Fetch(buildID string, later func()) (staccato.OpenFile, error)
}

// Config says where to search besides the roots. The zero value is nowhere.
type Config struct {
	// Fetcher is asked when no root has the file; nil is nobody.
	Fetcher Fetcher
	// Later is called when a Fetcher has an answer that it did not have at
	// first: searching again may then find more. It may be nil.
	Later func()
}

// Set is an executable with the files that describe it. Those that are nil do
// not exist or could not be had.
type Set struct {
	Executable *elffile.File
	// Debug is the debug file, which is only looked for when the executable
	// has no debug information itself. Path is where it was found.
	Debug *elffile.File
	Path  string
	// Alternate is what the debug information (of Debug or Executable) refers
	// to by forms such as DW_FORM_GNU_strp_alt and DW_FORM_strp_sup.
	Alternate *elffile.File
	// Package has the split debug information of all objects (.dwp).
	Package *elffile.File
	// Mini has symbols and no debug information.
	Mini *elffile.File
	// Reason says for people what is missing, and why; "" when nothing is.
	Reason string
	// Pending says that the Fetcher does not know of one of the files yet.
	Pending bool
	// Places are where the files were looked for.
	Places *Places
	// Stamp is equal for two sets of an executable only if the files in its roots
	// are the same, with the same content.
	Stamp string

	mapping *staccato.Mapping
	closers []io.Closer
}

// Find returns the set of an executable, whose headers were read of m.File. It
// is to be closed when its files have been read.
func Find(m *staccato.Mapping, executable *elffile.File, config Config) *Set {
	set := &Set{Executable: executable, mapping: m, Places: &Places{mapping: m}}
	s := search{set: set, mapping: m, config: config, buildID: m.BuildID}
	if s.buildID == "" {
		s.buildID = executable.BuildID()
	}
	s.findMini()
	described, dir := executable, dirOf(m.Path)
	if !HasDebugInfo(executable) {
		s.findDebug()
		described = s.set.Debug
		if s.set.Path != "" {
			dir = dirOf(s.set.Path)
		}
	}
	if described != nil {
		s.findAlternate(described, dir)
		s.findPackage(described)
	}
	s.set.Reason = strings.Join(s.reasons, "; ")
	return s.set
}

// Close closes the files that were found; the executable is the caller's.
func (s *Set) Close() {
	for _, c := range s.closers {
		c.Close() // they were only read
	}
	s.closers = nil
}

// Stripped says that the executable has no symbol table but that for linking.
func (s *Set) Stripped() bool { return !hasData(s.Executable, ".symtab") }

// Symbols returns the files with symbols that the executable lacks.
func (s *Set) Symbols() (files []*elffile.File) {
	if !s.Stripped() {
		return nil
	}
	for _, f := range []*elffile.File{s.Debug, s.Mini} {
		if f != nil {
			files = append(files, f)
		}
	}
	return files
}

// HasDebugInfo says that a file has DWARF debug information itself.
func HasDebugInfo(f *elffile.File) bool { return hasData(f, ".debug_info") }
