package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// A stripped program still exports names for others to link with.
func TestStrippedCPlusPlus(t *testing.T) {
	path := compileC(t, filepath.Join(publicDir(t), "exported"), `
namespace outer {
template <typename T> struct Box {
	T content;
	BURN(turn)
};
template struct Box<unsigned char>;
} // namespace outer
int main() { outer::Box<unsigned char>().turn(60); }`, "-x", "c++", "-rdynamic")
	if out, err := exec.Command("strip", "--strip-all", path).CombinedOutput(); err != nil {
		t.Fatalf("strip: %v: %s", err, out)
	}
	p := run(t, path)
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{p.pid()}}}, func() { time.Sleep(time.Second) })
	for _, name := range []string{"main", "outer::Box::turn"} {
		if got := share(ofPIDs(prof, p.pid()), has(name)); got < 0.85 {
			t.Errorf("%s is on %.3f of the stacks", name, got)
			for _, f := range prof.Profile.Function {
				t.Logf("function %q (%s)", f.Name, f.SystemName)
			}
		}
	}
	for _, f := range prof.Profile.Function {
		if strings.Contains(f.Name, "turn") && !strings.HasPrefix(f.SystemName, "_ZN5outer") {
			t.Errorf("the linker's name of %s is %q", f.Name, f.SystemName)
		}
	}
}

// A program that asks the time: some of its time is in the vDSO, and with
// another clock in the kernel.
func TestVDSOAndKernel(t *testing.T) {
	path := compileC(t, filepath.Join(publicDir(t), "clocks"), `
int main(void)
{
	struct timespec t;
	for (;;) {
		for (int i = 0; i < 2000; i++)
			clock_gettime(CLOCK_MONOTONIC, &t);
		for (int i = 0; i < 200; i++)
			clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	}
}`)
	p := run(t, path)
	prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{p.pid()}}}, func() { time.Sleep(time.Second) })
	var all, vdso, kernel, unnamed int64
	for _, s := range ofPIDs(prof, p.pid()).Profile.Sample {
		all += s.Value[0]
		for i, l := range s.Location {
			name := functions(s)[i]
			switch {
			case l.Mapping == nil:
			case l.Mapping.File == "[vdso]" && strings.Contains(name, "clock_gettime"):
				vdso += s.Value[0]
			case prof.Side.Kinds.Of(l.ID) == "kernel" && strings.Contains(name, "posix_cpu_clock"):
				kernel += s.Value[0]
			}
			if prof.Side.Kinds.Of(l.ID) == "kernel" && name == "?" {
				unnamed += s.Value[0]
				t.Logf("no name for %#x in the kernel: %v", l.Address, functions(s))
			}
		}
	}
	t.Logf("of %d samples %d in the vDSO, %d in the kernel's clock, %d with unnamed kernel frames", all, vdso, kernel, unnamed)
	if vdso < all/10 || kernel < all/100 || unnamed > 0 || all < 100 {
		t.Errorf("of %d samples %d in the vDSO, %d in the kernel's clock, %d with unnamed kernel frames", all, vdso, kernel, unnamed)
	}
}

// busyProgram loads a BPF program that does nothing but multiply.
func busyProgram(t *testing.T, name string) *ebpf.Program {
	t.Helper()
	code := asm.Instructions{asm.Mov.Imm(asm.R0, 1)}
	for range 4000 {
		code = append(code, asm.Mul.Imm(asm.R0, 31))
	}
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.SocketFilter, License: "GPL",
		Instructions: append(code, asm.Return()),
	})
	if err != nil {
		t.Fatal(err)
	}
	return prog
}

