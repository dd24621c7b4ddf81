package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

const nobody, somebody = 65534, 65533

// A user loads very many libraries that take long to make unwind tables of, while a
// program of another user starts: its stacks are whole from the first sample on.
func TestOneUserDoesNotTakeOthersTables(t *testing.T) {
	dir := publicDir(t)
	// Each function has call frame information of its own.
	const many = `
__asm__(".text\n.rept 40000\n.cfi_startproc\nnop\n.cfi_def_cfa_offset 16\nnop\n.cfi_def_cfa_offset 24\nnop\n.cfi_endproc\n.endr\n");
BURN(in_library)`
	library := compileC(t, filepath.Join(dir, "library.so"), many, "-shared", "-fPIC", "-fomit-frame-pointer", "-g0")
	content, err := os.ReadFile(library)
	if err != nil {
		t.Fatal(err)
	}
	const copies = 120
	var paths []string
	for i := range copies {
		path := filepath.Join(dir, fmt.Sprintf("library-%d.so", i))
		if err := errors.Join(os.WriteFile(path, content, 0o755), os.Chown(path, nobody, nobody)); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	hostile := compileC(t, filepath.Join(dir, "hostile"), `
int main(int argc, char **argv)
{
	wait_line();
	for (;;)
		for (int i = 1; i < argc; i++) {
			void *library = dlopen(argv[i], RTLD_NOW | RTLD_LOCAL);
			if (!library)
				return 1;
			((void (*)(double))dlsym(library, "in_library"))(0.01);
		}
}`)
	victim := compileC(t, filepath.Join(dir, "victim"), `
BURN(inner)
__attribute__((noinline, noclone)) static void outer(double s) { char room[64]; memset(room, (int)s, 64); inner(s); sink += room[3]; }
int main(void) { outer(1.5); return 0; }`, "-fomit-frame-pointer")
	as := func(user uint32, cmd *exec.Cmd) target {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		return spawn(t, cmd)
	}
	p := as(nobody, exec.Command(hostile, paths...))
	profiler, err := New(Config{Frequency: 999})
	if err != nil {
		t.Fatal(err)
	}
	defer profiler.Close()
	if err := profiler.Start(); err != nil {
		t.Fatal(err)
	}
	p.goOn(t)
	time.Sleep(1500 * time.Millisecond)
	v := as(somebody, exec.Command(victim))
	if err := v.Wait(); err != nil {
		t.Fatal(err)
	}
	prof, err := profiler.Stop()
	if err != nil {
		t.Fatal(err)
	}
	var all, whole int64
	for _, s := range userSamples(ofPIDs(prof, v.pid())).Profile.Sample {
		names := functions(s)
		if !slices.Contains(names, "inner") {
			continue // the start of the program
		}
		all += s.Value[0]
		if at := slices.Index(names, "outer"); at > 0 && slices.Contains(names[at:], "main") && names[len(names)-1] == "_start" {
			whole += s.Value[0]
		}
	}
	held := profiler.procs.tables.stats().HeldBack
	t.Logf("%d of %d stacks are whole; held back: %v; %+v", whole, all, held, prof.Summary)
	if all < 300 || float64(whole) < 0.99*float64(all) {
		t.Errorf("of %d stacks of the other user's program %d are whole", all, whole)
	}
	if held[nobody] == 0 || held[somebody] > 0 || held[0] > 0 {
		t.Errorf("held back: %v", held)
	}
	if spent := prof.Summary.ProfilerCPU; spent > 3*time.Second {
		t.Errorf("it took %v of CPU time", spent)
	}
}
