package agent

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/testdata/rooted"
)

// A program that puts its own code on huge pages, as servers do: copied to memory
// without a file, in the place of the file's mapping.
const movedSource = `
#define APART(name) __attribute__((noinline, noclone, section(name)))
__asm__(".text\n.skip 5 << 20, 0x90\n"); // more than a chunk, and a huge page
APART(".mover") static long call(long number, long a, long b, long c, long d)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = -1, r9 __asm__("r9") = 0;
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return result;
}
// Calls nothing in the code that is away meanwhile.
APART(".mover") static void replace(char *code, char *copy, size_t n)
{
	call(9, (long)code, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);
	call(28, (long)code, n, MADV_HUGEPAGE, 0);
	char *to = code;
	size_t left = n;
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(copy), "+c"(left) : : "memory");
	call(10, (long)code, n, PROT_READ | PROT_EXEC, 0);
}
APART(".victim") __attribute__((aligned(4096))) static void victim(void) { sink++; }
__attribute__((noinline, noclone)) static void burn(void) { for (int i = 0; i < 1 << 20; i++) sink = sink * 31 + 1; }
__attribute__((noinline, noclone)) static void outer(void) { burn(); sink++; }
int main(int argc, char **argv)
{
	char line[512], *start = 0, *end = 0;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof line, maps) && !(strstr(line, " r-xp ") && sscanf(line, "%p-%p", (void **)&start, (void **)&end) == 2 && start <= (char *)main && (char *)main < end))
		;
	size_t n = end - start;
	if (argc < 3 || start > (char *)main || n < 5 << 20)
		return 2;
	if (argv[2][0] == 'w')
		wait_line();
	char *copy = mmap(0, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(copy, start, n);
	if (strcmp(argv[1], "copy") == 0) {
		replace(start, copy, n);
	} else if (strcmp(argv[1], "mremap") == 0) {
		mprotect(copy, n, PROT_READ | PROT_EXEC);
		if (mremap(copy, n, n, MREMAP_MAYMOVE | MREMAP_FIXED, start) != start)
			return 3;
	} else {
		char *page = mmap((void *)victim, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		page[0] = 0xeb, page[1] = 0xfe; // jumps to itself
		mprotect(page, 4096, PROT_READ | PROT_EXEC);
		victim();
	}
	for (;;)
		outer();
}`

// Code that was moved to memory without a file is walked and named by that file, and
// other code in its place is not.
func TestMovedCode(t *testing.T) {
	path := compileC(t, filepath.Join(publicDir(t), "moved"), "#include <stdio.h>\n#include <string.h>\n"+movedSource,
		noFramePointers, "-no-pie", "-D_GNU_SOURCE", "-Wl,-z,max-page-size=0x200000", "-Wl,--section-start=.mover=0x10000000", "-Wl,--section-start=.victim=0x20000000")
	for _, how := range []string{"copy", "mremap", "other"} {
		for _, when := range []string{"before", "while sampled"} {
			t.Run(how+", "+when, func(t *testing.T) {
				p := run(t, path, how, when)
				if when == "before" {
					time.Sleep(300 * time.Millisecond)
				}
				prof := record(t, Config{Frequency: 999, Target: Target{PIDs: []int{p.pid()}}}, func() {
					if when == "while sampled" {
						time.Sleep(200 * time.Millisecond)
						p.goOn(t)
					}
					time.Sleep(time.Second)
				})
				of := ofPIDs(prof, p.pid())
				if how == "other" {
					if got := share(of, has("victim")); got > 0 || prof.Summary.Samples < 30 {
						t.Errorf("of %d samples, a share of %.3f is said to be in a function that is not there", prof.Summary.Samples, got)
						logStacks(t, of, 5)
					}
					return
				}
				n := rooted.Of(of.Profile, "moved")
				got := share(of, func(names []string) bool { return inOrder(names, "burn", "outer", "main", "_start") })
				t.Logf("of %d samples a share of %.4f reaches the root, and %.4f has the chain", n.Samples, n.Share(), got)
				if n.Samples < 100 || n.Share() < 0.995 || got < 0.97 {
					t.Errorf("of %d samples a share of %.4f reaches the root (others: %s), and %.4f has the chain", n.Samples, n.Share(), n.Causes(), got)
					logStacks(t, of, 5)
				}
			})
		}
	}
}
