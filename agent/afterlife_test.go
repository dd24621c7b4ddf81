package agent

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// What the kernel does for a process that ends is part of its time: giving back
// memory takes the longest.
func TestEndIsSampled(t *testing.T) {
	path := compileC(t, filepath.Join(publicDir(t), "large"), `
int main(void)
{
	const long size = 512L << 20;
	char *memory = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	for (long i = 0; i < size; i += 4096)
		memory[i] = 1;
	puts("ready");
	fflush(stdout);
	wait_line();
	return 0;
}`)
	cmd := exec.Command(path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := spawn(t, cmd)
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	prof := record(t, Config{Frequency: 1999, Target: Target{PIDs: []int{p.pid()}}}, func() {
		p.goOn(t)
		if err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	if n := weight(prof, "exit_mmap"); n < 10 {
		t.Errorf("%d samples of giving back 512 MiB: %+v", n, prof.Summary)
	}
}

// During exec a process has the registers of one program and the memory of
// another: no function of the new one may seem to have called exec. Most of
// its code is a function that nobody calls.
func TestExecMixesNoPrograms(t *testing.T) {
	const again = `
int main(int argc, char **argv)
{
	char n[16];
	int left = argc > 2 ? atoi(argv[2]) : 0;
	if (left <= 0)
		return 0;
	snprintf(n, sizeof n, "%d", left - 1);
	execl(argv[1], argv[1], argv[0], n, (char *)0);
	return 1;
}`
	dir := publicDir(t)
	small := compileC(t, filepath.Join(dir, "small"), again, "-static", "-no-pie")
	large := compileC(t, filepath.Join(dir, "large"), again+`
__attribute__((section(".text.unlikely"), used)) void never_called(void) { __asm__ volatile(".fill 2000000, 1, 0x90"); }`, "-static", "-no-pie")
	p := run(t, "/bin/sh", "-c", `read line; exec "$0" "$1" 1000`, small, large)
	prof := record(t, Config{Frequency: 1999, Target: Target{PIDs: []int{p.pid()}}}, func() {
		p.goOn(t)
		if err := p.Wait(); err != nil {
			t.Fatal(err)
		}
	})
	exec := share(prof, func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool {
			return strings.HasPrefix(n, "do_execveat") || strings.HasPrefix(n, "__x64_sys_execve") || strings.HasPrefix(n, "__arm64_sys_execve")
		})
	})
	t.Logf("exec has a share of %.3f of %d samples", exec, byPID(prof)[p.pid()])
	if n := weight(prof, "never_called"); n > 0 || exec < 0.05 {
		t.Errorf("%d samples in a function that nobody calls; exec has a share of %.3f", n, exec)
	}
}

// A process that has ended leaves its number to others, which nobody wants.
func TestNumberUsedAgain(t *testing.T) {
	split := program(t, filepath.Join(publicDir(t), "burn"), "in_burn")
	for _, noInherit := range []bool{false, true} {
		t.Run(fmt.Sprintf("NoInherit=%t", noInherit), func(t *testing.T) {
			first := run(t, split)
			pid := first.pid()
			prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{pid}, NoInherit: noInherit}}, func() {
				first.Process.Kill()
				first.Wait()
				// The kernel gives the next process the number after this one.
				var second target
				for range 100 {
					if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(fmt.Sprint(pid-1)), 0); err != nil {
						t.Fatal(err)
					}
					if second = run(t, split); second.pid() == pid {
						break
					}
					second.Process.Kill()
				}
				if second.pid() != pid {
					t.Fatalf("no process got the number %d", pid)
				}
				time.Sleep(700 * time.Millisecond)
				unix.Kill(pid, unix.SIGKILL)
			})
			if n := byPID(prof)[pid]; n > 50 {
				t.Errorf("%d samples of a process that nobody wants", n)
			}
		})
	}
}
