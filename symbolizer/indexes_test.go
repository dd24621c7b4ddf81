package symbolizer

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/index"
)

// hash is one of a file, as mappings have it.
const hash = "0123456789abcdef0123456789abcdef"

// withIndex returns a symbolizer whose index files are in a folder of the test.
func withIndex(t testing.TB, dir string, config Config) *Symbolizer {
	config.Index = index.Config{Directory: dir}
	return New(config)
}

// renew names a frame again if better names came to be known.
func renew(s *Symbolizer, f *staccato.Frame, since uint64) bool {
	if s.Improved() == since {
		return false
	}
	f.Lines = nil
	s.Symbolize([]*staccato.Frame{f})
	return true
}

// inlining builds a program with a function that another is inlined into, and
// returns an address there.
func inlining(t testing.TB, flags ...string) (path string, address uint64) {
	t.Helper()
	source, path := filepath.Join(t.TempDir(), "p.c"), filepath.Join(t.TempDir(), "p")
	text := `
static inline __attribute__((always_inline)) void inlined(void) {
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
}
void with_inlined(void) { inlined(); }
int main() { with_inlined(); return OTHER; }
`
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, "gcc", "gcc", append(flags, "-O2", "-g", "-o", path, source)...)
	return path, addressOf(t, path, "with_inlined") + 5
}

// TestIndex names a frame by symbols first, and then with what is inlined.
func TestIndex(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	m := mapping(t, path)
	m.BuildID, m.Hash = "0123", hash
	dir := filepath.Join(t.TempDir(), "index")
	var done []*staccato.Mapping
	s := withIndex(t, dir, Config{Done: func(m *staccato.Mapping) { done = append(done, m) }})
	f := &staccato.Frame{Mapping: m, Address: at}
	since := s.Improved()
	s.Symbolize([]*staccato.Frame{f})
	if names(f) != "with_inlined" || f.Lines[0].Function.File != "" {
		t.Errorf("by symbols, the frame is %q of %q", names(f), f.Lines[0].Function.File)
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(done) != 1 || done[0] != m {
		t.Errorf("done: %v", done)
	}
	if !renew(s, f, since) {
		t.Error("there are no better names")
	}
	if names(f) != "inlined<with_inlined" || !strings.HasSuffix(f.Lines[0].Function.File, "p.c") || f.Lines[0].Line == 0 {
		t.Errorf("the frame is %q, %+v", names(f), f.Lines[0])
	}
	if renew(s, f, s.Improved()) {
		t.Error("there are better names again")
	}
	if reason := s.Reason(m); reason != "" {
		t.Errorf("reason is %q", reason)
	}
	if _, err := os.Stat(filepath.Join(dir, "0123-0123456789abcdef-own.v1")); err != nil {
		t.Error(err)
	}

	// The next one finds the file, and names the frame at once.
	other := mapping(t, path)
	other.BuildID, other.Hash = m.BuildID, hash
	s = withIndex(t, dir, Config{})
	f = &staccato.Frame{Mapping: other, Address: at}
	s.Symbolize([]*staccato.Frame{f})
	if names(f) != "inlined<with_inlined" || s.Improved() != 0 {
		t.Errorf("with the file, the frame is %q", names(f))
	}
}

// TestSplitComesLater has the file with an object's debug information only when
// another symbolizer looks for it. It is not looked for when all is known.
func TestSplitComesLater(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1", "-gsplit-dwarf")
	objects, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*.dwo"))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%q: %v", objects, err)
	}
	away := objects[0] + ".away"
	if err := os.Rename(objects[0], away); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "index")
	for _, test := range []struct {
		what, names, reason string
		before              func() error
	}{
		{"without the file", "with_inlined", objects[0] + " not found", func() error { return nil }},
		{"still without", "with_inlined", objects[0] + " not found", func() error { return nil }},
		{"with the file", "inlined<with_inlined", "", func() error { return os.Rename(away, objects[0]) }},
		{"when it is not needed any more", "inlined<with_inlined", "", func() error { return os.Remove(objects[0]) }},
	} {
		if err := test.before(); err != nil {
			t.Fatal(err)
		}
		m := mapping(t, path)
		m.Roots = []staccato.Root{host{}}
		s := withIndex(t, dir, Config{})
		f := &staccato.Frame{Mapping: m, Address: at}
		s.Symbolize([]*staccato.Frame{f})
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		renew(s, f, 0)
		if names(f) != test.names || f.Lines[0].Line == 0 || !strings.HasSuffix(s.Reason(m), test.reason) || test.reason == "" && s.Reason(m) != "" {
			t.Errorf("%s, the frame is %q, %+v, reason %q", test.what, names(f), f.Lines[0], s.Reason(m))
		}
	}
}

// TestForgedBuildID gives another program the same build ID. Each has its own
// names.
func TestForgedBuildID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	for _, h := range []string{hash, "f" + hash[1:]} {
		source, path := filepath.Join(t.TempDir(), "p.c"), filepath.Join(t.TempDir(), "p")
		text := "int of_" + h + "(void) { return 1; }\nint main() { return of_" + h + "(); }\n"
		if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, "gcc", "gcc", "-g", "-o", path, source)
		m := mapping(t, path)
		m.BuildID, m.Hash = "0123", h
		f := &staccato.Frame{Mapping: m, Address: addressOf(t, path, "of_"+h)}
		s := withIndex(t, dir, Config{})
		s.Symbolize([]*staccato.Frame{f})
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		renew(s, f, 0)
		if names(f) != "of_"+h || f.Lines[0].Line != 1 {
			t.Errorf("the frame is %q", names(f))
		}
	}
}

