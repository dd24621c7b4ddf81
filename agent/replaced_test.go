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
				time.Sleep(5 * time.Second)
			})
			of := ofPIDs(prof, p.pid())
			within := func(library, caller string) float64 {
				return share(of, func(names []string) bool { return inOrder(names, "in_"+library, "by_"+caller, "main", "_start") })
			}
			right := within("one", "one") + within("two", "two")
			wrong := within("one", "two") + within("two", "one")
			t.Logf("of %d samples, %.4f are in the library and %.4f in the other", of.Summary.Samples, right, wrong)
			if of.Summary.Samples < uint64(test.frequency)*2 || wrong > 0.02 || right < test.named {
				t.Errorf("of %d samples, %.4f are in the library and %.4f in the other", of.Summary.Samples, right, wrong)
				logStacks(t, of, 10)
			}
		})
	}
}

// loadingSource loads very many libraries at once, and works in each in turn.
const loadingSource = `
typedef void work(double seconds);
int main(int argc, char **argv)
{
	static work *works[1000];
	char path[4096];
	int n = argc > 2 ? atoi(argv[2]) : 0;
	wait_line();
	for (int i = 0; i < n && i < 1000; i++) {
		snprintf(path, sizeof path, "%s/%d.so", argv[1], i);
		void *library = dlopen(path, RTLD_NOW);
		works[i] = (work *)dlsym(library, "work");
	}
	for (;;)
		for (int i = 0; i < n; i++) {
			works[i](0.002);
			sink++;
		}
}`

// A program may load very many libraries at its start: that is no flood. Its stacks
// are complete and have names from then on.
func TestVeryManyLibraries(t *testing.T) {
	const n = 500
	dir := publicDir(t)
	first := compileC(t, filepath.Join(dir, "0.so"), "BURN(in_library)\nvoid work(double seconds) { in_library(seconds); sink++; }", noFramePointers, "-shared", "-fPIC")
	for i := 1; i < n; i++ {
		copyFile(t, first, filepath.Join(dir, fmt.Sprint(i, ".so")))
	}
	path := compileC(t, filepath.Join(dir, "loading"), loadingSource, noFramePointers)
	p := run(t, path, dir, fmt.Sprint(n))
	prof := record(t, Config{Frequency: 499, Target: Target{PIDs: []int{p.pid()}}}, func() {
		p.goOn(t)
		time.Sleep(4 * time.Second)
	})
	of := ofPIDs(prof, p.pid())
	samples := checkComplete(t, of, 0.98)
	named := share(of, func(names []string) bool { return inOrder(names, "in_library", "work", "main", "_start") })
	t.Logf("of %d samples, %.4f are in a library", samples, named)
	if named < 0.9 || samples < 500 {
		t.Errorf("of %d samples, %.4f are in a library", samples, named)
		logStacks(t, of, 10)
	}
}
