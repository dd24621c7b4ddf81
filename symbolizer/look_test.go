package symbolizer

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// below is the root of a container, which counts what is opened there.
type below struct {
	dir    string
	opened atomic.Int64
}

func (b *below) Open(path string) (staccato.OpenFile, error) {
	b.opened.Add(1)
	return host{}.Open(filepath.Join(b.dir, path))
}

// put makes content appear at a path, whole.
func (b *below) put(t *testing.T, path, from string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(b.dir, path)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to+".new", content, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(to+".new", to); err != nil {
		t.Fatal(err)
	}
}

// counting counts how often a file is read.
type counting struct {
	staccato.File
	reads atomic.Int64
	owner uint32
}

func (c *counting) ReadAt(b []byte, at int64) (int, error) {
	c.reads.Add(1)
	return c.File.ReadAt(b, at)
}

func (c *counting) Owner() uint32 { return c.owner }

// looked is an executable in use, whose debug file is elsewhere.
type looked struct {
	*Symbolizer
	root    *below
	file    *counting
	mapping *staccato.Mapping
	frame   *staccato.Frame
	indexes string // their folder
	place   string // of the debug file
	debug   string // the file that belongs there
}

// lookEach is how often tests look.
const lookEach = 20 * time.Millisecond

func newLooked(t *testing.T, owner uint32) *looked {
	t.Helper()
	path, at := inlining(t, "-DOTHER=1", "-Wl,--build-id")
	return lookAt(t, path, at, owner)
}

// lookAt strips an executable.
func lookAt(t *testing.T, path string, at uint64, owner uint32) *looked {
	t.Helper()
	l := &looked{root: &below{dir: t.TempDir()}, debug: path + ".debug", indexes: filepath.Join(t.TempDir(), "index")}
	run(t, "binutils", "objcopy", "--only-keep-debug", path, l.debug)
	run(t, "binutils", "strip", "--strip-all", path)
	l.mapping = mapping(t, path)
	file, err := elffile.Open(l.mapping.File)
	if err != nil {
		t.Fatal(err)
	}
	id := file.BuildID()
	l.file = &counting{File: l.mapping.File, owner: owner}
	l.mapping.BuildID, l.mapping.Hash, l.mapping.File, l.mapping.Roots = id, hash, l.file, []staccato.Root{l.root}
	l.place = "/usr/lib/debug/.build-id/" + id[:2] + "/" + id[2:] + ".debug"
	l.Symbolizer = withIndex(t, l.indexes, Config{})
	l.lookEvery = lookEach
	l.frame = &staccato.Frame{Mapping: l.mapping, Address: at}
	l.name()
	return l
}

// name names the frame again, as for another profile.
func (l *looked) name() string {
	l.frame.Lines = nil
	l.Symbolize([]*staccato.Frame{l.frame})
	return names(l.frame)
}

// becomes names the frame until it has a name.
func (l *looked) becomes(t *testing.T, want string) {
	t.Helper()
	for began := time.Now(); l.name() != want; time.Sleep(lookEach / 4) {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("the frame is %q, want %q; reason %q", names(l.frame), want, l.Reason(l.mapping))
		}
	}
}

// during names the frame for some looks, and returns how often files were opened and
// the executable was read meanwhile.
func (l *looked) during(looks int) (opened, reads int64) {
	opened, reads = l.root.opened.Load(), l.file.reads.Load()
	for began := time.Now(); time.Since(began) < time.Duration(looks)*lookEach; time.Sleep(lookEach / 4) {
		l.name()
	}
	return l.root.opened.Load() - opened, l.file.reads.Load() - reads
}

// kinds are those of the index files that there are.
func (l *looked) kinds(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(l.indexes)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var kinds []string
	for _, e := range entries {
		kinds = append(kinds, strings.TrimPrefix(e.Name(), l.mapping.BuildID+"-"+hash[:hashDigits]+"-"))
	}
	return strings.Join(kinds, " ")
}

// A debug file is installed while its executable runs. Before, it is looked for at a
// few places, and nothing is read again; after, it is not even looked for.
func TestDebugFileIsInstalled(t *testing.T) {
	l := newLooked(t, 0)
	if l.name() != "" || !strings.Contains(l.Reason(l.mapping), "no debug file found") {
		t.Fatalf("the frame is %q, reason %q", names(l.frame), l.Reason(l.mapping))
	}
	if opened, reads := l.during(20); opened < 2 || opened > 20 || reads != 0 {
		t.Errorf("in 20 looks %d opened, %d read", opened, reads)
	}
	if l.Improved() != 0 {
		t.Error("it has improved")
	}
	l.root.put(t, l.place, l.debug)
	l.becomes(t, "inlined<with_inlined")
	if l.frame.Lines[0].Line == 0 || l.Reason(l.mapping) != "" || l.Improved() == 0 {
		t.Errorf("the frame is %+v, reason %q, improved %d times", l.frame.Lines[0], l.Reason(l.mapping), l.Improved())
	}
	if kinds := l.kinds(t); kinds != "debug.v1" {
		t.Errorf("index files %q", kinds)
	}
	improved := l.Improved()
	if err := os.Remove(filepath.Join(l.root.dir, l.place)); err != nil {
		t.Fatal(err)
	}
	if opened, reads := l.during(10); opened != 0 || reads != 0 || l.Improved() != improved || names(l.frame) != "inlined<with_inlined" {
		t.Errorf("%d opened, %d read, improved %d times more, the frame is %q", opened, reads, l.Improved()-improved, names(l.frame))
	}
}

