package process

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

const (
	// A scan that takes longer is cut off: some processes have millions of
	// mappings.
	maxScanTime = 2 * time.Second
	// Waiting times between scans of one process for misses.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 25 * time.Second
	// checkFiles is how many files are looked for between two looks at the clock.
	checkFiles = 16
	// A process is scanned for at most one part in scanShare of the time.
	scanShare = 20
)

// delayScan sets when a miss may lead to a scan again: later each time.
func (i *Image) delayScan(now uint64) {
	i.backoff = min(max(2*i.backoff, minBackoff), maxBackoff)
	took := time.Duration(i.scannedEnd - i.scanned)
	i.nextScan = now + uint64(max(i.backoff, scanShare*took))
}

// scan reads what the process has mapped now, in place of what was known.
// When the process is gone, the image ends with what it has. It returns the CPU
// time that it took.
func (t *Table) scan(i *Image) uint64 {
	return t.look(i, func() { t.scanNow(i) })
}

func (t *Table) scanNow(i *Image) {
	t.stats.Scans++
	started := t.now()
	text, err := t.scanProcess(i, started)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		t.retire(i) // its exit is still to be told, or was lost
		return
	}
	if err != nil {
		t.stats.ScansFailed++
		i.delayScan(t.now())
		return
	}
	i.scanned, i.scannedEnd = started, t.now()
	i.complete = true
	t.changed[i] = struct{}{}
	t.stats.MappingsBeyond += uint64(text.beyond)
	t.stats.MapsMalformed += uint64(text.malformed)
	if text.cut {
		t.stats.ScansCut++
	}
}

func (t *Table) scanProcess(i *Image, started uint64) (mapsText, error) {
	d, err := openProcDir(t.config.Proc, i.pid())
	if err != nil {
		return mapsText{}, err
	}
	defer d.close()
	ticks, err := d.startTime()
	if err != nil {
		return mapsText{}, err
	}
	if g := i.generation(); g != 0 && !startedAt(g, ticks) {
		return mapsText{}, fmt.Errorf("process %d: the PID is in use again: %w", i.pid(), unix.ESRCH)
	}
	i.startTicks = ticks
	i.user = d.user()
	if !i.described {
		t.describe(d, i)
	}
	f, err := d.open("maps")
	if err != nil {
		return mapsText{}, err
	}
	defer f.Close()
	text, err := parseMaps(f, t.config.MaxMappings, func() bool {
		return t.now()-started > uint64(maxScanTime)
	})
	if err != nil {
		return text, fmt.Errorf("read maps: %w", err)
	}
	if len(text.lines) == 0 && len(i.regions.list) > 0 {
		return text, fmt.Errorf("process %d has given up its memory: %w", i.pid(), unix.ESRCH)
	}
	most := int64(0)
	if i.scanned == 0 {
		most = int64(firstScan)
	}
	began, late := t.cpu(), false
	old := i.regions
	old.users++
	defer old.drop(t.executables)
	i.setRegions(&regions{users: 1})
	for n, line := range text.lines {
		path, _ := cutDeleted(line.path)
		w := wanted{
			start: line.start, end: line.end, path: path,
			major: line.major, minor: line.minor, inode: line.inode,
		}
		if n%checkFiles == checkFiles-1 && !late {
			late = !i.work.Has(t.now(), most-int64(t.cpu()-began))
		}
		if late && kindOf(w.path) == fileKind {
			t.behind[i] = struct{}{}
			r, ok := old.again(w, line.offset)
			if !ok {
				r = t.tooOften(w, line.offset)
			}
			i.insert(r)
			continue
		}
		if r, ok := t.regionOf(d, w, line.offset); ok {
			if r.executable == nil {
				r = t.moved(i, d, r)
			}
			i.insert(r)
			if r.executable == nil {
				t.generates(i, d)
			}
		}
	}
	for _, r := range old.missing(i.regions) {
		i.insert(r)
	}
	return text, nil
}

// describe asks /proc who the process is. Of a program that began with the
// record of an exec, the record is more to be trusted: the process may have
// called exec again since.
func (t *Table) describe(d *procDir, i *Image) {
	name, _ := d.read("comm", 64)
	program, _ := d.readlink("exe")
	program, _ = cutDeleted(program)
	cgroup, err := d.read("cgroup", 64<<10)
	i.update(func(p *staccato.Process) {
		// Each of these may fail, for a process that is ending or that we may
		// not look into; then what is known stays.
		if len(name) > 0 && (p.Name == "" || !i.fromExec) {
			p.Name = asText(strings.TrimSuffix(string(name), "\n"))
		}
		if program != "" && (p.Executable == "" || !i.fromExec) {
			p.Executable = asText(program)
		}
		if err == nil {
			p.Container = containerID(string(cgroup))
		}
	})
	i.described = true
}

// asText makes text of a name of the kernel's, which may hold any bytes:
// profiles can hold only UTF-8.
func asText(name string) string { return strings.ToValidUTF8(name, "?") }
