package process

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

// fixture is a table over a fake /proc with a program in it.
type fixture struct {
	*Table
	proc    *fakeProc
	uploads *uploads
	clock   uint64
	id      string // the program's build ID
	line    string // its line in maps
}

const (
	ticks   = 777 // of fakeProc's process
	codeAt  = 0x400000
	codeEnd = 0x401000
)

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{proc: newFakeProc(t), clock: 1000}
	program := compile(t, "int main(void) { return 0; }")
	f.id = askReadelf(t, program).buildID
	f.proc.withoutMapFiles(t)
	f.proc.put(t, program, "bin/x")
	var stat unix.Stat_t
	if err := unix.Stat(f.proc.root+"/bin/x", &stat); err != nil {
		t.Fatal(err)
	}
	f.line = fmt.Sprintf("%x-%x r-xp 00001000 %02x:%02x %d /bin/x\n", codeAt, codeEnd, unix.Major(stat.Dev), unix.Minor(stat.Dev), stat.Ino)
	f.Table, f.uploads = newTable(t, Config{Proc: f.proc.dir})
	f.now = func() uint64 { f.clock++; return f.clock }
	return f
}

func (f *fixture) mmap(time, addr uint64) {
	f.Mmap(sideband.Mmap{Time: time, PID: fakePID, TID: fakePID, Addr: addr, Len: 0x1000, Offset: 0x1000, BuildID: f.id, Path: "/bin/x"})
}

func (f *fixture) exec(time uint64, name string) {
	f.Comm(sideband.Comm{Time: time, PID: fakePID, TID: fakePID, Name: name, Exec: true})
}

// has fails unless the image's program is at addr, and nothing before.
func (f *fixture) has(t *testing.T, generation, addr uint64) {
	t.Helper()
	i := f.Image(fakePID, generation)
	if i == nil {
		t.Fatalf("no image of generation %#x", generation)
	}
	m, address, found := i.Lookup(addr)
	if found != File || m.BuildID != f.id || address != 0x1000 {
		t.Errorf("address %#x: %+v, %#x, %d", addr, m, address, found)
	}
	if _, _, found := i.Lookup(addr - 1); found != None {
		t.Errorf("address %#x: %d", addr-1, found)
	}
}

func TestUnknownReadsProc(t *testing.T) {
	f := newFixture(t)
	f.proc.write(t, "maps", f.line+"500000-501000 rwxp 00000000 00:00 0 \nffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n")
	g := generationAt(ticks, 0)
	f.Unknown(fakePID, g, 500)
	flush(t, f.Table)
	f.has(t, g, codeAt)
	entries := f.uploads.entries[imageID{fakePID, g}]
	if len(entries) != 2 || entries[0].Chunk == 0 || entries[0].Base != 0x1000 || entries[1].Chunk != 0 || entries[1].Start != 0x500000 {
		t.Fatalf("entries %+v", entries)
	}
	m, address, ok := f.Frame(entries[0].Chunk, entries[0].Base+0x42)
	if want, wantAddress, _ := f.Image(fakePID, g).Lookup(codeAt + 0x42); !ok || m != want || address != wantAddress {
		t.Errorf("frame %+v %#x, image says %+v %#x", m, address, want, wantAddress)
	}
	if _, _, found := f.Image(fakePID, g).Lookup(0x500000); found != Anonymous {
		t.Errorf("generated code: %d", found)
	}
	if p := f.Image(fakePID, g).Process; p.Name != "fake" || p.Container != strings.Repeat("ab", 32) || p.PID != fakePID || p.Generation != g {
		t.Errorf("process %+v", p)
	}
}

// The PID is in use again: what /proc says is of another process.
func TestUnknownOfReusedPID(t *testing.T) {
	f := newFixture(t)
	f.proc.write(t, "maps", f.line)
	g := generationAt(ticks-5, 0)
	f.Unknown(fakePID, g, 500)
	flush(t, f.Table)
	if _, _, found := f.Image(fakePID, g).Lookup(codeAt); found != None || len(f.uploads.entries) > 0 {
		t.Errorf("took another process's mappings: %+v", f.uploads.entries)
	}
	if f.Stats().Images != 0 {
		t.Error("a process that is gone stays")
	}
}

