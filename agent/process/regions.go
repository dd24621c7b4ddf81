package process

import (
	"slices"
	"sort"

	"github.com/staccato-profiler/staccato/bpf"
)

// region is an executable range of a process's memory.
type region struct {
	start, end uint64
	offset     uint64      // of start, in the executable's file
	executable *executable // nil: memory without an executable
	missed     uint8       // readings of the mappings, the latest, that did not find it
}

// maxMissed is how many readings in a row may miss a region: who loads and unloads a
// library all the time may have unloaded it whenever its mappings are read.
const maxMissed = 8

// regions are the executable ranges of one address space: sorted, without
// overlaps. A process made by fork shares its parent's until one of the two
// changes: images hold them by counted reference, see own.
type regions struct {
	list  []region
	users int
}

// own returns regions that belong to the caller alone: these if nobody else
// uses them, else a copy.
func (r *regions) own(x *executables) *regions {
	if r.users == 1 {
		return r
	}
	r.users--
	mine := &regions{list: slices.Clone(r.list), users: 1}
	for _, each := range mine.list {
		x.use(each.executable)
	}
	return mine
}

// drop gives up one reference.
func (r *regions) drop(x *executables) {
	if r.users--; r.users > 0 {
		return
	}
	for _, each := range r.list {
		x.unuse(each.executable)
	}
	r.list = nil
}

// find returns the index of the first region that ends after addr.
func (r *regions) find(addr uint64) int {
	return sort.Search(len(r.list), func(i int) bool { return r.list[i].end > addr })
}

// at returns the region that holds addr, nil when none does.
func (r *regions) at(addr uint64) *region {
	if i := r.find(addr); i < len(r.list) && r.list[i].start <= addr {
		return &r.list[i]
	}
	return nil
}

// has says that what was added is there already, as when a process unmaps and
// maps the same again.
func (r *regions) has(added region) bool {
	old := r.at(added.start)
	return old != nil && added.end <= old.end && added.executable == old.executable &&
		(added.executable == nil || added.offset == old.offset+(added.start-old.start))
}

// continues says that b is more of the same, right behind a.
func (a region) continues(b region) bool {
	return a.end == b.start && a.executable == b.executable &&
		(a.executable == nil || a.offset+(a.end-a.start) == b.offset)
}

// again returns the region of a mapping that was there before, at the same place, as
// when a library is unloaded and loaded: its file need not be looked for. It is
// recognized by its path and build ID or inode.
func (r *regions) again(w wanted, offset uint64) (same region, ok bool) {
	old := r.at(w.start)
	if old == nil || old.executable == nil || !old.executable.is(w) || w.start >= w.end {
		return same, false
	}
	same = region{start: w.start, end: w.end, offset: offset, executable: old.executable}
	return same, r.has(same)
}

// found says that a region that is there was found mapped.
func (r *regions) found(same region) {
	if known := r.at(same.start); known != nil {
		known.missed = 0
	}
}

// missing returns the regions of executables, where a new reading has found nothing,
// that are kept all the same: no record tells of what is unmapped, nor perhaps of what
// is mapped again.
func (r *regions) missing(found *regions) (kept []region) {
	for _, each := range r.list {
		k := found.find(each.start)
		free := k == len(found.list) || found.list[k].start >= each.end
		if free && each.executable != nil && each.missed < maxMissed {
			each.missed++
			kept = append(kept, each)
		}
	}
	return kept
}

// insert puts a region in, in place of what was there. It reports false, and
// leaves out the new region only, when there would be more than max.
func (r *regions) insert(x *executables, added region, max int) bool {
	first := r.find(added.start)
	last := first
	for last < len(r.list) && r.list[last].start < added.end {
		last++
	}
	var pieces []region
	if first < last && r.list[first].start < added.start {
		before := r.list[first]
		before.end = added.start
		pieces = append(pieces, before)
	} else if first > 0 && r.list[first-1].continues(added) {
		first--
		pieces = append(pieces, r.list[first])
	}
	added.join(&pieces)
	if first < last && r.list[last-1].end > added.end {
		after := r.list[last-1]
		after.offset += added.end - after.start
		after.start = added.end
		after.join(&pieces)
	} else if last < len(r.list) && added.continues(r.list[last]) {
		r.list[last].join(&pieces)
		last++
	}
	if len(r.list)-(last-first)+len(pieces) > max {
		return false
	}
	for _, each := range pieces {
		x.use(each.executable)
	}
	for _, each := range r.list[first:last] {
		x.unuse(each.executable)
	}
	r.list = slices.Replace(r.list, first, last, pieces...)
	return true
}

// join appends a region, or makes the last one longer by it.
func (a region) join(pieces *[]region) {
	if n := len(*pieces); n > 0 && (*pieces)[n-1].continues(a) {
		(*pieces)[n-1].end = a.end
		return
	}
	*pieces = append(*pieces, a)
}

// entries returns the regions as the kernel side wants them: in pieces of at
// most 4 MiB of file. What has no chunk number stays as it is, like memory
// without an executable.
func (r *regions) entries(x *executables) []bpf.Entry {
	entries := make([]bpf.Entry, 0, len(r.list))
	for _, each := range r.list {
		start, offset := each.start, each.offset
		for start < each.end {
			entry := bpf.Entry{Start: start, End: each.end}
			if each.executable != nil {
				const size = 1 << chunkShift
				if chunk := x.chunk(each.executable, uint32(offset>>chunkShift)); chunk != 0 {
					within := offset & (size - 1)
					n := min(each.end-start, size-within)
					entry = bpf.Entry{Start: start, End: start + n, Chunk: chunk, Base: uint32(within)}
				}
			}
			entries = append(entries, entry)
			offset += entry.End - start
			start = entry.End
		}
	}
	return entries
}
