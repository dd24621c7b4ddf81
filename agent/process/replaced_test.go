package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/sideband"
)

// loads maps one of two libraries, which are nowhere to be found, at a place.
func (f *fixture) loads(time, addr uint64, k int) {
	f.Mmap(sideband.Mmap{
		Time: time, PID: fakePID, TID: fakePID, Addr: addr, Len: 0x1000,
		BuildID: strings.Repeat(fmt.Sprint(k), 40), Path: fmt.Sprint("/lib/", k),
	})
}

// Where libraries replace each other the kernel side has no entries, so that samples
// come with their time. When that has ended it has them again.
func TestContestedPlaces(t *testing.T) {
	const place, calm = 0x10000, 0x20000
	f := newFixture(t)
	g := generationAt(ticks, 1)
	f.exec(1, "x")
	f.loads(2, calm, 0)
	f.loads(3, place, 0)
	f.Exec(fakePID, g, 4)
	i := f.Image(fakePID, g)
	check := func(when string, contested bool) {
		t.Helper()
		flush(t, f.Table)
		var uploaded []uint64
		for _, e := range f.uploads.entries[imageID{fakePID, g}] {
			uploaded = append(uploaded, e.Start)
		}
		want, found := []uint64{place, calm}, File
		if contested {
			want, found = want[1:], Contested
		}
		if fmt.Sprint(uploaded) != fmt.Sprint(want) {
			t.Errorf("%s: entries at %#x, want %#x", when, uploaded, want)
		}
		if _, _, got := i.Lookup(place + 8); got != found {
			t.Errorf("%s: found %d, want %d", when, got, found)
		}
		if _, _, got := i.Lookup(calm + 8); got != File {
			t.Errorf("%s: elsewhere found %d", when, got)
		}
	}
	check("at first", false)
	f.loads(10, place, 1)
	f.loads(20, place, 0)
	check("replaced twice", false)
	f.loads(30, place, 1)
	check("replaced three times", true)
	for time, want := range map[uint64]string{9: "/lib/0", 10: "/lib/1", 19: "/lib/1", 20: "/lib/0", 30: "/lib/1"} {
		if m, _, found := i.LookupAt(place+8, time); found != File || m.Path != want {
			t.Errorf("at %d: found %d, %+v, want %s", time, found, m, want)
		}
	}
	scans := f.Stats().Scans
	if f.Miss(fakePID, g, place+8, 31); f.Stats().Scans != scans || len(f.changed) > 0 {
		t.Error("a sample there has the mappings read or uploaded anew")
	}
	f.WindowRead()
	check("a window later", true)
	f.WindowRead()
	check("two windows later", false)
	if len(f.changedPlaces) > 0 {
		t.Error("the process is still looked at after each window")
	}
}

// Of a process that replaces libraries without end the latest are remembered.
func TestManyReplaced(t *testing.T) {
	f := newFixture(t)
	f.exec(1, "x")
	g := generationAt(ticks, 1)
	f.Exec(fakePID, g, 2)
	i := f.Image(fakePID, g)
	const n = 5 * maxFormer
	for k := range n {
		f.loads(uint64(1000+k), 0x10000, k%2)
	}
	for _, k := range []int{n - 1, n - 2, n - maxFormer/2} {
		if m, _, found := i.LookupAt(0x10000, uint64(1000+k)); found != File || m.Path != fmt.Sprint("/lib/", k%2) {
			t.Errorf("at the time of mapping %d: found %d, %+v", k, found, m)
		}
	}
	if len(i.former) > maxFormer {
		t.Errorf("%d are remembered", len(i.former))
	}
}

// A library that was replaced by the time that it is looked for is found by its path.
func TestReplacedBeforeFound(t *testing.T) {
	f := newFixture(t)
	other := compile(t, "int main(void) { return 1; }")
	if err := os.Mkdir(filepath.Join(f.proc.of(), "map_files"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(other, filepath.Join(f.proc.of(), "map_files/10000-11000")); err != nil {
		t.Fatal(err)
	}
	g := generationAt(ticks, 1)
	f.exec(1, "x")
	f.Exec(fakePID, g, 2)
	f.mmap(f.clock, 0x10000)
	if m, _, found := f.Image(fakePID, g).Lookup(0x10000); found != File || m.File == nil || m.BuildID != f.id {
		t.Errorf("found %d, %+v", found, m)
	}
	if refused := f.Stats().Refused; len(refused) > 0 {
		t.Errorf("refused: %v", refused)
	}
}