func TestExecInPlace(t *testing.T) {
	f := newFixture(t)
	f.proc.write(t, "maps", f.line)
	old, g := generationAt(ticks, 0), generationAt(ticks, 1)
	f.Unknown(fakePID, old, 500)
	flush(t, f.Table)
	f.exec(f.clock+100, "new")
	f.mmap(f.clock+101, 0x700000)
	flush(t, f.Table)
	if _, uploaded := f.uploads.current[fakePID]; uploaded {
		t.Error("the old program's entries are still with the kernel side")
	}
	f.Exec(fakePID, g, f.clock+102)
	f.mmap(f.clock+103, 0x800000)
	flush(t, f.Table)
	if f.uploads.current[fakePID] != g || len(f.uploads.entries[imageID{fakePID, g}]) != 2 {
		t.Errorf("uploaded %+v", f.uploads.entries)
	}
	f.has(t, old, codeAt)
	f.has(t, g, 0x700000)
	f.has(t, g, 0x800000)
	if p := f.Image(fakePID, g).Process; p.Name != "new" || p.Executable != "/bin/x" {
		t.Errorf("process %+v", p)
	}
	f.WindowRead()
	f.has(t, old, codeAt)
	f.WindowRead()
	if f.Image(fakePID, old) != nil {
		t.Error("the old image is still there after two windows")
	}
	f.has(t, g, 0x700000)
}

// A scan that overlapped an exec may have read either program.
func TestScanOverlapsExec(t *testing.T) {
	for _, viaComm := range []bool{true, false} {
		f := newFixture(t)
		f.proc.write(t, "maps", f.line)
		old, g := generationAt(ticks, 0), generationAt(ticks, 1)
		f.Unknown(fakePID, old, 500)
		during := f.Image(fakePID, old).scannedEnd
		if viaComm {
			f.exec(during, "new")
		}
		f.Exec(fakePID, g, during)
		if _, _, found := f.Image(fakePID, old).Lookup(codeAt); found != None {
			t.Errorf("comm %v: the scan was kept", viaComm)
		}
		if p := f.Image(fakePID, old).Process; p.Name != "" {
			t.Errorf("comm %v: the name was kept: %+v", viaComm, p)
		}
		if f.Stats().Discarded != 1 || f.Image(fakePID, g) == nil {
			t.Errorf("comm %v: %+v", viaComm, f.Stats())
		}
	}
}

func TestForkSharesUntilChange(t *testing.T) {
	f := newFixture(t)
	f.exec(1, "parent")
	f.mmap(2, codeAt)
	g, child := generationAt(ticks, 1), generationAt(ticks+3, 1)
	f.Exec(fakePID, g, 3)
	f.Fork(fakePID, 99, child, 4)
	f.mmap(5, 0x900000) // the parent's alone
	flush(t, f.Table)
	f.has(t, g, 0x900000)
	i := f.Image(99, child)
	if m, _, found := i.Lookup(codeAt); found != File || m.BuildID != f.id {
		t.Errorf("child: %+v, %d", m, found)
	}
	if _, _, found := i.Lookup(0x900000); found != None {
		t.Error("the child has what its parent mapped later")
	}
	if p := i.Process; p.Name != "parent" || p.Executable != "/bin/x" || p.PID != 99 || p.Generation != child {
		t.Errorf("child %+v", p)
	}
	if len(f.uploads.entries[imageID{99, child}]) != 1 {
		t.Errorf("uploaded %+v", f.uploads.entries)
	}
	f.Exit(99, child, 6)
	f.Exit(fakePID, g, 7)
	flush(t, f.Table)
	if len(f.uploads.current) != 0 {
		t.Errorf("still uploaded: %v", f.uploads.current)
	}
	f.has(t, g, 0x900000)
	for range 2 {
		f.WindowRead()
	}
	if stats := f.Stats(); f.Image(99, child) != nil || stats.Images+stats.Retired+stats.Mappings != 0 {
		t.Errorf("left after two windows: %+v", stats)
	}
	for range 12 {
		f.WindowRead()
	}
	if stats := f.Stats(); stats.Executables+stats.Chunks+stats.OpenFiles != 0 {
		t.Errorf("left after the idle time: %+v", stats)
	}
}

// A parent that nothing was known of is read for its child's sake; should that
// have come too late, after an exec of the parent, neither may keep it.
func TestForkOfUnknownParent(t *testing.T) {
	for _, execed := range []bool{false, true} {
		f := newFixture(t)
		f.proc.write(t, "maps", f.line)
		child := generationAt(ticks+3, 0)
		f.Fork(fakePID, 99, child, 1)
		f.Exit(99, child, 2)
		if execed {
			f.exec(3, "new")
		}
		_, _, found := f.Image(99, child).Lookup(codeAt)
		if want := map[bool]Result{false: File, true: None}[execed]; found != want {
			t.Errorf("exec %v: the child has %d at its parent's code, want %d", execed, found, want)
		}
		if scans := f.Stats().Scans; scans != 1 {
			t.Errorf("%d scans", scans)
		}
	}
}

