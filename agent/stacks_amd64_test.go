package agent

import "testing"

// A frame pointer of 0 ends a chain of frame pointers. In code without any rule
// that uses the register for other things it says nothing.
func TestZeroIsNoFramePointer(t *testing.T) {
	program := compileC(t, publicDir(t)+"/zero", `
__asm__(".text\n.type bare, @function\nbare: push %rbp\nxor %ebp, %ebp\nmov $100000, %eax\n"
	"0: dec %eax\njnz 0b\npop %rbp\nret\n.size bare, .-bare\n");
void bare(void);
int main(void) { for (;;) bare(); }
`, noFramePointers)
	p := run(t, program)
	prof := ofPIDs(recordWarm(t, 999, []int{p.pid()}, 300), p.pid())
	got := share(prof, func(names []string) bool {
		return names[0] == "bare" && len(names) == 2 && names[1] == "[truncated: no frame pointer]"
	})
	if got < 0.9 {
		t.Errorf("a share of %.3f is cut", got)
		logStacks(t, prof, 5)
	}
}
