package process

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/agent/limit"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

// A process that maps without end has its files looked for a bounded part of the
// time; what it has mapped then comes to light when its mappings are read anew.
func TestMapsTooOften(t *testing.T) {
	f := newFixture(t)
	const each = uint64(time.Millisecond) // that asking for the time takes here
	f.now = func() uint64 { f.clock += each; return f.clock }
	f.measure()
	g := generationAt(ticks, 1)
	f.exec(1, "x")
	f.Exec(fakePID, g, 2)
	const n = 10_000
	last := sideband.Mmap{PID: fakePID, TID: fakePID, Len: 0x1000, Offset: 0x1000, BuildID: f.id}
	for i := range uint64(n) {
		last.Time, last.Addr, last.Path = f.clock, 0x500000+i%100*0x2000, fmt.Sprint("/bin/x", i)
		f.Mmap(last)
	}
	looked := n - f.Stats().LookupsDeferred
	if most := uint64(processRate.Most)/each + 2*n/processRate.Share + 2; looked < 50 || looked > most {
		t.Errorf("%d of %d mappings were looked for, want at most %d", looked, n, most)
	}
	m, _, found := f.Image(fakePID, g).Lookup(last.Addr)
	if found != File || m.File != nil || m.BuildID != f.id || m.Reason != reasonTooOften {
		t.Errorf("found %d, %+v", found, m)
	}
	f.proc.write(t, "maps", f.line)
	f.clock += uint64(10 * time.Second)
	flush(t, f.Table)
	f.has(t, g, codeAt)
	if f.Stats().Scans != 1 {
		t.Errorf("%d scans", f.Stats().Scans)
	}
}

// What is unloaded and loaded without end is looked for once at a place, and has its
// file when there is no time left to look, too; files that were removed as well.
func TestMapsTheSameTooOften(t *testing.T) {
	for _, path := range []string{"/bin/x", "/bin/x (deleted)"} {
		f := newFixture(t)
		const each = uint64(time.Millisecond)
		f.now = func() uint64 { f.clock += each; return f.clock }
		f.measure()
		mmap := func(addr uint64) {
			f.Mmap(sideband.Mmap{Time: f.clock, PID: fakePID, TID: fakePID, Addr: addr, Len: 0x1000, Offset: 0x1000, BuildID: f.id, Path: path})
		}
		g := generationAt(ticks, 1)
		f.exec(1, "x")
		f.Exec(fakePID, g, 2)
		mmap(0x500000)
		i := f.Image(fakePID, g)
		left := i.work
		for range 1000 {
			mmap(0x500000)
		}
		if i.work != left {
			t.Errorf("%s: %+v is left of %+v", path, i.work, left)
		}
		for k := range uint64(1000) {
			mmap(0x600000 + k*0x2000)
		}
		m, _, found := i.Lookup(0x600000 + 999*0x2000)
		if s := f.Stats(); found != File || m.File == nil || m.BuildID != f.id || s.LookupsDeferred != 0 {
			t.Errorf("%s: found %d, %+v; %+v", path, found, m, s)
		}
	}
}

// Reading a process's mappings anew when there is no time left for it takes away no
// file that was found before, unless another is mapped there.
func TestLateScanForgetsNothing(t *testing.T) {
	f := newFixture(t)
	var maps strings.Builder
	const n = 100
	at := func(k int) uint64 { return codeAt + uint64(k)*0x2000 }
	rest := f.line[strings.Index(f.line, " "):]
	for k := range n {
		fmt.Fprintf(&maps, "%x-%x%s", at(k), at(k)+0x1000, rest)
	}
	f.proc.write(t, "maps", maps.String())
	g := generationAt(ticks, 0)
	f.Unknown(fakePID, g, 500)
	i := f.Image(fakePID, g)
	f.proc.write(t, "maps", maps.String()[:strings.LastIndex(maps.String(), " /bin/x")]+"0 /bin/x\n") // another inode
	i.work.Spend(uint64(time.Hour))
	f.scan(i)
	for _, k := range []int{0, n - 2} {
		if m, _, found := i.Lookup(at(k)); found != File || m.File == nil {
			t.Errorf("mapping %d: found %d, %+v", k, found, m)
		}
	}
	if m, _, found := i.Lookup(at(n - 1)); found != File || m.File != nil || m.Reason != reasonTooOften {
		t.Errorf("the other file: found %d, %+v", found, m)
	}
	if _, behind := f.behind[i]; !behind || f.Stats().Scans != 2 {
		t.Errorf("%d scans, behind: %t", f.Stats().Scans, behind)
	}
}

