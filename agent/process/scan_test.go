package process

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestMissBackoff(t *testing.T) {
	f := newFixture(t)
	f.proc.write(t, "maps", f.line)
	g := generationAt(ticks, 0)
	f.Unknown(fakePID, g, 1)
	scans := func() uint64 { return f.Stats().Scans }
	if scans() != 1 {
		t.Fatalf("%d scans", scans())
	}
	for range 10 {
		f.Miss(fakePID, g, 0x123, f.clock)
	}
	if scans() != 2 || f.Stats().Deferred != 9 {
		t.Errorf("%d scans at once, %d deferred", scans(), f.Stats().Deferred)
	}
	// In a minute of misses the waits are 0.1 s, 0.2 s, … 25 s.
	before := scans()
	for end := f.clock + 60e9; f.clock < end; f.clock += 10e6 {
		f.Miss(fakePID, g, 0x123, f.clock)
	}
	if n := scans() - before; n < 8 || n > 10 {
		t.Errorf("%d scans in a minute of misses", n)
	}
	// What a scan finds is uploaded, and is no miss any more.
	f.proc.write(t, "maps", f.line+"500000-501000 r-xp 00000000 00:00 0 \n")
	f.clock += 30e9
	f.Miss(fakePID, g, 0x500000, f.clock)
	flush(t, f.Table)
	if n := len(f.uploads.entries[imageID{fakePID, g}]); n != 2 {
		t.Errorf("%d entries", n)
	}
	before = scans()
	f.clock += 60e9
	f.Miss(fakePID, g, 0x500000, f.clock)
	if scans() != before {
		t.Error("scanned for an address that is known")
	}
	// A process that has begun to end keeps what it had.
	f.proc.write(t, "maps", "")
	f.Miss(fakePID, g, 0x900000, f.clock)
	f.has(t, g, codeAt)
}

// A process that cannot be looked into is not tried at every sample.
func TestScanFails(t *testing.T) {
	f := newFixture(t)
	f.proc.write(t, "stat", "not in the format")
	g := generationAt(ticks, 0)
	for range 10 {
		f.Unknown(fakePID, g, f.clock)
	}
	if stats := f.Stats(); stats.Scans != 1 || stats.ScansFailed != 1 {
		t.Errorf("%+v", stats)
	}
	f.proc.write(t, "stat", fmt.Sprintf("%d (x) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 %d 0 0", fakePID, ticks))
	f.proc.write(t, "maps", f.line)
	f.clock += uint64(minBackoff)
	f.Unknown(fakePID, g, f.clock)
	f.has(t, g, codeAt)
}

func TestRescan(t *testing.T) {
	f := newFixture(t)
	g := generationAt(ticks, 1)
	f.exec(1, "x")
	f.Exec(fakePID, g, 2)
	f.proc.write(t, "maps", f.line)
	f.Rescan()
	flush(t, f.Table)
	f.has(t, g, codeAt)
	if len(f.uploads.entries[imageID{fakePID, g}]) != 1 {
		t.Errorf("uploaded %+v", f.uploads.entries)
	}
	// A record from before the scan says nothing new.
	f.mmap(f.Image(fakePID, g).scanned, 0x700000)
	if _, _, found := f.Image(fakePID, g).Lookup(0x700000); found != None {
		t.Error("took a mapping from before the scan")
	}
}

func TestUploadFails(t *testing.T) {
	f := newFixture(t)
	f.proc.write(t, "maps", f.line)
	g := generationAt(ticks, 0)
	f.Unknown(fakePID, g, 1)
	f.uploads.fail = errors.New("no room")
	if err := f.Flush(); !errors.Is(err, f.uploads.fail) || f.Stats().UploadErrors != 1 {
		t.Errorf("%v, %+v", err, f.Stats())
	}
	f.uploads.fail = nil
	flush(t, f.Table)
	if len(f.uploads.current) != 0 {
		t.Error("tried again at once")
	}
	f.Unknown(fakePID, g, 2)
	flush(t, f.Table)
	if f.uploads.current[fakePID] != g || f.Stats().Scans != 1 {
		t.Errorf("uploaded %v after %d scans", f.uploads.current, f.Stats().Scans)
	}
}

// Who unloads a library may load it again at once: it stays known until some readings
// of the mappings have not found it, or there is something else.
func TestScanMissesLibrary(t *testing.T) {
	f := newFixture(t)
	const library = codeAt + 0x100000
	more := fmt.Sprintf("%x-%x%s", uint64(library), uint64(library+0x1000), f.line[strings.Index(f.line, " "):])
	f.proc.write(t, "maps", f.line+more)
	g := generationAt(ticks, 0)
	f.Unknown(fakePID, g, f.clock)
	i := f.Image(fakePID, g)
	scan := func(maps string, want Result) {
		t.Helper()
		f.proc.write(t, "maps", maps)
		f.scan(i)
		if _, _, found := i.Lookup(library + 8); found != want {
			t.Errorf("found %d, want %d", found, want)
		}
		f.has(t, g, codeAt)
	}
	for range maxMissed {
		scan(f.line, File)
	}
	f.mmap(i.scanned+1, library)
	for range maxMissed {
		scan(f.line, File)
	}
	scan(f.line, None)
	scan(f.line+more, File)
	scan(f.line+fmt.Sprintf("%x-%x r-xp 00000000 00:00 0 \n", uint64(library), uint64(library+0x1000)), Anonymous)
	if n := len(i.regions.list); n != 2 || f.mappings != n {
		t.Errorf("%d regions, %d counted", n, f.mappings)
	}
}
