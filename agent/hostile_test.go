package agent

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// asNobody is a program run by a user without any privilege.
func asNobody(t *testing.T, path string, args ...string) target {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	return spawn(t, cmd)
}

// hostileSource maps each file given and runs the code in it, over and over.
// Its own name, and that of its thread, are no text.
const hostileSource = `
static void *map(int fd) { return mmap(0, 0x2000, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0); }
__attribute__((noinline, noclone)) static void call(void *code) { ((void (*)(long))((char *)code + 0x1000))(3000000); sink++; }
int main(int argc, char **argv)
{
	static int fd[256];
	static void *code[256];
	prctl(PR_SET_NAME, "\033[31m\n\xff\xc0\a");
	for (int i = 1; i < argc && i < 256; i++) {
		fd[i] = open(argv[i], O_RDONLY);
		code[i] = map(fd[i]);
		if (code[i] == MAP_FAILED)
			return 1;
	}
	puts("ready");
	fflush(stdout);
	wait_line();
	for (;;)
		for (int i = 1; i < argc && i < 256; i++) {
			if (lseek(fd[i], 0, SEEK_END) < 0x2000)
				continue; // there is nothing to run
			call(code[i]);
			/* and for a moment, too short to be looked at */
			void *again = map(fd[i]);
			call(again);
			munmap(again, 0x2000);
		}
}`

// An unprivileged user maps files that are made to harm whoever reads them, and
// puts other things at their paths.
func TestGarbageFiles(t *testing.T) {
	dir := publicDir(t)
	hostile := compileC(t, filepath.Join(dir, "hostile"), hostileSource)
	sound, err := os.ReadFile(hostile)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	files := garbage(t, sound)
	var paths []string
	for name, b := range files {
		paths = append(paths, write("garbage-"+name, b))
	}
	huge := write("huge", files["endless"])
	if err := os.Truncate(huge, 1<<41); err != nil {
		t.Fatal(err)
	}
	const strange = "\x1b]0;evil\a\n\xff\xfe (deleted)"
	fifo, device, link, odd := write("fifo", files["magic"]), write("device", files["cut"]), write("folder/libc.so.6", files["notes"]), write(strange, files["segment"])
	paths = append(paths, write("empty", nil), huge, fifo, device, link, odd)

	victim := run(t, workloads.Build(t, "c/split.c"), "60")
	cmd := exec.Command(hostile, paths...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := spawn(t, cmd)
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatalf("hostile program: %v", err)
	}
	libc, err := filepath.Glob("/usr/lib/*-linux-gnu/libc.so.6")
	if err != nil || len(libc) == 0 {
		t.Fatal("no libc.so.6")
	}
	err = errors.Join(os.Remove(fifo), unix.Mkfifo(fifo, 0o666),
		os.Remove(device), unix.Mknod(device, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 5))),
		os.RemoveAll(filepath.Dir(link)), os.Symlink(filepath.Dir(libc[0]), filepath.Dir(link)))
	if err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	prof := record(t, Config{Frequency: 999}, func() {
		p.goOn(t)
		time.Sleep(2 * time.Second)
	})
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("2 s of sampling took %v", took)
	}
	onlyIn(t, prof, victim.pid(), "main")
	seen := make(map[string]int64)
	for _, s := range ofPIDs(prof, p.pid()).Profile.Sample {
		if comm := s.Label["comm"]; len(comm) != 1 || comm[0] != "\x1b[31m\n?\a" && comm[0] != "hostile" {
			t.Errorf("comm %q", comm)
		}
		l := s.Location[0]
		if l.Mapping == nil || prof.Side.Kinds.Of(l.ID) == "kernel" {
			continue
		}
		seen[filepath.Base(l.Mapping.File)] += s.Value[0]
		if l.Mapping.File == link && len(l.Line) > 0 {
			t.Errorf("names of another library in %s: %v", link, functions(s))
		}
	}
	t.Logf("%+q", slices.Sorted(maps.Keys(seen)))
	for name := range files {
		if seen["garbage-"+name] == 0 {
			t.Errorf("no samples in garbage-%s", name)
		}
	}
	for _, path := range []string{fifo, device, link, huge, strings.ReplaceAll(odd[:len(odd)-len(" (deleted)")], "\xff\xfe", "?")} {
		if seen[filepath.Base(path)] == 0 {
			t.Errorf("no samples in %q", path)
		}
	}
	t.Logf("%+v", prof.Summary)
}