// A file of another build is read once, and again only when it is another file. One
// that changes all the time is looked into less and less.
func TestWrongDebugFile(t *testing.T) {
	l := newLooked(t, 1000)
	other, _ := inlining(t, "-DOTHER=2", "-Wl,--build-id")
	l.root.put(t, l.place, other)
	wrong := func() bool { return strings.Contains(l.Reason(l.mapping), "is of another build") }
	for began := time.Now(); !wrong(); l.name() {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("reason %q", l.Reason(l.mapping))
		}
	}
	if _, reads := l.during(20); reads != 0 || l.name() != "" {
		t.Errorf("%d read, the frame is %q", reads, names(l.frame))
	}
	before := l.file.reads.Load()
	l.table(l.mapping).expire()
	l.name()
	once := l.file.reads.Load() - before

	before = l.file.reads.Load()
	for began := time.Now(); time.Since(began) < 60*lookEach; time.Sleep(lookEach / 4) {
		l.root.put(t, l.place, other)
		l.name()
	}
	if times := (l.file.reads.Load() - before) / once; times < 1 || times > 6 {
		t.Errorf("it is looked into %d times", times)
	}
}

// table returns the table of a mapping.
func (l *looked) table(m *staccato.Mapping) *table { return l.tables[m].Value.(*table) }

// A right file in the place of a wrong one gives names.
func TestRightDebugFileForWrong(t *testing.T) {
	l := newLooked(t, 0)
	other, _ := inlining(t, "-DOTHER=2", "-Wl,--build-id")
	l.root.put(t, l.place, other)
	for began := time.Now(); !strings.Contains(l.Reason(l.mapping), "is of another build"); l.name() {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("reason %q", l.Reason(l.mapping))
		}
	}
	l.root.put(t, l.place, l.debug)
	l.becomes(t, "inlined<with_inlined")
}

// A damaged debug file is not tried again, until there is another.
func TestDamagedDebugFile(t *testing.T) {
	l := newLooked(t, 0)
	damaged := filepath.Join(t.TempDir(), "damaged")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "binutils", "objcopy", "--update-section", ".debug_info="+empty, "--update-section", ".debug_abbrev="+empty, l.debug, damaged)
	l.root.put(t, l.place, damaged)
	l.becomes(t, "with_inlined") // by its symbols
	if err := l.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, reads := l.during(20); reads != 0 || !strings.Contains(l.Reason(l.mapping), "read debugging information: ") {
		t.Errorf("%d read, reason %q", reads, l.Reason(l.mapping))
	}
	l.root.put(t, l.place, l.debug)
	l.becomes(t, "inlined<with_inlined")
}

// An index that lacks what debug files share is used until there is one with that,
// which takes its place, on the disk too.
func TestSharedFileIsInstalled(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1", "-Wl,--build-id")
	twin, _ := inlining(t, "-DOTHER=2", "-Wl,--build-id")
	common := filepath.Join(t.TempDir(), "common")
	run(t, "dwz", "dwz", "-m", common, "-M", "/common", path, twin)
	l := lookAt(t, path, at, 0)
	l.root.put(t, l.place, l.debug)
	for began := time.Now(); l.kinds(t) != "debug-part.v1"; l.name() {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("index files %q, reason %q", l.kinds(t), l.Reason(l.mapping))
		}
	}
	part := l.name()
	if part != "with_inlined" {
		t.Fatalf("without the shared file the frame is %q", part)
	}
	if opened, reads := l.during(20); opened == 0 || reads != 0 {
		t.Errorf("in 20 looks %d opened, %d read", opened, reads)
	}
	l.root.put(t, "/common", common)
	l.becomes(t, "inlined<with_inlined")
	if kinds := l.kinds(t); kinds != "debug.v1" {
		t.Errorf("index files %q", kinds)
	}
}

// The file of an object's debug information is installed.
func TestSplitFileIsInstalled(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1", "-gsplit-dwarf")
	objects, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.dwo"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%q: %v", objects, err)
	}
	away := objects[0] + ".away"
	if err := os.Rename(objects[0], away); err != nil {
		t.Fatal(err)
	}
	m, root := mapping(t, path), &below{dir: "/"}
	m.BuildID, m.Hash, m.Roots = "0123", hash, []staccato.Root{root}
	s := withIndex(t, filepath.Join(t.TempDir(), "index"), Config{})
	s.lookEvery = lookEach
	l := &looked{Symbolizer: s, root: root, mapping: m, frame: &staccato.Frame{Mapping: m, Address: at}}
	l.becomes(t, "with_inlined")
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(s.Reason(m), objects[0]+" not found") {
		t.Errorf("reason %q", s.Reason(m))
	}
	if err := os.Rename(away, objects[0]); err != nil {
		t.Fatal(err)
	}
	l.becomes(t, "inlined<with_inlined")
	if s.Reason(m) != "" {
		t.Errorf("reason %q", s.Reason(m))
	}
}

// Nobody who may not change files can have more read than a few.
func TestNewsOfUser(t *testing.T) {
	l := newLooked(t, 1000)
	var all []*table
	for range 3 * maxNewsOfUser {
		m := mapping(t, l.mapping.Path)
		m.BuildID, m.Hash, m.File, m.Roots = l.mapping.BuildID, hash, &counting{File: m.File, owner: 1000}, l.mapping.Roots
		l.lookEvery = time.Hour
		l.Symbolize([]*staccato.Frame{{Mapping: m, Address: l.frame.Address}})
		all = append(all, l.table(m))
	}
	l.root.put(t, l.place, l.debug)
	l.lookAtAll()
	news := 0
	for _, table := range all {
		if table.expired.Load() {
			news++
		}
	}
	if l.table(l.mapping).expired.Load() {
		news++
	}
	if news != maxNewsOfUser {
		t.Errorf("%d tables are read again", news)
	}
}
