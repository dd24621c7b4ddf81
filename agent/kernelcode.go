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
// program that is gone would seem to belong to its neighbour. Methods may be
// called from several goroutines.
type kernelCode struct {
	mu   sync.Mutex
	list []madeCode // sorted by start, without overlaps
}

type madeCode struct {
	start, end uint64
	function   *staccato.Function
	gone       time.Time // when we heard that it was removed; zero: it is there
}

const (
	// keepGone is how long samples of removed code may still come: far longer
	// than from one reading of the kernel's tables to the next.
	keepGone = time.Minute
	// maxKernelCode bounds the list, at some 150 bytes each.
	maxKernelCode = 16384
)

// take notes a record. It returns false when there is no room for it.
func (k *kernelCode) take(s sideband.Symbol, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.list = slices.DeleteFunc(k.list, func(c madeCode) bool { return c.expired(now) })
	added := madeCode{start: s.Addr, end: s.Addr + uint64(s.Len)}
	if added.end <= added.start {
		return true
	}
	first := k.find(added.start)
	last := first
	for last < len(k.list) && k.list[last].start < added.end {
		last++
	}
	if len(k.list)-(last-first) >= maxKernelCode {
		return false
	}
	// Removed code keeps its name; code that was there before us gets it now.
	added.function = &staccato.Function{Name: s.Name, SystemName: s.Name}
	if s.Unregister {
		added.gone = now
	}
	k.list = slices.Replace(k.list, first, last, added)
	return true
}

func (c *madeCode) expired(now time.Time) bool { return !c.gone.IsZero() && now.Sub(c.gone) > keepGone }

// find returns the index of the first code that ends after an address.
func (k *kernelCode) find(address uint64) int {
	return sort.Search(len(k.list), func(i int) bool { return k.list[i].end > address })
}

// name names the kernel frames that lie in known code.
func (k *kernelCode) name(frames []*staccato.Frame, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, f := range frames {
		if f.Kind != staccato.KindKernel || len(f.Lines) > 0 {
			continue
		}
		i := k.find(f.Lookup())
		if i < len(k.list) && k.list[i].start <= f.Lookup() && !k.list[i].expired(now) {
			f.Lines = []staccato.Line{{Function: k.list[i].function}}
		}
	}
}
