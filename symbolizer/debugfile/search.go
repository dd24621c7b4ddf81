package debugfile

import (
	"debug/elf" // for its constants only
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// debugDir is where distributions put debug files.
const debugDir = "/usr/lib/debug"

// maxFile is the size of the largest file that is looked into, in bytes.
const maxFile = 8 << 30

// search is one call of Find.
type search struct {
	set     *Set
	mapping *staccato.Mapping
	config  Config
	buildID string // "" when the executable has none
	reasons []string
}

func (s *search) miss(format string, args ...any) {
	s.reasons = append(s.reasons, fmt.Sprintf(format, args...))
}

// findDebug looks for the debug file in each root, and then elsewhere.
func (s *search) findDebug() {
	link, err := readLink(s.set.Executable)
	if err != nil {
		s.miss("%s", err)
	}
	if s.buildID == "" && link.name == "" {
		s.miss("no build ID to find a debug file by")
		return
	}
	missing := len(s.reasons)
	for _, root := range s.mapping.Roots {
		for _, c := range s.candidates(link) {
			if f := s.open(root, c, s.buildID); f != nil {
				s.set.Debug, s.set.Path = f, c.path
				return
			}
		}
	}
	if s.set.Debug = s.fetch(s.buildID); s.set.Debug != nil {
		return
	}
	if len(s.reasons) == missing {
		s.miss("no debug file found")
	}
}

// candidate is a path that a file may have.
type candidate struct {
	path string
	link *link // says what its CRC must be; nil: there is none
}

func (s *search) candidates(l link) (all []candidate) {
	if p := pathOf(s.buildID); p != "" {
		all = append(all, candidate{path: p})
	}
	dir := dirOf(s.mapping.Path)
	if l.name == "" || dir == "" {
		return all
	}
	for _, d := range []string{dir, path.Join(dir, ".debug"), path.Join(debugDir, dir)} {
		if p := path.Join(d, l.name); p != s.mapping.Path {
			all = append(all, candidate{p, &l})
		}
	}
	return all
}

// pathOf returns the path that a debug file has by its build ID.
func pathOf(buildID string) string {
	if _, err := hex.DecodeString(buildID); err != nil || len(buildID) < 4 {
		return ""
	}
	return debugDir + "/.build-id/" + buildID[:2] + "/" + buildID[2:] + ".debug"
}

// dirOf returns the folder of an absolute path, "" of others.
func dirOf(file string) string {
	if !strings.HasPrefix(file, "/") {
		return ""
	}
	return path.Dir(file)
}

// open opens a candidate and returns it if it is what was looked for: has the
// build ID, unless that is "", and the CRC, if one is known.
func (s *search) open(root staccato.Root, c candidate, buildID string) *elffile.File {
	content, err := root.Open(c.path)
	if err != nil {
		s.set.Places.add(root, c.path, identity{})
		if !errors.Is(err, fs.ErrNotExist) {
			s.miss("%s", err)
		}
		return nil
	}
	is := identityOf(content)
	s.set.Places.add(root, c.path, is)
	f, err := s.check(content, c.link, buildID)
	if err != nil {
		content.Close()
		s.miss("%s %s", c.path, err)
		return nil
	}
	s.set.Stamp += fmt.Sprint(is)
	s.set.closers = append(s.set.closers, content)
	return f
}

// fetch asks the Fetcher.
func (s *search) fetch(buildID string) *elffile.File {
	if s.config.Fetcher == nil || buildID == "" {
		return nil
	}
	later := s.config.Later
	if later == nil {
		later = func() {}
	}
	content, err := s.config.Fetcher.Fetch(buildID, later)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		s.set.Pending = s.set.Pending || errors.Is(err, ErrPending)
		s.miss("debug file %s", err)
		return nil
	}
	f, err := s.check(content, nil, buildID)
	if err != nil {
		content.Close()
		s.miss("debug file from a server %s", err)
		return nil
	}
	s.set.closers = append(s.set.closers, content)
	return f
}

// check returns the file if it belongs to the executable. Its error continues a
// sentence about the file.
func (s *search) check(content staccato.File, l *link, buildID string) (*elffile.File, error) {
	if size := content.Size(); size > maxFile {
		return nil, fmt.Errorf("has %d MiB, more than %d", size>>20, maxFile>>20)
	}
	f, err := elffile.OpenDebug(content)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if e := s.set.Executable; f.Machine != e.Machine || f.Wide != e.Wide {
		return nil, fmt.Errorf("is for another processor")
	}
	if buildID != "" {
		switch id := f.BuildID(); id {
		case buildID:
		case "":
			return nil, errors.New("has no build ID")
		default:
			return nil, fmt.Errorf("is of another build, with build ID %s", id)
		}
	}
	if l != nil {
		if err := l.check(content, buildID != ""); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// findAlternate looks for the file that debug information in a folder refers
// to.
func (s *search) findAlternate(f *elffile.File, dir string) {
	name, id, err := readAlternate(f)
	if err != nil {
		s.miss("%s", err)
		return
	}
	if id == "" {
		return
	}
	var paths []string
	if p := pathOf(id); p != "" {
		paths = append(paths, p)
	}
	if path.IsAbs(name) {
		paths = append(paths, path.Clean(name))
	} else if dir != "" {
		paths = append(paths, path.Join(dir, name))
	}
	// Debug files by build ID are often links to elsewhere, and the name is
	// relative to that.
	if p := path.Join(debugDir, ".dwz", path.Base(name)); !slices.Contains(paths, p) {
		paths = append(paths, p)
	}

	missing := len(s.reasons)
	for _, root := range s.mapping.Roots {
		for _, p := range paths {
			if s.set.Alternate = s.open(root, candidate{path: p}, id); s.set.Alternate != nil {
				return
			}
		}
	}
	if s.set.Alternate = s.fetch(id); s.set.Alternate == nil && len(s.reasons) == missing {
		s.miss("shared debug file %s not found", name)
	}
}

// findPackage looks for the file that has the units of which f has skeletons. That
// it is of the same build is told by the identities of units.
func (s *search) findPackage(f *elffile.File) {
	if !hasData(f, ".debug_addr") {
		return // which those units would need
	}
	for i, root := range s.mapping.Roots {
		var names []string
		if i == 0 {
			names = append(names, s.mapping.Path, s.set.Path)
		}
		if path.IsAbs(s.mapping.Path) {
			names = append(names, path.Join(debugDir, s.mapping.Path))
		}
		for _, name := range names {
			if !path.IsAbs(name) {
				continue
			}
			if s.set.Package = s.open(root, candidate{path: name + ".dwp"}, ""); s.set.Package != nil {
				return
			}
		}
	}
}

// OpenObject opens the file with the split debug information of one object
// (.dwo), at an absolute path in the first of the executable's roots.
func (s *Set) OpenObject(path string) (*elffile.File, io.Closer, error) {
	if len(s.mapping.Roots) == 0 {
		return nil, nil, fs.ErrNotExist
	}
	content, err := s.mapping.Roots[0].Open(path)
	if err != nil {
		return nil, nil, err
	}
	f, err := (&search{set: s}).check(content, nil, "")
	if err != nil {
		content.Close()
		return nil, nil, fmt.Errorf("%s %w", path, err)
	}
	return f, content, nil
}

// hasData says that a file has such a section, and its bytes.
func hasData(f *elffile.File, name string) bool {
	s := f.Section(name)
	return s != nil && s.Type != elf.SHT_NOBITS && s.Size > 0
}