// A user without privilege makes a file with the build ID of another's, at the
// same path in mounts of his own, and is there first. Nobody else's process
// may take his names, however short it lives.
func TestForgedBuildID(t *testing.T) {
	dir := publicDir(t)
	const id = "-Wl,--build-id=0x5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e"
	path := compileC(t, filepath.Join(dir, "program"), "BURN(in_real)\nint main(void) { in_real(0.03); return 0; }", id)
	forged := compileC(t, filepath.Join(dir, "forged"), "BURN(in_forged)\nint main(void) { in_forged(60); return 0; }", id)
	evil := run(t, "unshare", "--mount", "/bin/sh", "-c",
		`mount --bind "$0" "$1" && exec setpriv --reuid 65534 --regid 65534 --clear-groups "$1"`, forged, path)
	waitName(t, evil.pid(), "program")
	var real []int
	prof := record(t, Config{Frequency: 999}, func() {
		time.Sleep(300 * time.Millisecond) // until it is known
		for range 20 {
			cmd := exec.Command(path)
			if err := cmd.Run(); err != nil {
				t.Fatal(err)
			}
			real = append(real, cmd.Process.Pid)
		}
	})
	onlyIn(t, prof, evil.pid(), "in_forged", "in_real")
	of := ofPIDs(prof, real...)
	named, forgeries := weight(of, "in_real"), weight(of, "in_forged")
	t.Logf("%d samples in the real function", named)
	if named < 50 || forgeries > 0 {
		t.Errorf("of the real program's samples %d are in its function and %d in the forger's", named, forgeries)
	}
}

// Names that would play tricks on a terminal do not reach it by way of the
// command's summary.
func TestTerminalIsSafe(t *testing.T) {
	dir := publicDir(t)
	command := buildCommand(t)
	const evil = "\x1b[2J\x1b]0;evil\a\u202e\u009b"
	path := compileC(t, filepath.Join(dir, "x"+evil+"\n\xff"), "BURN(in_evil)\nint main(void) { in_evil(60); return 0; }")
	if out, err := exec.Command("objcopy", "--redefine-sym", "in_evil=in_evil"+evil+"\xff", path).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v: %s", err, out)
	}
	p := asNobody(t, path)
	cmd := exec.Command(command, "record", "-v", "-F", "499", "-d", "1", "-p", fmt.Sprint(p.pid()), "-o", filepath.Join(dir, "out.folded"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("record: %v: %s", err, out)
	}
	t.Logf("%q", out)
	for _, r := range string(out) {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%q in %q", r, out)
		}
	}
	if !utf8.Valid(out) {
		t.Errorf("no text: %q", out)
	}
	if !strings.Contains(string(out), "in_evil") {
		t.Errorf("the function is not in %q", out)
	}
	// One stack is one line, whatever is in its names.
	folded, err := os.ReadFile(filepath.Join(dir, "out.folded"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(folded)) {
		i := strings.LastIndexByte(strings.TrimSuffix(line, "\n"), ' ')
		var n int
		if _, err := fmt.Sscan(line[i+1:], &n); err != nil || n <= 0 {
			t.Errorf("line %q", line)
		}
	}
}

// Processes with as many executable mappings as the kernel lets them have fill
// the kernel side's tables. Sampling goes on, and others keep their names.
func TestTooManyMappings(t *testing.T) {
	dir := publicDir(t)
	path := compileC(t, filepath.Join(dir, "mappings"), `
BURN(in_mappings)
int main(void)
{
	enum { COUNT = 20000 };
	long page = sysconf(_SC_PAGESIZE);
	char *memory = mmap(0, 2 * COUNT * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	for (long i = 0; i < COUNT; i++)
		if (mprotect(memory + 2 * i * page, page, PROT_READ | PROT_EXEC))
			return 2;
	puts("ready");
	fflush(stdout);
	in_mappings(60);
	return 0;
}`)
	var many []target
	for range 9 {
		cmd := exec.Command(path)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		many = append(many, spawn(t, cmd))
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatalf("make mappings: %v", err)
		}
	}
	var victim target
	split := workloads.Build(t, "c/split.c")
	profiler, err := New(Config{Frequency: 999})
	if err != nil {
		t.Fatal(err)
	}
	defer profiler.Close()
	if err := profiler.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	victim = run(t, split, "60")
	time.Sleep(2 * time.Second) // nine others have the CPUs with it
	prof, err := profiler.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, prof)
	if n := profiler.procs.table.Stats().UploadErrors; n == 0 {
		t.Error("the kernel side had room for all of it")
	}
	onlyIn(t, prof, victim.pid(), "main")
	for _, p := range many {
		if byPID(prof)[p.pid()] == 0 {
			t.Errorf("no samples of process %d", p.pid())
		}
	}
	t.Logf("%+v", prof.Summary)
}

// A process maps and unmaps files as fast as it can, each mapping a record for
// the profiler.
func TestFloodOfRecords(t *testing.T) {
	path := compileC(t, filepath.Join(publicDir(t), "flood"), `
int main(int argc, char **argv)
{
	int fd = open(argv[argc - 1], O_RDONLY);
	for (;;)
		munmap(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0), 4096);
}`)
	flood, victim := asNobody(t, path, path), run(t, workloads.Build(t, "c/split.c"), "60")
	began := time.Now()
	prof := record(t, Config{Frequency: 999}, func() { time.Sleep(2 * time.Second) })
	took := time.Since(began)
	t.Logf("%v; %d samples of the flood; %+v", took, byPID(prof)[flood.pid()], prof.Summary)
	if took > 15*time.Second {
		t.Errorf("2 s of sampling took %v", took)
	}
	onlyIn(t, prof, victim.pid(), "main")
}
