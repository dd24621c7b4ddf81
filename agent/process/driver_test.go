package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

// driver feeds a table with the kernel's own records, and with the notices that
// BPF programs would give at the same moments.
type driver struct {
	t       *testing.T
	table   *Table
	uploads *uploads
	reader  *sideband.Reader
	self    uint32
	bases   map[uint32]uint64 // generation without execs, of the processes followed
	execs   map[uint32]uint64
	inExec  map[uint32]bool
}

func newDriver(t *testing.T, config Config) *driver {
	t.Helper()
	needRoot(t)
	reader, err := sideband.Open(sideband.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { reader.Close() })
	d := &driver{t: t, reader: reader, self: uint32(os.Getpid()), bases: map[uint32]uint64{}, execs: map[uint32]uint64{}, inExec: map[uint32]bool{}}
	d.table, d.uploads = newTable(t, config)
	return d
}

func (d *driver) generation(pid uint32) uint64 { return d.bases[pid] | d.execs[pid]&1023 }

// bootOffset is how far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC.
func bootOffset(t *testing.T) uint64 {
	var monotonic, boot unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &monotonic); err != nil {
		t.Fatal(err)
	}
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot); err != nil {
		t.Fatal(err)
	}
	return uint64(boot.Nano() - monotonic.Nano())
}

func (d *driver) pump() {
	d.t.Helper()
	offset := bootOffset(d.t)
	err := d.reader.Drain(func(record sideband.Record) {
		switch r := record.(type) {
		case sideband.Fork:
			_, followed := d.bases[r.ParentPID]
			if r.PID == r.ParentPID || r.ParentPID != d.self && !followed {
				return
			}
			// The kernel takes the start time some microseconds before.
			start := r.Time + offset
			if dir, err := openProcDir("/proc", r.PID); err == nil {
				if ticks, err := dir.startTime(); err == nil {
					start = ticks*1e7 + 1<<execBits
				}
				dir.close()
			}
			d.bases[r.PID] = start >> execBits << execBits
			d.execs[r.PID] = d.execs[r.ParentPID]
			d.table.Fork(r.ParentPID, r.PID, d.generation(r.PID), r.Time)
		case sideband.Comm:
			if _, followed := d.bases[r.PID]; followed {
				d.table.Comm(r)
				d.inExec[r.PID] = d.inExec[r.PID] || r.Exec
			}
		case sideband.Mmap:
			if _, followed := d.bases[r.PID]; !followed {
				return
			}
			d.table.Mmap(r)
			// The vDSO is the last thing that the kernel maps for an exec.
			if d.inExec[r.PID] && r.Path == staccato.VDSOPath {
				d.inExec[r.PID] = false
				d.execs[r.PID]++
				d.table.Exec(r.PID, d.generation(r.PID), r.Time+1)
			}
		case sideband.Exit:
			if _, followed := d.bases[r.PID]; followed && r.PID == r.TID {
				d.table.Exit(r.PID, d.generation(r.PID), r.Time)
			}
		case sideband.Lost:
			d.t.Errorf("%d records lost", r.Count)
		}
	})
	if err != nil {
		d.t.Fatal(err)
	}
	flush(d.t, d.table)
}

// child is a process that says things, and waits for a line before it goes on.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func start(t *testing.T, cmd *exec.Cmd) *child {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t, cmd, in, bufio.NewReader(out)}
	t.Cleanup(func() { in.Close(); cmd.Process.Kill(); cmd.Wait() })
	return c
}

func (c *child) pid() uint32 { return uint32(c.cmd.Process.Pid) }

// says returns the numbers of the next line, which are in hex.
func (c *child) says(n int) []uint64 {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("child said %q: %v", line, err)
	}
	var numbers []uint64
	for _, field := range strings.Fields(line) {
		number, err := strconv.ParseUint(field, 0, 64)
		if err != nil {
			c.t.Fatal(err)
		}
		numbers = append(numbers, number)
	}
	if len(numbers) != n {
		c.t.Fatalf("child said %q", line)
	}
	return numbers
}

func (c *child) goOn() {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in); err != nil {
		c.t.Fatal(err)
	}
}

// symbolAddress is what nm says.
func symbolAddress(t *testing.T, path, symbol string, dynamic bool) uint64 {
	t.Helper()
	args := []string{path}
	if dynamic {
		args = []string{"-D", path}
	}
	out, err := exec.Command("nm", args...).Output()
	if err != nil {
		t.Fatalf("nm %s: %v", path, err)
	}
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 3 && strings.SplitN(fields[2], "@", 2)[0] == symbol {
			address, err := strconv.ParseUint(fields[0], 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return address
		}
	}
	t.Fatalf("%s has no symbol %s", path, symbol)
	return 0
}

const helloSource = `
#include <stdio.h>
#include <unistd.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/wait.h>
int here(void) { return 1; }
static void wait_line(void) { char c; while (read(0, &c, 1) == 1 && c != '\n') ; }
int main(int argc, char **argv) {
	printf("%p\n", (void *)here); fflush(stdout);
	wait_line();
	if (argc > 1) { /* load a library, fork, tell where things are, then exec without arguments */
		void *library = dlopen(argv[1], RTLD_NOW);
		pid_t child = fork();
		if (child == 0) { wait_line(); _exit(0); }
		printf("%p %#x\n", library ? dlsym(library, argv[2]) : 0, child); fflush(stdout);
		wait_line();
		waitpid(child, 0, 0);
		execl(argv[0], argv[0], (char *)0);
	}
	return 0;
}`

// at fails unless the image has a file with the build ID of path at addr, at
// the address that nm gives the symbol.
func (d *driver) at(pid uint32, addr uint64, path, symbol string, dynamic bool) {
	d.t.Helper()
	i := d.table.Image(pid, d.generation(pid))
	if i == nil {
		d.t.Fatalf("no image of process %d", pid)
	}
	m, address, found := i.Lookup(addr)
	if found != File {
		d.t.Fatalf("process %d: address %#x is %d, want a file", pid, addr, found)
	}
	if want := askReadelf(d.t, path).buildID; m.BuildID != want || m.File == nil || m.Path != path {
		d.t.Errorf("address %#x is in %+v, want %s with build ID %s", addr, m, path, want)
	}
	if want := symbolAddress(d.t, path, symbol, dynamic); address != want {
		d.t.Errorf("address %#x is %#x in %s, nm says %#x", addr, address, path, want)
	}
	// The kernel side comes to the same result by way of the chunk.
	if d.uploads.current[pid] != d.generation(pid) {
		return
	}
	for _, e := range d.uploads.entries[imageID{pid, d.generation(pid)}] {
		if addr < e.Start || addr >= e.End {
			continue
		}
		if fm, fa, ok := d.table.Frame(e.Chunk, e.Base+uint32(addr-e.Start)); !ok || fm != m || fa != address {
			d.t.Errorf("chunk %d: %+v at %#x, image says %+v at %#x", e.Chunk, fm, fa, m, address)
		}
		return
	}
	d.t.Errorf("address %#x was not uploaded", addr)
}

func findLibrary(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*-linux-gnu/libm.so.6")
	if len(found) == 0 {
		t.Fatal("no libm.so.6")
	}
	return found[0]
}
