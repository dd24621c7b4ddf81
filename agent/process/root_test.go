package process

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

func contentOf(t *testing.T, r staccato.Root, path string) string {
	t.Helper()
	f, err := r.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, f.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// find looks for the program "/bin/x" of a process.
func (p *fakeProc) find(t *testing.T, table *Table, buildID string) *executable {
	t.Helper()
	d, err := openProcDir(p.dir, p.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	e := table.executables.find(d, wanted{start: 0x1000, end: 0x2000, path: "/bin/x", buildID: buildID})
	if e == nil || e.mapping.File == nil {
		t.Fatalf("executable %+v", e)
	}
	return e
}

// What a container has below its root is opened, and nothing else is.
func TestRootOpen(t *testing.T) {
	program := compile(t, "int main(void) { return 0; }")
	id := askReadelf(t, program).buildID
	p := newFakeProc(t)
	p.withoutMapFiles(t)
	p.put(t, program, "bin/x")
	secret := filepath.Join(t.TempDir(), "secret")
	in := func(path string) string {
		path = filepath.Join(p.root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := errors.Join(
		os.WriteFile(secret, []byte("secret"), 0o644),
		os.WriteFile(in("usr/lib/debug/x"), []byte("theirs"), 0o644),
		os.Symlink("/usr/lib/debug", in("absolute")),
		os.Symlink(strings.Repeat("../", 40)+"usr/lib/debug/x", in("upwards")),
		os.Symlink(secret, in("out")),
		os.Symlink(strings.Repeat("../", 40)+secret[1:], in("outupwards")),
		os.Symlink("/proc/self/root"+secret, in("magic")),
		os.Symlink("loop", in("loop")),
		unix.Mkfifo(in("fifo"), 0o644),
		unix.Mknod(in("socket"), unix.S_IFSOCK|0o644, 0),
		unix.Mknod(in("device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))),
	); err != nil {
		t.Fatal(err)
	}
	table, _ := newTable(t, Config{Proc: p.dir})
	e := p.find(t, table, id)
	if len(e.mapping.Roots) != 2 {
		t.Fatalf("roots %v", e.mapping.Roots)
	}
	root := e.mapping.Roots[0]
	for path, want := range map[string]string{
		"/usr/lib/debug/x":              "theirs",
		"/absolute/x":                   "theirs",
		"/upwards":                      "theirs",
		"/../../usr/lib/debug/x":        "theirs",
		"/out":                          "no such file",
		"/outupwards":                   "no such file",
		secret:                          "no such file",
		"/magic":                        "no such file",
		"/loop":                         "too many levels",
		"/fifo":                         reasonNotRegular,
		"/socket":                       reasonNotRegular,
		"/device":                       reasonNotRegular,
		"/usr":                          reasonNotRegular,
		"/usr/lib/debug/x/y":            "not exist",
		"/" + strings.Repeat("x", 5000): "name too long",
	} {
		begun := time.Now()
		if got := contentOf(t, root, path); !strings.Contains(got, want) {
			t.Errorf("%.50s: %q, want %q", path, got, want)
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("%s took %v", path, took)
		}
	}
	if _, err := root.Open("/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error is %v", err)
	}
	// Our own root has the file.
	if got := contentOf(t, e.mapping.Roots[1], secret); got != "secret" {
		t.Errorf("our own root: %q", got)
	}
	for _, path := range []string{"/proc/version", "/proc/kmsg", "/sys/kernel/notes"} {
		if got := contentOf(t, e.mapping.Roots[1], path); !strings.Contains(got, "no file of a disk") {
			t.Errorf("%s: %q", path, got)
		}
	}
	table.ReleaseFile(e.mapping)
	if _, err := root.Open("/usr/lib/debug/x"); !errors.Is(err, ErrReleased) {
		t.Errorf("after the file was released: %v", err)
	}
	if n := table.executables.roots.open.Load(); n != 0 {
		t.Errorf("%d roots are open", n)
	}
}

// Executables of one root share it, and it goes with the last of them.
func TestRootIsShared(t *testing.T) {
	program, other := compile(t, "int main(void) { return 0; }"), compile(t, "int main(void) { return 1; }")
	p := newFakeProc(t)
	p.withoutMapFiles(t)
	p.put(t, program, "bin/x")
	table, _ := newTable(t, Config{Proc: p.dir})
	first := p.find(t, table, askReadelf(t, program).buildID)
	if err := os.Remove(filepath.Join(p.root, "bin/x")); err != nil {
		t.Fatal(err)
	}
	p.put(t, other, "bin/x")
	second := p.find(t, table, askReadelf(t, other).buildID)
	if first == second || first.mapping.Roots[0] != second.mapping.Roots[0] || table.executables.roots.open.Load() != 1 {
		t.Errorf("roots %v and %v", first.mapping.Roots, second.mapping.Roots)
	}
	table.ReleaseFile(first.mapping)
	table.ReleaseFile(first.mapping)
	if _, err := second.mapping.Roots[0].Open("/bin/x"); err != nil {
		t.Error(err)
	}
	table.ReleaseFile(second.mapping)
	if n := table.executables.roots.open.Load(); n != 0 {
		t.Errorf("%d roots are open", n)
	}
}

// A container that maps a file of the host's does not tell what it is.
func TestRootOfOurOwnFile(t *testing.T) {
	program := compile(t, "int main(void) { return 0; }")
	p := newFakeProc(t)
	p.withoutMapFiles(t)
	path := filepath.Join(p.root, program)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Link(program, path)); err != nil {
		t.Fatal(err)
	}
	table, _ := newTable(t, Config{Proc: p.dir})
	d, err := openProcDir(p.dir, p.pid)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	e := table.executables.find(d, wanted{start: 0x1000, end: 0x2000, path: program, buildID: askReadelf(t, program).buildID})
	if len(e.mapping.Roots) != 1 || e.mapping.Roots[0] != table.executables.roots.own {
		t.Errorf("roots %v", e.mapping.Roots)
	}
}

// The root of a process in another mount namespace is its own, although it is
// the same directory; and it stays when the process is gone.
func TestRootOfMountNamespace(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	// It runs without a library, in a root that is empty else.
	program := compile(t, "#include <unistd.h>\nint main(void) { write(1, \"x\", 1); return read(0, (char[1]){0}, 1); }", "-static")
	if err := os.WriteFile(filepath.Join(dir, "debug"), []byte("theirs"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--mount", "/bin/sh", "-c",
		`mount -t tmpfs none /mnt && cp "$0" /mnt/x && cp "$1" /mnt/debug && exec chroot /mnt /x`, program, filepath.Join(dir, "debug"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	table, _ := newTable(t, Config{})
	d, err := openProcDir("/proc", uint32(cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	id := askReadelf(t, program).buildID
	var e *executable
	text, err := d.open("maps")
	if err != nil {
		t.Fatal(err)
	}
	lines, err := parseMaps(text, 100, func() bool { return false })
	text.Close()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines.lines {
		if strings.HasSuffix(line.path, "/x") {
			e = table.executables.find(d, wanted{start: line.start, end: line.end, path: line.path,
				major: line.major, minor: line.minor, inode: line.inode})
		}
	}
	d.close()
	if e == nil || e.mapping.File == nil || e.mapping.BuildID != id || len(e.mapping.Roots) != 2 {
		t.Fatalf("executable %+v", e)
	}
	in.Close()
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	if got := contentOf(t, e.mapping.Roots[0], "/debug"); got != "theirs" {
		t.Errorf("after the end of the process: %q", got)
	}
}
