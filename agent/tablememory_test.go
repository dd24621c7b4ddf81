package agent

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// When the memory for unwind tables is full, those that were used the longest time
// ago make room for others: a large program's, when it has ended, for the next one's.
func TestTableMemory(t *testing.T) {
	dir := t.TempDir()
	source, compiled := filepath.Join(dir, "x.cc"), filepath.Join(dir, "compiled")
	if err := os.WriteFile(source, []byte("#include <algorithm>\n#include <iostream>\n#include <regex>\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The tables of libLLVM and libclang-cpp take more than twice as much.
	cmd := exec.Command("/bin/sh", "-ec", `for i in 1 2; do clang-19 -O2 -c -o /dev/null "$0"; done; : > "$1"
		exec python3 -c 'while True: sorted(str(i) for i in range(1000))'`, source, compiled)
	release := startStopped(t, cmd)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	// Others on this machine would want tables, too.
	p, err := New(Config{Frequency: 499, Window: 200 * time.Millisecond, tableMemory: 4 << 20, Target: Target{PIDs: []int{cmd.Process.Pid}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	release()
	for patience := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(compiled); err == nil {
			break
		}
		if time.Now().After(patience) {
			t.Fatal("the compiler has not ended")
		}
	}
	full := p.tableStats()
	if full.MapBytes != 4<<20 || full.Evicted+full.NoRoom == 0 {
		t.Errorf("there was room for all: %+v", full)
	}
	time.Sleep(3 * time.Second)
	if _, err := p.Cut(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	after := p.tableStats()
	t.Logf("full: %+v; then: %+v", full, after)
	if after.Evicted == 0 || after.MapBytes != 4<<20 || after.Bytes > after.MapBytes {
		t.Errorf("%+v", after)
	}
	if n := checkComplete(t, ofPIDs(prof, cmd.Process.Pid), 0.99); n < 50 {
		t.Errorf("%d whole stacks", n)
	}
}

func (p *Profiler) tableStats() tableCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.procs.tables.stats()
}

// nowhereSource spins while its stack pointer leads to memory that cannot be read,
// and its frame pointer says that there is no caller.
const nowhereSource = `
__attribute__((noinline, noclone)) void nowhere(long rounds, char *hole)
{
#if defined(__x86_64__)
	__asm__ volatile("movq %%rsp, %%r12\n\tmovq %%rbp, %%r13\n\tmovq %1, %%rsp\n\txorl %%ebp, %%ebp\n"
			 "1:\n\tsubq $1, %0\n\tjnz 1b\n\tmovq %%r12, %%rsp\n\tmovq %%r13, %%rbp"
			 : "+r"(rounds) : "r"(hole) : "r12", "r13", "cc", "memory");
#else
	__asm__ volatile("mov x20, sp\n\tmov x21, x29\n\tmov sp, %1\n\tmov x29, xzr\n"
			 "1:\n\tsubs %0, %0, #1\n\tb.ne 1b\n\tmov sp, x20\n\tmov x29, x21"
			 : "+r"(rounds) : "r"(hole) : "x20", "x21", "cc", "memory");
#endif
}
int main(void)
{
	char *hole = mmap(0, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	nowhere(1500000000, hole + (1 << 19));
	return 0;
}`

// A stack that cannot be read is said to be unreadable, also while the program's
// tables are missing and its stack is to be copied.
func TestUnreadableStack(t *testing.T) {
	path := compileC(t, filepath.Join(publicDir(t), "nowhere"), nowhereSource, noFramePointers)
	cmd := exec.Command(path)
	release := startStopped(t, cmd)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	prof := recordFirst(t, cmd.Process.Pid, release)
	var n int64
	for _, s := range prof.Profile.Sample {
		names := functions(s)
		i := slices.Index(names, "nowhere")
		if i < 0 || strings.Contains(strings.Join(names[:i], " "), "asm_") {
			continue
		}
		if n += s.Value[0]; outermost(names) != "[truncated: stack unreadable]" {
			t.Errorf("%d samples: %v", s.Value[0], names)
		}
	}
	if n < 100 || prof.Summary.Truncated["stack unreadable"] < uint64(n) {
		t.Errorf("%d samples; %v", n, prof.Summary.Truncated)
	}
}
