package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeProc is a tree that looks like /proc with one process in it, whose root
// is a directory of its own.
type fakeProc struct {
	dir, root string
	pid       uint32
}

const fakePID = 4242

// generationAt makes a generation from ticks and a number of execs.
func generationAt(ticks, execs uint64) uint64 {
	return ticks*1e7>>execBits<<execBits + 1<<execBits | execs
}

func newFakeProc(t *testing.T) *fakeProc {
	t.Helper()
	p := &fakeProc{dir: t.TempDir(), root: t.TempDir(), pid: fakePID}
	for _, dir := range []string{"map_files"} {
		if err := os.MkdirAll(filepath.Join(p.of(), dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(p.root, filepath.Join(p.of(), "root")); err != nil {
		t.Fatal(err)
	}
	p.write(t, "stat", fmt.Sprintf("%d (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 777 0 0", p.pid))
	p.write(t, "comm", "fake\n")
	p.write(t, "cgroup", "0::/docker/"+strings.Repeat("ab", 32)+"\n")
	p.write(t, "maps", "")
	return p
}

func (p *fakeProc) of() string { return filepath.Join(p.dir, fmt.Sprint(p.pid)) }

func (p *fakeProc) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.of(), name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// put copies a file into the process's root.
func (p *fakeProc) put(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(p.root, to)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// withoutMapFiles makes find follow paths, as it must where the kernel denies
// map_files.
func (p *fakeProc) withoutMapFiles(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(p.of(), "map_files")); err != nil {
		t.Fatal(err)
	}
}

func TestFindByPath(t *testing.T) {
	program := compile(t, "int main(void) { return 0; }")
	other := compile(t, "int main(void) { return 1; }")
	id, otherID := askReadelf(t, program).buildID, askReadelf(t, other).buildID
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	inode := func(t *testing.T, path string) (w wanted) {
		var stat unix.Stat_t
		if err := unix.Stat(path, &stat); err != nil {
			t.Fatal(err)
		}
		return wanted{inode: stat.Ino, major: unix.Major(stat.Dev), minor: unix.Minor(stat.Dev)}
	}
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, p *fakeProc) wanted
		reason  string // "": found
	}{
		{"same build ID", func(t *testing.T, p *fakeProc) wanted {
			p.put(t, program, "bin/x")
			return wanted{buildID: id}
		}, ""},
		{"same inode", func(t *testing.T, p *fakeProc) wanted {
			p.put(t, program, "bin/x")
			return inode(t, filepath.Join(p.root, "bin/x"))
		}, ""},
		{"another build ID", func(t *testing.T, p *fakeProc) wanted {
			p.put(t, program, "bin/x")
			return wanted{buildID: otherID}
		}, reasonBuildID},
		{"same inode, another build ID", func(t *testing.T, p *fakeProc) wanted {
			p.put(t, program, "bin/x")
			w := inode(t, filepath.Join(p.root, "bin/x"))
			w.buildID = otherID
			return w
		}, reasonBuildID},
		{"another inode and no build ID known", func(t *testing.T, p *fakeProc) wanted {
			p.put(t, program, "bin/x")
			return wanted{inode: 1, major: 8}
		}, reasonReplaced},
		{"nothing known", func(t *testing.T, p *fakeProc) wanted {
			p.put(t, program, "bin/x")
			return wanted{}
		}, reasonUnknown},
		{"missing", func(t *testing.T, p *fakeProc) wanted { return wanted{buildID: strings.Repeat("0", 40)} }, reasonGone},
		{"a link inside the root, absolute", func(t *testing.T, p *fakeProc) wanted {
			p.put(t, program, "usr/x")
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			os.Symlink("/usr/x", filepath.Join(p.root, "bin/x"))
			return wanted{buildID: id}
		}, ""},
		{"a link out of the root", func(t *testing.T, p *fakeProc) wanted {
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			os.Symlink(secret, filepath.Join(p.root, "bin/x"))
			return inode(t, secret)
		}, reasonGone},
		{"a link upwards out of the root", func(t *testing.T, p *fakeProc) wanted {
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			os.Symlink(strings.Repeat("../", 40)+secret[1:], filepath.Join(p.root, "bin/x"))
			return inode(t, secret)
		}, reasonGone},
		{"a FIFO", func(t *testing.T, p *fakeProc) wanted {
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			if err := unix.Mkfifo(filepath.Join(p.root, "bin/x"), 0o644); err != nil {
				t.Fatal(err)
			}
			return inode(t, filepath.Join(p.root, "bin/x"))
		}, reasonNotRegular},
		{"a directory", func(t *testing.T, p *fakeProc) wanted {
			os.MkdirAll(filepath.Join(p.root, "bin/x"), 0o755)
			return inode(t, filepath.Join(p.root, "bin/x"))
		}, reasonNotRegular},
		{"a device", func(t *testing.T, p *fakeProc) wanted {
			needRoot(t)
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			if err := unix.Mknod(filepath.Join(p.root, "bin/x"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))); err != nil {
				t.Fatal(err)
			}
			return inode(t, filepath.Join(p.root, "bin/x"))
		}, reasonNotRegular},
		{"a socket", func(t *testing.T, p *fakeProc) wanted {
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			if err := unix.Mknod(filepath.Join(p.root, "bin/x"), unix.S_IFSOCK|0o666, 0); err != nil {
				t.Fatal(err)
			}
			return inode(t, filepath.Join(p.root, "bin/x"))
		}, reasonNotRegular},
		{"a huge sparse file of zeros", func(t *testing.T, p *fakeProc) wanted {
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			path := filepath.Join(p.root, "bin/x")
			if err := os.WriteFile(path, nil, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 1<<40); err != nil {
				t.Fatal(err)
			}
			return inode(t, path)
		}, reasonNotELF},
		{"a huge sparse file that begins like ELF", func(t *testing.T, p *fakeProc) wanted {
			os.MkdirAll(filepath.Join(p.root, "bin"), 0o755)
			path := filepath.Join(p.root, "bin/x")
			head := append([]byte("\x7fELF\x02\x01\x01"), strings.Repeat("\xff", 57)...)
			if err := os.WriteFile(path, head, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 1<<40); err != nil {
				t.Fatal(err)
			}
			return inode(t, path)
		}, reasonMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newFakeProc(t)
			p.withoutMapFiles(t)
			w := test.prepare(t, p)
			w.path, w.start, w.end = "/bin/x", 0x1000, 0x2000
			table, _ := newTable(t, Config{Proc: p.dir})
			d, err := openProcDir(p.dir, p.pid)
			if err != nil {
				t.Fatal(err)
			}
			defer d.close()
			started := time.Now()
			e := table.executables.find(d, w)
			if took := time.Since(started); took > time.Second {
				t.Errorf("took %v", took)
			}
			if e == nil {
				t.Fatal("nothing")
			}
			if e.mapping.Reason != test.reason || (e.mapping.File == nil) != (test.reason != "") {
				t.Errorf("file %v, reason %q; want %q", e.mapping.File, e.mapping.Reason, test.reason)
			}
			if test.reason == "" && e.mapping.BuildID != id {
				t.Errorf("build ID %s, want %s", e.mapping.BuildID, id)
			}
			if test.reason != "" && table.Stats().Refused[test.reason] == 0 {
				t.Errorf("not counted: %v", table.Stats().Refused)
			}
			if open := table.Stats().OpenFiles; (open != 0) != (test.reason == "") {
				t.Errorf("%d files left open", open)
			}
		})
	}
}

