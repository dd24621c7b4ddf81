package agent

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/ring"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/belowtest"
)

// dump is a sample's registers and its stack as the kernel writes them, and what is
// below the stack pointer, where functions that return have popped registers from.
type dump struct {
	cpu       int
	registers [17]uint64
	below     []uint64
	stack     []byte
}

// Numbers of registers.
const (
	dumpSP = 7
	dumpPC = 16
)

// dumps are those of some samples, in order on each CPU.
type dumps struct {
	all   []dump
	whole int // so many have all parts
	lost  uint64
	wrong error
}

const (
	// The registers that amd64 has, by perf's numbers (asm/perf_regs.h).
	perfRegisters = 0xff0fff
	dumpStack     = 48 << 10 // bytes; a record has less than 64 KiB
	dumpPages     = 4096     // of each CPU's ring
)

// The registers by DWARF's numbers, in perf's order of those of perfRegisters: ax,
// bx, cx, dx, si, di, bp, sp, ip, flags, cs, ss, then r8 to r15.
var dwarfRegisters = []int{0, 3, 2, 1, 4, 5, 6, 7, 16, -1, -1, -1, 8, 9, 10, 11, 12, 13, 14, 15}

// dumping has the kernel write samples with registers and stack.
func dumping(attr *unix.PerfEventAttr) {
	attr.Sample_type = unix.PERF_SAMPLE_REGS_USER | unix.PERF_SAMPLE_STACK_USER
	attr.Sample_regs_user = perfRegisters
	attr.Sample_stack_user = dumpStack
}

// openDumps maps the rings of a profiler's events, before it starts.
func openDumps(t *testing.T, p *Profiler) *ring.Set {
	t.Helper()
	set := ring.NewSet(dumpPages, func(cpu int) (int, error) { return unix.Dup(p.sampler.EventFD(cpu)) })
	cpus := make([]int, p.CPUs())
	for i := range cpus {
		cpus[i] = i
	}
	if err := set.Sync(cpus, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	return set
}

func (d *dumps) drain(set *ring.Set) {
	set.Each(func(cpu int, r *ring.Ring) {
		if err := r.Consume(r.Head(), func(raw []byte) bool { d.take(cpu, raw); return true }); err != nil && d.wrong == nil {
			d.wrong = err
		}
	})
}

// take takes a record: u64 ABI, the registers, u64 size of the stack, the stack, u64
// how much of it there is.
func (d *dumps) take(cpu int, raw []byte) {
	word := func(i int) uint64 { return binary.NativeEndian.Uint64(raw[ring.HeaderSize+8*i:]) }
	switch binary.NativeEndian.Uint32(raw) {
	case unix.PERF_RECORD_LOST:
		d.lost += word(1)
		return
	case unix.PERF_RECORD_SAMPLE:
	default:
		return
	}
	n := len(dwarfRegisters)
	if abi := word(0); abi != unix.PERF_SAMPLE_REGS_ABI_64 {
		d.fail(fmt.Errorf("sample with registers of ABI %d", abi))
		return
	}
	size := word(1 + n)
	if size == 0 {
		d.fail(errors.New("sample without a stack"))
		return
	}
	stack := raw[ring.HeaderSize+8*(2+n):][:size]
	valid := binary.NativeEndian.Uint64(raw[ring.HeaderSize+8*(2+n)+int(size):]) &^ 7
	each := dump{cpu: cpu, stack: append([]byte(nil), stack[:valid]...)}
	for i, at := range dwarfRegisters {
		if at >= 0 {
			each.registers[at] = word(1 + i)
		}
	}
	d.all = append(d.all, each)
}

// join gives each dump what was below its stack pointer.
func (d *dumps) join(belows []belowtest.Below) {
	of := make(map[int][]belowtest.Below)
	for _, b := range belows {
		of[b.CPU] = append(of[b.CPU], b)
	}
	for ; d.whole < len(d.all); d.whole++ {
		each := &d.all[d.whole]
		list := of[each.cpu]
		if len(list) == 0 || list[0].PC != each.registers[dumpPC] || list[0].SP != each.registers[dumpSP] {
			d.fail(fmt.Errorf("sample %d: what is below its stack pointer was not kept", d.whole))
			return
		}
		each.below, of[each.cpu] = list[0].Words, list[1:]
	}
}

// encode makes of a dump what testdata/elfutils/unwind.c reads.
func (d *dumps) encode(i int) []byte {
	var data []byte
	word := func(w uint64) { data = binary.NativeEndian.AppendUint64(data, w) }
	each := &d.all[i]
	for _, r := range each.registers {
		word(r)
	}
	word(uint64(len(each.below)))
	for _, w := range each.below {
		word(w)
	}
	word(uint64(len(each.stack) / 8))
	return append(data, each.stack...)
}

func (d *dumps) fail(err error) {
	if d.wrong == nil {
		d.wrong = err
	}
}
