package process

import (
	"slices"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf"
)

// LookupAt finds what the process had at an address at a time (CLOCK_MONOTONIC,
// ns) of the last two windows.
func (i *Image) LookupAt(addr, time uint64) (*staccato.Mapping, uint64, Result) {
	for k := range i.former {
		if f := &i.former[k]; time < f.until && addr >= f.region.start && addr < f.region.end {
			return i.in(&f.region, addr)
		}
	}
	return i.in(i.regions.at(addr), addr)
}

// former is a region as it was until another took its place.
type former struct {
	region region
	until  uint64 // CLOCK_MONOTONIC, ns
	window uint64 // in which that was
}

// maxFormer bounds what is remembered of a process that maps without end: libraries
// that replace each other 25 times a second, in two windows of 5 s.
const maxFormer = 512

// replace inserts a region, and remembers the executables whose places it takes
// from time on: samples from before may not have been read yet.
func (i *Image) replace(added region, time uint64) {
	list := i.regions.list
	for k := i.regions.find(added.start); k < len(list) && list[k].start < added.end; k++ {
		if r := list[k]; r.executable != added.executable {
			if len(i.former) == maxFormer {
				i.former = slices.Delete(i.former, 0, maxFormer/2)
			}
			i.former = append(i.former, former{r, time, i.table.executables.window})
			i.table.changedPlaces[i] = struct{}{}
		}
	}
	i.insert(added)
}

// forgetFormer drops what no sample can refer to any more.
func (i *Image) forgetFormer(window uint64) {
	i.former = slices.DeleteFunc(i.former, func(f former) bool { return window-f.window >= minIdleWindows })
}

// place is a range of addresses; end is exclusive.
type place struct{ start, end uint64 }

const (
	// oftenReplaced is how often executables must have been replaced at a place in two
	// windows: who does it once or twice may not do it again.
	oftenReplaced = 3
	// maxContested bounds how many places of a process are looked for.
	maxContested = 16
)

// findContested finds where executables replace each other. What the kernel side knows
// of such a place is always out of date for some time, so it gets no entries for it:
// samples there come with copies of stacks and the time, and find what was mapped then.
func (i *Image) findContested() {
	var places [maxContested]struct {
		place
		replaced int
	}
	n := 0
	for _, f := range i.former {
		k := 0
		for k < n && (f.region.start >= places[k].end || f.region.end <= places[k].start) {
			k++
		}
		switch {
		case k < n:
			places[k].start, places[k].end = min(places[k].start, f.region.start), max(places[k].end, f.region.end)
			places[k].replaced++
		case n < maxContested:
			places[n].place, places[n].replaced = place{f.region.start, f.region.end}, 1
			n++
		}
	}
	i.contested = i.contested[:0]
	for _, p := range places[:n] {
		if p.replaced >= oftenReplaced {
			i.contested = append(i.contested, p.place)
		}
	}
}

func (i *Image) contests(addr uint64) bool {
	for _, p := range i.contested {
		if addr >= p.start && addr < p.end {
			return true
		}
	}
	return false
}

// entries are the image's regions for the kernel side.
func (i *Image) entries() []bpf.Entry {
	i.findContested()
	entries := i.regions.entries(i.table.executables)
	for _, p := range i.contested {
		entries = slices.DeleteFunc(entries, func(e bpf.Entry) bool { return e.Start < p.end && e.End > p.start })
	}
	return entries
}
