package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// mapped finds the executable of a file as if a process had mapped it.
func mapped(t *testing.T, x *executables, path string) *executable {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, reason := newHandle(fd)
	if h == nil {
		t.Fatal(reason)
	}
	defer h.close()
	return x.ofFile(h, wanted{path: path}, nil)
}

// copies makes distinct files of one program.
func copies(t *testing.T, n int) (paths []string) {
	t.Helper()
	content, err := os.ReadFile("/bin/true")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestChunksAreReusedLate(t *testing.T) {
	table, _ := newTable(t, Config{IdleWindows: 2})
	x := table.executables
	paths := copies(t, 2)
	first := mapped(t, x, paths[0])
	x.use(first)
	chunk := x.chunk(first, 0)
	x.unuse(first)
	if _, _, ok := table.Frame(chunk, 0); !ok {
		t.Fatal("gone with its last user")
	}
	table.WindowRead()
	if m, _, ok := table.Frame(chunk, 0); !ok || m != first.mapping {
		t.Error("gone after one window")
	}
	second := mapped(t, x, paths[1])
	x.use(second)
	if x.chunk(second, 0) == chunk {
		t.Error("number used again after one window")
	}
	table.WindowRead()
	if _, _, ok := table.Frame(chunk, 0); ok {
		t.Error("still there after two windows")
	}
	if x.chunk(second, 1) != chunk {
		t.Error("number not used again after two windows")
	}
	if first.file.isOpen() {
		t.Error("file still open")
	}
	for _, bad := range []uint32{0, 100, 1<<32 - 1} {
		if _, _, ok := table.Frame(bad, 0); ok {
			t.Errorf("chunk %d", bad)
		}
	}
}

// A program that runs now and then stays the same executable.
func TestIdleExecutableComesBack(t *testing.T) {
	table, _ := newTable(t, Config{})
	x := table.executables
	path := copies(t, 1)[0]
	first := mapped(t, x, path)
	x.use(first)
	for range 30 {
		x.unuse(first)
		table.WindowRead()
		if again := mapped(t, x, path); again != first {
			t.Fatal("another executable")
		}
		x.use(first)
	}
	if err := os.WriteFile(path, []byte("\x7fELF, but written over"), 0o755); err != nil {
		t.Fatal(err)
	}
	if again := mapped(t, x, path); again == first || again.mapping.Reason != reasonMalformed {
		t.Errorf("a file that was written over: %+v", again.mapping)
	}
}

func TestOpenFilesLimit(t *testing.T) {
	table, _ := newTable(t, Config{MaxOpenFiles: 3})
	x := table.executables
	var all []*executable
	for _, path := range copies(t, 5) {
		e := mapped(t, x, path)
		x.use(e)
		x.chunk(e, 0)
		all = append(all, e)
		if len(all) == 3 { // the first is used again: the second is the oldest now
			if _, _, ok := table.Frame(x.chunk(all[0], 0), 0); !ok {
				t.Fatal("no frame")
			}
		}
	}
	for i, open := range []bool{true, false, false, true, true} {
		_, err := all[i].mapping.File.ReadAt(make([]byte, 4), 0)
		if (err == nil) != open || err != nil && !errors.Is(err, ErrReleased) {
			t.Errorf("file %d: %v, want open %v", i, err, open)
		}
	}
	if stats := table.Stats(); stats.OpenFiles != 3 || stats.FilesReleased != 2 {
		t.Errorf("%+v", stats)
	}
	table.ReleaseFile(all[0].mapping)
	table.ReleaseFile(all[0].mapping)
	if stats := table.Stats(); stats.OpenFiles != 2 {
		t.Errorf("%d open after one was released", stats.OpenFiles)
	}
}

func TestExecutablesLimit(t *testing.T) {
	table, _ := newTable(t, Config{MaxExecutables: 3, IdleWindows: 10})
	x := table.executables
	paths := copies(t, 5)
	for i, path := range paths[:4] {
		e := mapped(t, x, path)
		if (e != nil) != (i < 3) {
			t.Fatalf("executable %d: %v", i, e)
		}
		if i > 0 {
			x.use(e)
		}
	}
	if table.Stats().ExecutablesBeyond != 1 {
		t.Errorf("%+v", table.Stats())
	}
	// The first is idle, and makes room once no window can refer to it.
	table.WindowRead()
	table.WindowRead()
	if mapped(t, x, paths[4]) == nil {
		t.Error("an idle executable made no room")
	}
}

// Programs that were gone before anyone looked.
func TestGoneProcess(t *testing.T) {
	table, _ := newTable(t, Config{})
	x := table.executables
	program := compile(t, "int main(void) { return 0; }")
	w := wanted{start: 0x1000, end: 0x2000, path: program, buildID: askReadelf(t, program).buildID}
	e := x.find(nil, w)
	if e.mapping.File == nil || e.mapping.BuildID != w.buildID {
		t.Fatalf("file at the same path of our root: %+v", e.mapping)
	}
	if x.find(nil, w) != e {
		t.Error("not the same executable the second time")
	}
	w.buildID = strings.Repeat("1", 40)
	if e := x.find(nil, w); e.mapping.File != nil || e.mapping.Reason != reasonGone || e.mapping.BuildID != w.buildID {
		t.Errorf("another build ID: %+v", e.mapping)
	}
	if e := x.find(nil, wanted{path: program}); e.mapping.File != nil {
		t.Errorf("without a build ID: %+v", e.mapping)
	}

	// Others that claim the same path and build ID, in other roots.
	w.buildID = askReadelf(t, program).buildID
	inAnotherRoot := func() *executable {
		p := newFakeProc(t)
		p.withoutMapFiles(t)
		p.put(t, program, w.path)
		d, err := openProcDir(p.dir, p.pid)
		if err != nil {
			t.Fatal(err)
		}
		defer d.close()
		other := x.find(d, w)
		if other == e || other.mapping.File == nil {
			t.Fatalf("file in another root: %+v", other.mapping)
		}
		return other
	}
	inAnotherRoot()
	if x.find(nil, w) != e {
		t.Error("our own root does not come first")
	}
	w.path = "/not/in/our/root"
	other := inAnotherRoot()
	if x.find(nil, w) != other {
		t.Error("the only file with the path and build ID was not taken")
	}
	inAnotherRoot()
	if e := x.find(nil, w); e.mapping.File != nil {
		t.Error("chose one of two files with the same path and build ID")
	}
}
