package sideband

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func open(t *testing.T, config Config) *Reader {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	r, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if unknown, malformed := r.Skipped(); unknown+malformed > 0 {
			t.Errorf("%d records of unknown types, %d malformed", unknown, malformed)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// recordsOf drains what was written and keeps the records of a process; it
// fails when they are not in order.
func recordsOf(t *testing.T, r *Reader, pid int) (records []Record) {
	t.Helper()
	var last uint64
	if err := r.Drain(func(record Record) {
		if record.When() < last {
			t.Errorf("%+v comes after a record of %d", record, last)
		}
		last = record.When()
		switch record := record.(type) {
		case Mmap:
			if record.PID == uint32(pid) {
				records = append(records, record)
			}
		case Comm:
			if record.PID == uint32(pid) {
				records = append(records, record)
			}
		case Fork:
			if record.PID == uint32(pid) {
				records = append(records, record)
			}
		case Exit:
			if record.PID == uint32(pid) {
				records = append(records, record)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return records
}

func compile(t *testing.T, source string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	file, program := filepath.Join(dir, "program.c"), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gcc", append([]string{"-O1", "-Wl,--build-id", "-o", program, file}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program
}

var buildIDLine = regexp.MustCompile(`Build ID: ([0-9a-f]+)`)

// readelfBuildID asks binutils.
func readelfBuildID(t *testing.T, path string) string {
	t.Helper()
	out, err := exec.Command("readelf", "-n", path).Output()
	if err != nil {
		t.Fatalf("readelf -n %s: %v", path, err)
	}
	if m := buildIDLine.FindSubmatch(out); m != nil {
		return string(m[1])
	}
	return ""
}

const dlopenSource = `
#include <dlfcn.h>
int main(int argc, char **argv) { return !dlopen(argv[1], RTLD_NOW); }
`

// findLibrary returns the path of a shared library that a plain C program does
// not load by itself.
func findLibrary(t *testing.T) string {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/*-linux-gnu/libm.so.6")
	if len(found) == 0 {
		found, _ = filepath.Glob("/usr/lib64/libm.so.6")
	}
	if len(found) == 0 {
		t.Fatal("no libm.so.6")
	}
	return found[0]
}

func TestExec(t *testing.T) {
	program, library := compile(t, dlopenSource, "-ldl"), findLibrary(t)
	for _, noBuildID := range []bool{false, true} {
		name := "build IDs"
		if noBuildID {
			name = "inodes"
		}
		t.Run(name, func(t *testing.T) {
			r := open(t, Config{NoBuildID: noBuildID})
			if noBuildID && r.BuildIDs() {
				t.Fatal("build IDs were asked for")
			}
			var now unix.Timespec
			if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
				t.Fatal(err)
			}
			before := uint64(now.Nano())
			command := exec.Command(program, library)
			if err := command.Run(); err != nil {
				t.Fatal(err)
			}
			records := recordsOf(t, r, command.Process.Pid)

			if fork, ok := records[0].(Fork); !ok || fork.ParentPID != uint32(os.Getpid()) {
				t.Errorf("first record %+v, want the fork by this process", records[0])
			}
			if _, ok := records[len(records)-1].(Exit); !ok {
				t.Errorf("last record %+v, want the exit", records[len(records)-1])
			}
			started := slices.IndexFunc(records, func(record Record) bool {
				comm, ok := record.(Comm)
				return ok && comm.Exec && comm.Name == "program"
			})
			if started < 0 {
				t.Fatalf("no record of the exec in %+v", records)
			}
			var files []string
			var vdso bool
			for _, record := range records[started:] {
				m, ok := record.(Mmap)
				if !ok {
					continue
				}
				if m.Prot&unix.PROT_EXEC == 0 {
					t.Errorf("not executable: %+v", m)
				}
				if m.Time < before || m.Time > before+uint64(time.Minute) {
					t.Errorf("time %d, started at %d", m.Time, before)
				}
				if m.Path == "[vdso]" {
					vdso = true
				}
				if !strings.HasPrefix(m.Path, "/") || strings.HasPrefix(m.Path, "//") {
					continue
				}
				files = append(files, m.Path)
				if want := readelfBuildID(t, m.Path); r.BuildIDs() && m.BuildID != want {
					t.Errorf("%s: build ID %q, readelf says %q", m.Path, m.BuildID, want)
				}
				if noBuildID {
					var stat unix.Stat_t
					if err := unix.Stat(m.Path, &stat); err != nil {
						t.Fatal(err)
					}
					if m.Inode != stat.Ino || m.Maj != unix.Major(stat.Dev) || m.Min != unix.Minor(stat.Dev) {
						t.Errorf("%s is inode %d on %d:%d, record says %+v", m.Path, stat.Ino, unix.Major(stat.Dev), unix.Minor(stat.Dev), m)
					}
				}
			}
			if !vdso {
				t.Error("no record of the vDSO")
			}
			// The kernel maps the program, then its interpreter; that maps libc, and
			// what the program opens comes last.
			want := []string{program, "ld-linux", "libc.so", library}
			if len(files) < len(want) {
				t.Fatalf("mapped %q, want %q", files, want)
			}
			for i, part := range []string{files[0], files[1], files[2], files[len(files)-1]} {
				if !strings.Contains(part, want[i]) {
					t.Errorf("mapped %q, want %q in this order", files, want)
				}
			}
		})
	}
}

// Many short programs on all CPUs: nothing is lost, and each one's records are
// in order although they move between CPUs and drains.
func TestOrderAcrossCPUs(t *testing.T) {
	r := open(t, Config{})
	command := exec.Command("/bin/sh", "-c", "for i in $(seq 100); do /bin/true & /bin/true; done; wait")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- command.Wait() }()

	inExec := map[uint32]bool{}
	var last uint64
	var execs, stray, late int
	drain := func() {
		if err := r.Drain(func(record Record) {
			if record.When() < last {
				late++
			}
			last = max(last, record.When())
			switch record := record.(type) {
			case Comm:
				if record.Name == "true" && record.Exec {
					execs++
					inExec[record.PID] = true
				}
			case Mmap:
				if strings.HasSuffix(record.Path, "/true") && !inExec[record.PID] {
					stray++
				}
			case Lost:
				t.Errorf("lost %d", record.Count)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false
		default:
			drain()
			time.Sleep(time.Millisecond)
		}
	}
	drain()
	if execs < 200 || stray > 0 {
		t.Errorf("%d execs of true, %d mapped before their exec; want ≥200 and 0", execs, stray)
	}
	if late > 10 {
		t.Errorf("%d records were out of order between drains", late)
	}
}

func TestLost(t *testing.T) {
	program := compile(t, `
#include <sys/mman.h>
int main(void) {
	for (int i = 0; i < 5000; i++)
		mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return 0;
}`)
	r := open(t, Config{Pages: 1})
	command := exec.Command("taskset", "-c", "0", program)
	if err := command.Run(); err != nil {
		t.Fatal(err)
	}
	count := func() (mapped int, lost uint64) {
		if err := r.Drain(func(record Record) {
			switch record := record.(type) {
			case Mmap:
				if record.PID == uint32(command.Process.Pid) && record.Path == "//anon" {
					mapped++
				}
			case Lost:
				lost += record.Count
			}
		}); err != nil {
			t.Fatal(err)
		}
		return mapped, lost
	}
	mapped, lost := count()
	// The kernel tells of losses only before a record that fits again.
	if err := exec.Command("taskset", "-c", "0", "/bin/true").Run(); err != nil {
		t.Fatal(err)
	}
	more, moreLost := count()
	mapped, lost = mapped+more, lost+moreLost
	if mapped == 0 || uint64(mapped)+lost < 5000 || uint64(mapped)+lost > 6000 {
		t.Errorf("%d mappings seen and %d records lost of 5,000 mappings and a few more records", mapped, lost)
	}
}

// Of a process that maps without end so many records are handed over, and one for
// all others; none the next time, and all when it has calmed down; and no news of the
// kernel's symbols are lost for it.
func TestMany(t *testing.T) {
	program := compile(t, `
#include <stdio.h>
#include <sys/mman.h>
static void map(int n) {
	for (int i = 0; i < n; i++)
		munmap(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
	puts("");
	fflush(stdout);
	getchar();
}
int main(void) {
	map(20000);
	map(50);
	map(50);
	return 0;
}`)
	r := open(t, Config{MaxMappings: 100})
	command := exec.Command("taskset", "-c", "0", program)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	pid := uint32(command.Process.Pid)
	var last, lost uint64
	drain := func() (mapped int, many []Many) {
		if err := r.Drain(func(record Record) {
			if record.When() < last {
				t.Errorf("%+v comes after a record of %d", record, last)
			}
			last = record.When()
			switch record := record.(type) {
			case Mmap:
				if record.PID == pid {
					mapped++
				}
			case Many:
				if record.PID == pid {
					many = append(many, record)
				}
			case Lost:
				if lost += record.Count; record.Symbols {
					t.Error("news of symbols were lost")
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		return mapped, many
	}
	for _, want := range []struct {
		mapped      int
		least, most uint64 // in place of others
	}{{100, 1000, 1 << 20}, {0, 50, 50}, {50, 0, 0}} {
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		mapped, many := drain()
		count := uint64(0)
		if len(many) > 0 {
			count = many[0].Count
		}
		if mapped != want.mapped || len(many) > 1 || count < want.least || count > want.most {
			t.Errorf("%d mappings, %+v for others; want %+v", mapped, many, want)
		}
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	// The kernel tells of losses only before a record that fits again.
	if lost == 0 {
		t.Error("no record was lost")
	}
}

func TestSyncCPUs(t *testing.T) {
	online, err := onlineCPUs()
	if err != nil {
		t.Fatal(err)
	}
	if len(online) < 2 {
		t.Skip("one CPU")
	}
	r := open(t, Config{CPUs: online[:1]})
	run := func(cpu string) (seen bool) {
		t.Helper()
		command := exec.Command("taskset", "-c", cpu, "/bin/true")
		if err := command.Run(); err != nil {
			t.Fatal(err)
		}
		for _, record := range recordsOf(t, r, command.Process.Pid) {
			if comm, ok := record.(Comm); ok && comm.Name == "true" {
				seen = true
			}
		}
		return seen
	}
	if !run("0") || run("1") {
		t.Error("recording on CPU 0: want what happens there and nothing of CPU 1")
	}
	// A CPU that cannot exist is as if it had gone offline meanwhile.
	if err := r.SyncCPUs(append(slices.Clone(online), maxCPU)); err != nil && !strings.Contains(err.Error(), "invalid") {
		t.Fatal(err)
	}
	if !run("1") {
		t.Error("CPU 1 was added, but nothing of it was seen")
	}
	if err := r.SyncCPUs(online[1:]); err != nil {
		t.Fatal(err)
	}
	if run("0") || !run("1") {
		t.Error("CPU 0 was removed")
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, pages := range []int{-1, 3, 100} {
		if r, err := Open(Config{Pages: pages}); err == nil {
			r.Close()
			t.Errorf("opened with rings of %d pages", pages)
		}
	}
}