// Records that are lost all the time do not have all processes looked at all the
// time.
func TestRescansAreBounded(t *testing.T) {
	f := newFixture(t)
	const each = uint64(time.Millisecond)
	f.now = func() uint64 { f.clock += each; return f.clock }
	f.measure()
	f.rescans = limit.New(rescanRate, f.clock) // by this clock
	f.exec(1, "x")
	f.Exec(fakePID, generationAt(ticks, 1), 2)
	f.proc.write(t, "maps", f.line)
	const rounds = 100_000 / 100
	for range rounds {
		f.Rescan()
		flush(t, f.Table)
		f.clock += uint64(100 * time.Millisecond)
	}
	scans, took := f.Stats().Scans, f.clock
	// Each takes a few milliseconds: it asks for the time that often.
	if most := (uint64(rescanRate.Most) + took/rescanRate.Share) / (2 * each); scans < 20 || scans > most {
		t.Errorf("%d scans in %v, want at most %d", scans, time.Duration(took), most)
	}
	f.clock += uint64(10 * time.Second)
	before := f.Stats().Scans
	f.Rescan()
	flush(t, f.Table)
	if f.Stats().Scans == before {
		t.Error("no scan after a pause")
	}
}

// Reading the mappings of a process with very many files ends early, and goes on
// when there is time again; the first time more is allowed than later.
func TestScansAreBounded(t *testing.T) {
	f := newFixture(t)
	const each = uint64(100 * time.Microsecond) // that asking for the time takes here
	f.cpu = func() uint64 { f.clock += each; return f.clock }
	f.measure()
	const n = 50_000
	var maps strings.Builder
	for i := range n {
		fmt.Fprintf(&maps, "%x-%x r-xp 00001000 00:01 %d /bin/x\n", codeAt+i*0x2000, codeAt+i*0x2000+0x1000, i+1)
	}
	f.config.MaxMappings = n
	f.proc.write(t, "maps", maps.String())
	g := generationAt(ticks, 0)
	f.Unknown(fakePID, g, 500)
	looked := func() int { return n - int(f.Stats().Refused[reasonTooOften]) }
	first := looked()
	if most := int((processRate.Most+firstScan)/time.Duration(each)+2) * checkFiles; first < most/2 || first > most {
		t.Errorf("%d files were looked for at first, want up to %d", first, most)
	}
	if flush(t, f.Table); f.Stats().Scans != 1 {
		t.Error("it was read again at once")
	}
	f.clock += uint64(2 * time.Minute)
	flush(t, f.Table)
	later := n - (int(f.Stats().Refused[reasonTooOften]) - (n - first)) // of the second time
	if f.Stats().Scans != 2 || later > int(processRate.Most/time.Duration(each)+2)*checkFiles {
		t.Errorf("%d scans; %d files were looked for the second time", f.Stats().Scans, later)
	}
}

// One user's processes, however many, do not use up the time for those of others.
func TestUserIsBounded(t *testing.T) {
	f := newFixture(t)
	const each = uint64(time.Millisecond)
	f.cpu = func() uint64 { f.clock += each; return f.clock }
	f.measure()
	evil, good := &Image{user: 1000}, &Image{user: 1001}
	var spent uint64
	began := f.clock
	for range 10_000 {
		evil.work = limit.New(processRate, f.clock) // a new process each time
		for f.mayLook(evil) {
			spent += f.look(evil, func() {})
		}
		f.clock += each
	}
	took := f.clock - began
	if most := uint64(userRate.Most) + took/userRate.Share + each; spent < most*9/10 || spent > most {
		t.Errorf("%v of %v, want up to %v", time.Duration(spent), time.Duration(took), time.Duration(most))
	}
	if good.work = limit.New(processRate, f.clock); !f.mayLook(good) {
		t.Error("nothing is left to another user")
	}
}

// measure has CPU time measured by the fixture's clocks.
func (f *fixture) measure() {
	if f.cpu() > f.clock {
		f.cpu = f.now
	}
	f.took = func(work func()) uint64 {
		began := f.cpu()
		work()
		return f.cpu() - began
	}
}
