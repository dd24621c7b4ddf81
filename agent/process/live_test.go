package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent/limit"
)

func TestLifeOfAProcess(t *testing.T) {
	d := newDriver(t, Config{})
	program, library := compile(t, helloSource, "-ldl"), findLibrary(t)
	c := start(t, exec.Command(program, library, "sqrtf"))
	here := c.says(1)[0]
	d.pump()
	d.at(c.pid(), here, program, "here", false)
	first := d.table.Image(c.pid(), d.generation(c.pid()))
	firstGeneration := first.Process.Generation
	if p := first.Process; p.Executable != program || p.Name != "program" {
		t.Errorf("process %+v", p)
	}
	vdso := false
	for _, r := range first.regions.list {
		if r.executable == d.table.executables.vdso {
			m, _, found := first.Lookup(r.start)
			vdso = found == File && m.Path == staccato.VDSOPath && m.File != nil
		}
	}
	if !vdso {
		t.Error("no vDSO")
	}

	c.goOn()
	said := c.says(2)
	inLibrary, forked := said[0], uint32(said[1])
	d.pump()
	if strings.Contains(library, "libm") {
		// sqrtf may be chosen at run time; any address in the library will do.
		m, _, found := d.table.Image(c.pid(), d.generation(c.pid())).Lookup(inLibrary)
		if want := askReadelf(t, library).buildID; found != File || m.BuildID != want {
			t.Errorf("%#x: %+v, %d; want the library", inLibrary, m, found)
		}
	}
	d.at(forked, here, program, "here", false)

	c.goOn() // one of the two takes the line, the other …
	c.goOn() // … this one: the child ends, the parent calls exec
	hereAgain := c.says(1)[0]
	d.pump()
	if d.generation(c.pid()) == firstGeneration {
		t.Fatal("exec in place was not seen")
	}
	d.at(c.pid(), hereAgain, program, "here", false)
	if _, live := d.uploads.current[forked]; live {
		t.Error("the child that ended is still uploaded")
	}
	// Samples of the program before the exec still find their way.
	if m, _, found := d.table.Image(c.pid(), firstGeneration).Lookup(inLibrary); found != File || !strings.HasSuffix(m.Path, "libm.so.6") {
		t.Errorf("after exec: %+v", m)
	}
	if _, _, found := d.table.Image(c.pid(), d.generation(c.pid())).Lookup(inLibrary); found == File && inLibrary != 0 {
		if m, _, _ := d.table.Image(c.pid(), d.generation(c.pid())).Lookup(inLibrary); strings.HasSuffix(m.Path, "libm.so.6") {
			t.Error("the new program has the old one's library")
		}
	}
	c.goOn()
	if err := c.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	d.pump()
	d.at(c.pid(), hereAgain, program, "here", false)
	if _, live := d.uploads.current[c.pid()]; live {
		t.Error("still uploaded after the exit")
	}
}

// A process that was there before: everything comes from /proc.
func (d *driver) meet(pid uint32) {
	d.t.Helper()
	dir, err := openProcDir("/proc", pid)
	if err != nil {
		d.t.Fatal(err)
	}
	defer dir.close()
	ticks, err := dir.startTime()
	if err != nil {
		d.t.Fatal(err)
	}
	d.bases[pid] = generationAt(ticks, 0)
	d.table.Unknown(pid, d.generation(pid), limit.Now())
	flush(d.t, d.table)
}

func TestDeletedAndReplacedFiles(t *testing.T) {
	d := newDriver(t, Config{})
	for _, fate := range []string{"deleted", "replaced", "a FIFO now", "a device now"} {
		t.Run(fate, func(t *testing.T) {
			d.t = t
			program := compile(t, helloSource, "-ldl")
			kept := program + ".kept"
			if err := os.Link(program, kept); err != nil {
				t.Fatal(err)
			}
			c := start(t, exec.Command(program))
			here := c.says(1)[0]
			if err := os.Remove(program); err != nil {
				t.Fatal(err)
			}
			var err error
			switch fate {
			case "replaced":
				err = exec.Command("cp", compile(t, "int main(void) { return 3; }"), program).Run()
			case "a FIFO now":
				err = unix.Mkfifo(program, 0o666)
			case "a device now":
				err = unix.Mknod(program, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5)))
			}
			if err != nil {
				t.Fatal(err)
			}
			d.meet(c.pid())
			m, address, found := d.table.Image(c.pid(), d.generation(c.pid())).Lookup(here)
			if want := askReadelf(t, kept).buildID; found != File || m.BuildID != want || m.Path != program || m.File == nil {
				t.Errorf("%+v, %d; want build ID %s", m, found, want)
			}
			if want := symbolAddress(t, kept, "here", false); address != want {
				t.Errorf("address %#x, nm says %#x", address, want)
			}
			p := d.table.Image(c.pid(), d.generation(c.pid())).Process
			if p.Executable != program || p.Name != "program" {
				t.Errorf("process %+v", p)
			}
		})
	}
}

