package agent

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A library whose unwind table takes a fifth of the memory: a rule for each
// instruction, so that a stack is right only with the table of that very library.
// Functions go on into the next.
const manyRulesSource = `
__asm__(".text\n.globl many_rules\n.type many_rules, @function\nmany_rules:\n"
	".rept 200\n.cfi_startproc\n"
	".rept 500\nsub $8, %rsp\n.cfi_adjust_cfa_offset 8\nadd $8, %rsp\n.cfi_adjust_cfa_offset -8\n.endr\n"
	".cfi_endproc\n.endr\n"
	".cfi_startproc\nret\n.cfi_endproc\n.size many_rules, .-many_rules\n");`

const takesTurnsSource = `
__attribute__((noinline, noclone)) static void turn(void (*hot)(void), void (*cold)(void))
{
	for (double end = now() + 0.6; now() < end;)
		hot(), cold();
}
int main(int argc, char **argv)
{
	void (*code[32])(void);
	for (int i = 1; i < argc; i++)
		code[i] = (void (*)(void))dlsym(dlopen(argv[i], RTLD_NOW), "many_rules");
	for (;;)
		for (int i = 2; i < argc; i++)
			turn(code[1], code[i]);
}`

// A program that runs more code than the memory for unwind tables holds: what is in
// use all the time keeps its table, what is used in turn comes and goes, and stacks
// are right all the time.
func TestTablesTakeTurns(t *testing.T) {
	const colds = 8
	dir := publicDir(t)
	library := compileC(t, filepath.Join(dir, "hot.so"), manyRulesSource, "-shared", "-fPIC", "-nostartfiles")
	args := []string{library}
	for i := range colds {
		args = append(args, copyFile(t, library, filepath.Join(dir, fmt.Sprintf("cold%d.so", i))))
	}
	program := run(t, compileC(t, filepath.Join(dir, "turns"), takesTurnsSource, noFramePointers), args...)
	p, err := New(Config{Frequency: 999, Window: 100 * time.Millisecond, tableMemory: 4 << 20, Target: Target{PIDs: []int{program.pid()}}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second) // until then stacks are walked from copies
	if _, err := p.Cut(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int) // in how many looks a library had its table
	looks := 0
	for end := time.Now().Add(colds * 600 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		stats, has := p.tabled(".so")
		if stats.Loaded-stats.Evicted != uint64(stats.Tables) || stats.Bytes > stats.MapBytes || stats.MapBytes != 4<<20 {
			t.Fatalf("counters: %+v", stats)
		}
		if !has["hot.so"] {
			t.Errorf("look %d: the table of what is in use is gone: %v", looks, has)
		}
		together := 0
		for name := range has {
			seen[name]++
			if strings.HasPrefix(name, "cold") {
				together++
			}
		}
		if together == colds {
			t.Errorf("all %d have their tables: %+v", colds, stats)
		}
		looks++
	}
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	stats, _ := p.tabled(".so")
	t.Logf("of %d looks with the table: %v; %+v", looks, seen, stats)
	for i := range colds {
		if n := seen[fmt.Sprintf("cold%d.so", i)]; n == 0 || n == looks {
			t.Errorf("cold%d.so had its table in %d of %d looks", i, n, looks)
		}
	}
	if stats.Evicted < colds/2 {
		t.Errorf("%d tables made room for others", stats.Evicted)
	}
	of := ofPIDs(prof, program.pid())
	n := checkComplete(t, of, 0.995)
	got := share(of, func(names []string) bool { return inOrder(names, "turn", "main", "_start") })
	t.Logf("of %d whole stacks a share of %.4f is right", n, got)
	if n < 500 || got < 0.995 {
		t.Errorf("of %d whole stacks a share of %.4f is right", n, got)
		logStacks(t, of, 10)
	}
}

// tabled returns which files with such a name have an unwind table.
func (p *Profiler) tabled(suffix string) (tableCounts, map[string]bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	tables := p.procs.tables
	has := make(map[string]bool)
	for chunk := range tables.store.Chunks() {
		if m, _, ok := tables.table.Chunk(chunk); ok && tables.store.Has(chunk) && strings.HasSuffix(m.Path, suffix) {
			has[filepath.Base(m.Path)] = true
		}
	}
	return tables.stats(), has
}
