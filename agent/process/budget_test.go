package process

import (
	"testing"
	"time"
)

// A process that maps without end has its files looked for a bounded part of the
// time; what it has mapped then comes to light when its mappings are read anew.
func TestMapsTooOften(t *testing.T) {
	f := newFixture(t)
	const each = uint64(time.Millisecond) // that asking for the time takes here
	f.now = func() uint64 { f.clock += each; return f.clock }
	g := generationAt(ticks, 1)
	f.exec(1, "x")
	f.Exec(fakePID, g, 2)
	const n = 10_000
	for i := range uint64(n) {
		f.mmap(f.clock, 0x500000+i%100*0x2000)
	}
	looked := n - f.Stats().LookupsDeferred
	if most := uint64(lookupsAtOnce)/each + 2*n/lookupShare + 2; looked < 50 || looked > most {
		t.Errorf("%d of %d mappings were looked for, want at most %d", looked, n, most)
	}
	m, _, found := f.Image(fakePID, g).Lookup(0x500000)
	if found != File || m.File != nil || m.BuildID != f.id || m.Reason != reasonTooOften {
		t.Errorf("found %d, %+v", found, m)
	}
	f.proc.write(t, "maps", f.line)
	flush(t, f.Table)
	f.has(t, g, codeAt)
	if f.Stats().Scans != 1 {
		t.Errorf("%d scans", f.Stats().Scans)
	}
}

// Records that are lost all the time do not have all processes looked at all the
// time.
func TestRescansAreBounded(t *testing.T) {
	f := newFixture(t)
	const each = uint64(time.Millisecond)
	f.now = func() uint64 { f.clock += each; return f.clock }
	f.rescans = newBudget(rescanShare, uint64(rescanAtOnce), f.clock) // by this clock
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
	if most := (uint64(rescanAtOnce) + took/rescanShare) / (2 * each); scans < 20 || scans > most {
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
