package agent

import (
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

// kernelCode names the code that the kernel makes at run time, such as BPF
// programs, from what the kernel tells when it makes and removes it.
// /proc/kallsyms alone does not do: it has no sizes, so that an address in a
// program that is gone would seem to belong to its neighbour; and the kernel
// soon puts the next program where one was. Times are of CLOCK_MONOTONIC, in
// nanoseconds. Methods may be called from several goroutines.
type kernelCode struct {
	mu   sync.Mutex
	list []madeCode // what is there: sorted by start, without overlaps
	gone []madeCode // what was there
}

type madeCode struct {
	start, end uint64
	function   *staccato.Function
	// from and until are when it was there. What was there before us has a from
	// of 0; until means something in kernelCode.gone only.
	from, until uint64
}

const (
	// runsOn is how long removed code may still run: the kernel tells of the
	// removal when it begins, and waits for those that are in it.
	runsOn = uint64(time.Second)
	// keepGone is how long samples of removed code may still come: far longer
	// than from one reading of the kernel's tables to the next.
	keepGone = uint64(time.Minute)
	// maxKernelCode bounds each list, at some 150 bytes an entry.
	maxKernelCode = 16384
)

// take notes a record. Records come in order of time. It returns false when
// there is no room for it.
func (k *kernelCode) take(s sideband.Symbol) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.gone = slices.DeleteFunc(k.gone, func(c madeCode) bool { return c.until+keepGone < s.Time })
	added := madeCode{start: s.Addr, end: s.Addr + uint64(s.Len), from: s.Time}
	if added.end <= added.start {
		return true
	}
	added.function = &staccato.Function{Name: s.Name, SystemName: s.Name}
	first := k.find(added.start)
	last := first
	for last < len(k.list) && k.list[last].start < added.end {
		last++
	}
	replaced := slices.Clone(k.list[first:last])
	if s.Unregister {
		if len(replaced) == 0 {
			added.from = 0
			replaced = []madeCode{added}
		}
		k.list = slices.Delete(k.list, first, last)
	} else {
		if len(k.list)-(last-first) >= maxKernelCode {
			return false
		}
		k.list = slices.Replace(k.list, first, last, added)
		for i := range k.gone {
			if c := &k.gone[i]; c.start < added.end && c.end > added.start {
				c.until = min(c.until, s.Time)
			}
		}
	}
	if len(k.gone)+len(replaced) > maxKernelCode {
		return false
	}
	for _, c := range replaced {
		if c.until = s.Time; s.Unregister {
			c.until += runsOn
		}
		k.gone = append(k.gone, c)
	}
	return true
}

// find returns the index of the first code that ends after an address.
func (k *kernelCode) find(address uint64) int {
	return sort.Search(len(k.list), func(i int) bool { return k.list[i].end > address })
}

// name names the kernel frames that lie in code that was there between two
// times. Where one program took another's place between them, the frame has the
// names of both: which of them it was cannot be known.
func (k *kernelCode) name(frames []*staccato.Frame, from, until uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range frames {
		if f.Kind != staccato.KindKernel || len(f.Lines) > 0 {
			continue
		}
		if function := k.at(f.Lookup(), from, until); function != nil {
			f.Lines = []staccato.Line{{Function: function}}
		}
	}
}

// at returns the function that an address was in between two times.
func (k *kernelCode) at(address, from, until uint64) *staccato.Function {
	var found *staccato.Function
	for i := range k.gone {
		c := &k.gone[i]
		if address >= c.start && address < c.end && c.from <= until && c.until >= from {
			found = either(found, c.function)
		}
	}
	if i := k.find(address); i < len(k.list) && k.list[i].start <= address && k.list[i].from <= until {
		found = either(found, k.list[i].function)
	}
	return found
}

func either(a, b *staccato.Function) *staccato.Function {
	if a == nil || a.Name == b.Name {
		return b
	}
	name := a.Name + " or " + b.Name
	return &staccato.Function{Name: name, SystemName: name}
}
