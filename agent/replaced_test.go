package agent

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// replacingSource loads each of two libraries in turn, at one place, and works in it
// for some time.
const replacingSource = `
typedef void work(double seconds);
__attribute__((noinline, noclone)) static void by_one(work *w, double seconds) { w(seconds); sink++; }
__attribute__((noinline, noclone)) static void by_two(work *w, double seconds) { w(seconds); sink++; }
int main(int argc, char **argv)
{
	work *first = 0;
	for (int k = 0; argc > 3; k ^= 1) {
		void *library = dlopen(argv[1 + k], RTLD_NOW);
		work *w = (work *)dlsym(library, "work");
		if (!w || first && first != w)
			return 3; // it is elsewhere
		first = w;
		(k ? by_two : by_one)(w, atof(argv[3]));
		dlclose(library);
	}
}`

// Libraries that replace each other at one place have their own names, each. Of more
// samples than stacks are copied, some have none.
func TestReplacedLibraries(t *testing.T) {
	dir := publicDir(t)
	library := func(name string) string {
		source := fmt.Sprintf("BURN(in_%[1]s)\nvoid work(double seconds) { in_%[1]s(seconds); sink++; }", name)
		return compileC(t, filepath.Join(dir, name+".so"), source, noFramePointers, "-shared", "-fPIC")
	}
	one, two := library("one"), library("two")
	path := compileC(t, filepath.Join(dir, "replacing"), replacingSource, noFramePointers)
	for _, test := range []struct {
		frequency int
		named     float64 // least share that is
	}{{199, 0.97}, {997, 0.4}} {
		t.Run(fmt.Sprintf("%d Hz", test.frequency), func(t *testing.T) {
			p := run(t, path, one, two, "0.04")
			prof := record(t, Config{Frequency: test.frequency, Target: Target{PIDs: []int{p.pid()}}}, func() {
				time.Sleep(7 * time.Second)
			})
			of := ofPIDs(prof, p.pid())
			within := func(library, caller string) float64 {
				return share(of, func(names []string) bool { return inOrder(names, "in_"+library, "by_"+caller, "main", "_start") })
			}
			right := within("one", "one") + within("two", "two")
			wrong := within("one", "two") + within("two", "one")
			t.Logf("of %d samples, %.4f are in the library and %.4f in the other", of.Summary.Samples, right, wrong)
			if of.Summary.Samples < uint64(test.frequency)*4 || wrong > 0.02 || right < test.named {
				t.Errorf("of %d samples, %.4f are in the library and %.4f in the other", of.Summary.Samples, right, wrong)
				logStacks(t, of, 10)
			}
		})
	}
}