// Full tables of the kernel side are no reason to end; other errors are.
func TestUploadErrors(t *testing.T) {
	other := errors.New("other")
	for _, err := range []error{bpf.ErrTablesFull, other} {
		f := newFixture(t)
		f.uploads.fail = fmt.Errorf("upload: %w", err)
		f.exec(1, "x")
		f.mmap(2, codeAt)
		f.Exec(fakePID, generationAt(ticks, 1), 3)
		if got := f.Flush(); errors.Is(got, other) != (err == other) || got != nil && err != other {
			t.Errorf("upload fails with %v, flush with %v", err, got)
		}
		if n := f.Stats().UploadErrors; n != 1 {
			t.Errorf("%d errors counted", n)
		}
		f.has(t, generationAt(ticks, 1), codeAt)
	}
}

// A library takes the place of another: samples from before are in the first.
func TestLookupAtATime(t *testing.T) {
	f := newFixture(t)
	f.exec(1, "x")
	mmap := func(time uint64, path string) {
		f.Mmap(sideband.Mmap{Time: time, PID: fakePID, TID: fakePID, Addr: 0x10000, Len: 0x1000, BuildID: strings.Repeat("00", 20), Path: path})
	}
	mmap(10, "/lib/first")
	f.Exec(fakePID, generationAt(ticks, 1), 11)
	mmap(20, "/lib/second")
	mmap(30, "/lib/third")
	i := f.Image(fakePID, generationAt(ticks, 1))
	at := func(time uint64) string {
		if m, _, found := i.LookupAt(0x10800, time); found == File {
			return m.Path
		}
		return ""
	}
	for time, want := range map[uint64]string{15: "/lib/first", 19: "/lib/first", 20: "/lib/second", 29: "/lib/second", 30: "/lib/third", 99: "/lib/third"} {
		if got := at(time); got != want {
			t.Errorf("at %d: %q, want %q", time, got, want)
		}
	}
	f.WindowRead()
	if got := at(15); got != "/lib/first" {
		t.Errorf("in the next window: %q", got)
	}
	f.WindowRead()
	if got := at(15); got != "/lib/third" || len(f.changedPlaces) > 0 {
		t.Errorf("two windows later: %q", got)
	}
}

// Names are bytes to the kernel, but text in a profile.
func TestNamesAreText(t *testing.T) {
	f := newFixture(t)
	f.exec(1, "new\xff")
	f.Mmap(sideband.Mmap{Time: 2, PID: fakePID, TID: fakePID, Addr: codeAt, Len: 0x1000, Offset: 0x1000, Path: "/bin/\xfe"})
	g := generationAt(ticks, 1)
	f.Exec(fakePID, g, 3)
	p := f.Image(fakePID, g).Process
	m, _, _ := f.Image(fakePID, g).Lookup(codeAt)
	if p.Name != "new?" || p.Executable != "/bin/?" || m == nil || m.Path != "/bin/?" {
		t.Errorf("process %+v, mapping %+v", p, m)
	}
	f.Comm(sideband.Comm{Time: 4, PID: fakePID, TID: fakePID, Name: "\x80"})
	if got := f.Image(fakePID, g).Process.Name; got != "?" {
		t.Errorf("renamed to %q", got)
	}
}

// Notices that come late or twice, or whose predecessors were lost.
func TestOddNotices(t *testing.T) {
	f := newFixture(t)
	f.proc.write(t, "maps", f.line)
	g1, g2 := generationAt(ticks, 1), generationAt(ticks, 2)
	f.Exec(fakePID, g2, 10) // nothing was known of it
	f.Unknown(fakePID, g2, 11)
	f.has(t, g2, codeAt)
	f.Unknown(fakePID, g1, 12) // a late word of the program before
	f.Exec(fakePID, g1, 13)
	f.Exit(fakePID, g1, 14)
	if i := f.Image(fakePID, g2); i == nil || i.exited {
		t.Error("an old generation ended a newer one")
	}
	f.Exit(fakePID, g2, 15)
	f.Exit(fakePID, g2, 16)
	f.Unknown(fakePID, g2, 17)
	f.Miss(fakePID, g2, 0x1, 17)
	f.Exit(5, 6, 18)
	flush(t, f.Table)
	if len(f.uploads.current) != 0 {
		t.Errorf("uploaded after the exit: %v", f.uploads.current)
	}
	f.Mmap(sideband.Mmap{PID: 0, Len: 1, Path: "/bin/x"})
	f.Mmap(sideband.Mmap{PID: 1<<32 - 1, Len: 1, Path: "/bin/x"})
	f.Comm(sideband.Comm{PID: 1<<32 - 1, Exec: true})
	before := f.Stats().Mappings
	f.exec(20, "x")
	f.Mmap(sideband.Mmap{Time: 21, PID: fakePID, Addr: ^uint64(0) - 10, Len: 100, Path: "//anon"})
	f.Mmap(sideband.Mmap{Time: 21, PID: fakePID, Addr: 1 << 63, Len: 1 << 63, Path: "//anon"})
	f.Mmap(sideband.Mmap{Time: 21, PID: fakePID, Addr: 10, Len: 10, Offset: ^uint64(0), Path: "/bin/x", BuildID: f.id})
	if n := f.Stats().Mappings - before; n != 0 {
		t.Errorf("took %d impossible mappings", n)
	}
}