// owned is a file of a user.
type owned struct {
	staccato.File
	user uint32
}

func (o owned) Owner() uint32 { return o.user }

// TestOwners tells files of users apart, even if all that is looked at is the
// same.
func TestOwners(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	dir := filepath.Join(t.TempDir(), "index")
	s := withIndex(t, dir, Config{})
	for _, user := range []uint32{0, 1000} {
		m := mapping(t, path)
		m.BuildID, m.Hash, m.File = "0123", hash, owned{m.File, user}
		s.Symbolize([]*staccato.Frame{{Mapping: m, Address: at}})
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"0123-0123456789abcdef-own.v1", "0123-0123456789abcdef-user-1000-own.v1"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

// TestIndexWithoutBuildID tells programs apart by their code.
func TestIndexWithoutBuildID(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "index")
	s := withIndex(t, dir, Config{})
	for _, flag := range []string{"-DOTHER=1", "-DOTHER=2"} {
		path, at := inlining(t, flag, "-Wl,--build-id=none")
		f := &staccato.Frame{Mapping: mapping(t, path), Address: at}
		s.Symbolize([]*staccato.Frame{f})
	}
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || !strings.HasPrefix(entries[0].Name(), "code-") {
		t.Errorf("files %v, %v", entries, err)
	}
}

// TestIndexDamaged replaces a file that is not what it should be.
func TestIndexDamaged(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	dir := filepath.Join(t.TempDir(), "index")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0123-0123456789abcdef-own.v1"), []byte("torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := mapping(t, path)
	m.BuildID, m.Hash = "0123", hash
	s := withIndex(t, dir, Config{})
	f := &staccato.Frame{Mapping: m, Address: at}
	s.Symbolize([]*staccato.Frame{f})
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	renew(s, f, 0)
	if names(f) != "inlined<with_inlined" {
		t.Errorf("the frame is %q: %s", names(f), s.Reason(m))
	}
}

// TestIndexTooLarge gives up, says so, and does not try again.
func TestIndexTooLarge(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	m := mapping(t, path)
	m.BuildID, m.Hash = "0123", hash
	s := withIndex(t, filepath.Join(t.TempDir(), "index"), Config{BuildMemory: 4 << 10})
	f := &staccato.Frame{Mapping: m, Address: at}
	s.Symbolize([]*staccato.Frame{f})
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if names(f) != "with_inlined" || !strings.Contains(s.Reason(m), "exceeds the memory limit") || s.Improved() != 0 {
		t.Errorf("the frame is %q, reason %q", names(f), s.Reason(m))
	}
	again := mapping(t, path)
	again.BuildID, again.Hash = m.BuildID, hash
	s.Symbolize([]*staccato.Frame{{Mapping: again, Address: f.Address}})
	if s.indexes.idle != nil || !strings.Contains(s.Reason(again), "exceeds the memory limit") {
		t.Errorf("it is tried again; reason %q", s.Reason(again))
	}
}

// TestNoDirectory keeps the index in memory.
func TestNoDirectory(t *testing.T) {
	path, at := inlining(t, "-DOTHER=1")
	m := mapping(t, path)
	dir := filepath.Join(t.TempDir(), "index")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := withIndex(t, dir, Config{})
	f := &staccato.Frame{Mapping: m, Address: at}
	s.Symbolize([]*staccato.Frame{f})
	if err := s.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	renew(s, f, 0)
	if names(f) != "inlined<with_inlined" {
		t.Errorf("the frame is %q: %s", names(f), s.Reason(m))
	}
	if err := s.Stats().Unkept; err == nil || !strings.Contains(err.Error(), "want 0700") {
		t.Errorf("error about the directory is %v", err)
	}
}

// TestWait gives up with its context.
func TestWait(t *testing.T) {
	s := withIndex(t, t.TempDir(), Config{})
	s.indexes.idle = make(chan struct{}) // as while one is made
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Wait(ctx); err == nil {
		t.Error("it waits for ever")
	}
}

// A user with very many files waits for nobody, but keeps nobody waiting either.
func TestIndexesOfUsers(t *testing.T) {
	x := &indexes{failed: make(map[string]error), idle: make(chan struct{})} // nothing makes them
	refused := 0
	for range 2 * maxOfUser {
		if !x.add(&build{owner: 1000}) {
			refused++
		}
	}
	if refused != maxOfUser {
		t.Errorf("%d were refused", refused)
	}
	x.spent = map[uint32]time.Duration{1000: time.Second, 0: time.Millisecond}
	for range 2 {
		x.add(&build{owner: 1001, path: "other"})
		x.add(&build{owner: 0, path: "root's"})
	}
	for _, want := range []uint32{1001, 1001, 0, 0, 1000, 1000} {
		if b := x.next(); b.owner != want {
			t.Errorf("a file of user %d, want one of %d", b.owner, want)
		}
	}
}