// A link of map_files is followed only to regular files, too.
func TestFindByMapFiles(t *testing.T) {
	for _, test := range []struct{ target, reason string }{
		{"/dev/zero", reasonNotRegular}, {"/dev", reasonNotRegular}, {"/bin/true", ""},
	} {
		p := newFakeProc(t)
		if err := os.Symlink(test.target, filepath.Join(p.of(), "map_files/1000-2000")); err != nil {
			t.Fatal(err)
		}
		table, _ := newTable(t, Config{Proc: p.dir})
		d, err := openProcDir(p.dir, p.pid)
		if err != nil {
			t.Fatal(err)
		}
		e := table.executables.find(d, wanted{start: 0x1000, end: 0x2000, path: "/x"})
		d.close()
		if e == nil || e.mapping.Reason != test.reason {
			t.Errorf("%s: %+v, want %q", test.target, e, test.reason)
		}
	}
}

func TestFileThatChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("0123456789"), 0o644); err != nil {
		t.Fatal(err)
	}
	table, _ := newTable(t, Config{})
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, reason := newHandle(fd)
	if h == nil {
		t.Fatal(reason)
	}
	defer h.close()
	opened, reason := h.open()
	if opened == nil {
		t.Fatal(reason)
	}
	f := newFile(opened, h.stat.Size, h.stat.Uid, &table.executables.open)
	if err := os.WriteFile(path, []byte("0123456789abcdef"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, err := f.ReadAt(b, 4); n != 6 || err != io.EOF {
		t.Errorf("read %d bytes of a file that grew, %v", n, err)
	}
	if err := os.Truncate(path, 2); err != nil {
		t.Fatal(err)
	}
	if n, err := f.ReadAt(b[:4], 0); n != 2 || err != io.EOF {
		t.Errorf("read %d bytes of a file that was cut, %v", n, err)
	}
	f.close()
	if _, err := f.ReadAt(b, 0); err == nil || !strings.Contains(err.Error(), ErrReleased.Error()) {
		t.Errorf("read of a released file: %v", err)
	}
}

// Symbols are read elsewhere while files are released.
func TestReleaseWhileReading(t *testing.T) {
	table, _ := newTable(t, Config{})
	x := table.executables
	for _, path := range copies(t, 20) {
		m := mapped(t, x, path).mapping
		done := make(chan error)
		go func() {
			var err error
			for b := make([]byte, 64); err == nil; {
				_, err = m.File.ReadAt(b, 0)
			}
			done <- err
		}()
		table.ReleaseFile(m)
		if err := <-done; !errors.Is(err, ErrReleased) {
			t.Fatal(err)
		}
	}
}

// What kindOf must not mistake for one another.
func TestKindOf(t *testing.T) {
	for path, want := range map[string]pathKind{
		"/bin/sh": fileKind, "/[vdso]": fileKind, "(unreachable)/bin/sh": fileKind, "/dev/zero.so": fileKind,
		"[vdso]": vdsoKind, "[vsyscall]": special, "[uprobes]": special,
		"": anonymous, "//anon": anonymous, "[heap]": anonymous, "[anon:jit]": anonymous, "/dev/zero": anonymous, "anon_inode:[perf_event]": anonymous,
	} {
		if got := kindOf(path); got != want {
			t.Errorf("%q: %d, want %d", path, got, want)
		}
	}
}