// A BPF program has a name that comes after the kernel's symbols have been
// read; also one that is gone before its samples are.
func TestBPFProgramIsNamed(t *testing.T) {
	for _, gone := range []bool{false, true} {
		t.Run(fmt.Sprintf("gone=%t", gone), func(t *testing.T) {
			p, err := New(Config{Frequency: 999, Target: Target{PIDs: []int{os.Getpid()}}})
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
				os.ReadFile("/proc/self/status")
			}
			first, err := p.Cut()
			if err != nil {
				t.Fatal(err)
			}
			if got := share(first, has("vfs_read")); got < 0.02 {
				t.Fatalf("the kernel's symbols have not been read: vfs_read is on %.3f of the stacks", got)
			}

			prog := busyProgram(t, "staccato_busy")
			defer prog.Close()
			for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); {
				if _, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, 14), Repeat: 10_000}); err != nil {
					t.Fatal(err)
				}
			}
			if gone {
				prog.Close()
				time.Sleep(300 * time.Millisecond) // the kernel is in no hurry
			}
			prof, err := p.Stop()
			if err != nil {
				t.Fatal(err)
			}
			checkSound(t, prof)
			named := share(ofPIDs(prof, os.Getpid()), func(names []string) bool {
				return slices.ContainsFunc(names, func(n string) bool {
					return strings.HasPrefix(n, "bpf_prog_") && strings.HasSuffix(n, "_staccato_busy")
				})
			})
			t.Logf("a share of %.3f in the BPF program", named)
			if named < 0.5 {
				t.Errorf("the BPF program is on %.3f of the stacks", named)
			}
		})
	}
}

//go:noinline
func runFirst(t *testing.T, prog *ebpf.Program, d time.Duration) { runProgram(t, prog, d) }

//go:noinline
func runSecond(t *testing.T, prog *ebpf.Program, d time.Duration) { runProgram(t, prog, d) }

func runProgram(t *testing.T, prog *ebpf.Program, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if _, err := prog.Run(&ebpf.RunOptions{Data: make([]byte, 14), Repeat: 1000}); err != nil {
			t.Error(err)
		}
	}
}

// codeOf is where the machine code of a program begins.
func codeOf(t *testing.T, prog *ebpf.Program) uintptr {
	t.Helper()
	info, err := prog.Info()
	if err != nil {
		t.Fatal(err)
	}
	addresses, ok := info.JitedKsymAddrs()
	if !ok || len(addresses) == 0 {
		t.Fatal("the program's address is not known")
	}
	return addresses[0]
}

// programName is how BPF programs are named. The kernel has functions of its own
// that begin like it, such as bpf_prog_test_run_skb.
var programName = regexp.MustCompile(`^bpf_prog_[0-9a-f]{16}_`)

// A BPF program that is loaded where another was is not taken for that one, and
// the other not for it, within one window and from one to the next.
func TestBPFProgramInPlaceOfAnother(t *testing.T) {
	p, err := New(Config{Frequency: 999, Target: Target{PIDs: []int{os.Getpid()}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	first := busyProgram(t, "staccato_1st")
	place := codeOf(t, first)
	runFirst(t, first, 300*time.Millisecond)
	first.Close()
	// The kernel gives the place away as soon as the program is freed, and has
	// code begin some random bytes behind the place's beginning.
	var second *ebpf.Program
	for try := 0; second == nil; try++ {
		time.Sleep(20 * time.Millisecond)
		prog := busyProgram(t, "staccato_2nd")
		defer prog.Close()
		if at := codeOf(t, prog); max(at, place)-min(at, place) < 1024 {
			second = prog
		} else if try == 100 {
			t.Fatal("no program came to the place of the first")
		}
	}
	runSecond(t, second, 300*time.Millisecond)
	both, err := p.Cut()
	if err != nil {
		t.Fatal(err)
	}
	runSecond(t, second, 300*time.Millisecond)
	after, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		prof     *Profile
		by, name string
		exact    bool
	}{{both, "runFirst", "staccato_1st", false}, {both, "runSecond", "staccato_2nd", false}, {after, "runSecond", "staccato_2nd", true}} {
		var right, all int64
		for _, s := range test.prof.Profile.Sample {
			names := functions(s)
			if !programName.MatchString(names[0]) || !slices.ContainsFunc(names, func(n string) bool { return strings.HasSuffix(n, "."+test.by) }) {
				continue
			}
			all += s.Value[0]
			if strings.Contains(names[0], test.name) && (!test.exact || strings.HasSuffix(names[0], test.name) && !strings.Contains(names[0], " or ")) {
				right += s.Value[0]
			} else {
				t.Errorf("under %s: %s", test.by, names[0])
			}
		}
		t.Logf("under %s: %d of %d samples are in %s", test.by, right, all, test.name)
		if all < 100 {
			t.Errorf("%d samples in the program under %s", all, test.by)
		}
	}
}