// Two roots, in mount and PID namespaces of their own, with different files at
// the same path; and a user without any privilege.
func TestNamespaces(t *testing.T) {
	d := newDriver(t, Config{})
	seen := map[string]string{}
	for _, variant := range []string{"1", "2"} {
		source := strings.Replace(helloSource, "return 1", "return 100"+variant, 1)
		program := compile(t, source, "-ldl", "-static")
		root := filepath.Dir(program)
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		c := start(t, exec.Command("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "chroot", "--userspec=65534:65534", root, "/program"))
		here := c.says(1)[0]
		// The program is the child of unshare.
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.pid(), c.pid()))
		if err != nil {
			t.Fatal(err)
		}
		inner, err := strconv.ParseUint(strings.TrimSpace(string(children)), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		d.pump() // by its own records
		i := d.table.Image(uint32(inner), d.generation(uint32(inner)))
		if i == nil {
			t.Fatalf("no image of process %d", inner)
		}
		m, address, found := i.Lookup(here)
		if want := askReadelf(t, program).buildID; found != File || m.BuildID != want || m.Path != "/program" || m.File == nil {
			t.Errorf("%+v, %d; want build ID %s", m, found, want)
			continue
		}
		if want := symbolAddress(t, program, "here", false); address != want {
			t.Errorf("address %#x, nm says %#x", address, want)
		}
		seen[m.BuildID] = m.Path

		// The same by path instead of map_files.
		dir, err := openProcDir("/proc", uint32(inner))
		if err != nil {
			t.Fatal(err)
		}
		h, reason := dir.findByPath(wanted{path: "/program", buildID: m.BuildID})
		dir.close()
		if h == nil {
			t.Fatalf("by path: %s", reason)
		}
		var want unix.Stat_t
		if err := unix.Stat(program, &want); err != nil {
			t.Fatal(err)
		}
		if h.stat.Ino != want.Ino {
			t.Error("by path: another file")
		}
		h.close()
	}
	if len(seen) != 2 {
		t.Errorf("executables %v, want two with the same path", seen)
	}
}

// Programs that end before anyone looks are known all the same.
func TestShortLived(t *testing.T) {
	t.Run("build ID", func(t *testing.T) { testShortLived(t) })
	// As with Go's linker, whose build ID the kernel does not find: the file is
	// known by its inode.
	t.Run("inode", func(t *testing.T) { testShortLived(t, "-Wl,--build-id=none") })
}

func testShortLived(t *testing.T, flags ...string) {
	d := newDriver(t, Config{})
	program := compile(t, "int main(void) { return 0; }", flags...)
	for range 20 {
		if err := exec.Command(program).Run(); err != nil {
			t.Fatal(err)
		}
	}
	d.pump()
	want, named := askReadelf(t, program).buildID, 0
	for pid := range d.bases {
		i := d.table.Image(pid, d.generation(pid))
		if i == nil {
			t.Fatalf("no image of process %d", pid)
		}
		if i.Process.Executable != program {
			continue // the compiler's
		}
		for _, r := range i.regions.list {
			if m, _, _ := i.Lookup(r.start); m != nil && m.BuildID == want && m.File != nil {
				named++
			}
		}
	}
	if named != 20 {
		t.Errorf("found the executable of %d processes of 20", named)
	}
	if n := d.table.Stats().Uploads; n != 0 {
		t.Errorf("uploaded %d processes that had ended", n)
	}
}

// Generated code in a memfd is memory; a program run from one is a program.
func TestMemoryFiles(t *testing.T) {
	d := newDriver(t, Config{})
	program := compile(t, `
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
int main(void) {
	int fd = memfd_create("jit", 0);
	ftruncate(fd, 4096);
	void *code = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
	void *zero = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	void *plain = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	printf("%p %p %p\n", code, zero, plain); fflush(stdout);
	pause();
}`)
	c := start(t, exec.Command(program))
	addresses := c.says(3)
	check := func(how string) {
		t.Helper()
		for n, addr := range addresses {
			if m, _, found := d.table.Image(c.pid(), d.generation(c.pid())).Lookup(addr); found != Anonymous {
				t.Errorf("%s: address %d is %+v, %d", how, n, m, found)
			}
		}
	}
	d.pump()
	check("by records")
	d.table.Rescan()
	flush(t, d.table)
	check("by scan")

	fd, err := unix.MemfdCreate("program", 0)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(compile(t, helloSource, "-ldl"))
	if err != nil {
		t.Fatal(err)
	}
	memory := os.NewFile(uintptr(fd), "memfd")
	defer memory.Close()
	if _, err := memory.Write(content); err != nil {
		t.Fatal(err)
	}
	c = start(t, exec.Command(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd)))
	here := c.says(1)[0]
	d.pump()
	if m, _, found := d.table.Image(c.pid(), d.generation(c.pid())).Lookup(here); found != File || m.File == nil || m.Path != "/memfd:program" {
		t.Errorf("program in a memfd: %+v, %d", m, found)
	}
}

// Every process of this host: what the table holds is what /proc/PID/maps says.
func TestWholeHost(t *testing.T) {
	d := newDriver(t, Config{})
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	for _, path := range processes {
		pid, err := strconv.ParseUint(filepath.Base(path), 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Kill(int(pid), 0) == nil {
			if dir, err := openProcDir("/proc", uint32(pid)); err == nil {
				ticks, err := dir.startTime()
				dir.close()
				if err == nil {
					d.table.Unknown(uint32(pid), generationAt(ticks, 0), limit.Now())
				}
			}
		}
	}
	flush(t, d.table)
	took := time.Since(started)
	stats := d.table.Stats()
	t.Logf("%v: %+v", took, stats)
	if stats.Executables == 0 || stats.OpenFiles == 0 || len(d.uploads.current) < 2 {
		t.Errorf("%+v", stats)
	}
	self := d.table.live[d.self]
	if self == nil {
		t.Fatal("no image of this process")
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := parseMaps(f, 1000, never)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range text.lines {
		m, _, found := self.Lookup(line.start)
		if kindOf(line.path) == fileKind && (found != File || m.Path != line.path || m.File == nil) {
			t.Errorf("%+v: %+v, %d", line, m, found)
		}
	}
}