// A generation that a sample told in the middle of an exec is put right.
func TestUnknownDuringExec(t *testing.T) {
	f := newFixture(t)
	g0, g1 := generationAt(ticks, 0), generationAt(ticks, 1)
	f.exec(10, "new")
	f.Unknown(fakePID, g0, 11)
	f.mmap(12, codeAt)
	f.Exec(fakePID, g1, 13)
	flush(t, f.Table)
	f.has(t, g1, codeAt)
	if f.uploads.current[fakePID] != g1 {
		t.Errorf("uploaded %v", f.uploads.current)
	}
}

func TestWants(t *testing.T) {
	f := newFixture(t)
	wanted := false
	f.config.Wants = func(pid uint32) bool { return wanted }
	g := generationAt(ticks, 1)
	f.exec(1, "x")
	f.mmap(2, 0x700000)
	f.Exec(fakePID, g, 3)
	f.Unknown(fakePID, g, 4)
	flush(t, f.Table)
	if stats := f.Stats(); len(f.uploads.current) != 0 || stats.Executables != 0 || stats.Scans != 0 {
		t.Errorf("worked for a process nobody wants: %+v", stats)
	}
	wanted = true
	f.proc.write(t, "maps", f.line)
	f.Unknown(fakePID, g, 5)
	flush(t, f.Table)
	f.has(t, g, codeAt)
	if f.uploads.current[fakePID] != g {
		t.Errorf("uploaded %v", f.uploads.current)
	}
}

func TestTableLimits(t *testing.T) {
	table, _ := newTable(t, Config{MaxImages: 10, MaxMappings: 4, MaxAllMappings: 20})
	for pid := uint32(1 << 29); pid < 1<<29+20; pid++ {
		table.Comm(sideband.Comm{Time: 1, PID: pid, TID: pid, Exec: true})
		for n := range uint64(8) {
			table.Mmap(sideband.Mmap{Time: 2, PID: pid, Addr: n * 0x2000, Len: 0x1000, Path: "//anon"})
		}
	}
	stats := table.Stats()
	if stats.Images != 10 || stats.Mappings != 20 || stats.MappingsBeyond == 0 || stats.ImagesBeyond == 0 {
		t.Errorf("%+v", stats)
	}
}

func TestRename(t *testing.T) {
	f := newFixture(t)
	f.exec(1, "before")
	g := generationAt(ticks, 1)
	f.Exec(fakePID, g, 2)
	sampled := f.Image(fakePID, g).Process
	f.Comm(sideband.Comm{Time: 3, PID: fakePID, TID: fakePID + 1, Name: "thread"})
	f.Comm(sideband.Comm{Time: 4, PID: fakePID, TID: fakePID, Name: "after"})
	if now := f.Image(fakePID, g).Process; now.Name != "after" || sampled.Name != "before" {
		t.Errorf("now %q, and the sample from before says %q", now.Name, sampled.Name)
	}
}

func TestGenerations(t *testing.T) {
	for _, test := range []struct {
		a, b uint64
		want bool
	}{
		{generationAt(5, 1), generationAt(5, 0), true},
		{generationAt(5, 0), generationAt(5, 1), false},
		{generationAt(5, 0), generationAt(5, 0), false},
		{generationAt(6, 0), generationAt(5, 1023), true},
		{generationAt(5, 0), generationAt(5, 1023), true}, // the count wrapped
		{generationAt(5, 1023), generationAt(5, 0), false},
	} {
		if newer(test.a, test.b) != test.want {
			t.Errorf("newer(%#x, %#x) = %v", test.a, test.b, !test.want)
		}
	}
	for _, start := range []uint64{0, 9_999_999, 10_000_000, 12_345_678_901, 19_999_999} {
		for _, execs := range []uint64{0, 1, 1023} {
			g := start>>execBits<<execBits | execs
			if !startedAt(g, start/1e7) {
				t.Errorf("start %d, execs %d: not in its tick", start, execs)
			}
			if startedAt(g, start/1e7+2) {
				t.Errorf("start %d: in a later tick", start)
			}
		}
	}
}
