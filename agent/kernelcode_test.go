package agent

import (
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

func TestKernelCode(t *testing.T) {
	const base = 0xffffffffc0000000
	var k kernelCode
	begin := time.Now()
	nameAt := func(address uint64, now time.Time) string {
		f := &staccato.Frame{Kind: staccato.KindKernel, Address: address}
		k.name([]*staccato.Frame{f}, now)
		if len(f.Lines) == 0 {
			return ""
		}
		return f.Lines[0].Function.Name
	}
	symbol := func(name string, offset uint64, length uint32, gone bool) sideband.Symbol {
		return sideband.Symbol{Addr: base + offset, Len: length, Name: name, Unregister: gone}
	}
	later := begin.Add(keepGone - time.Second)
	muchLater := begin.Add(keepGone + time.Second)
	for _, step := range []struct {
		take   sideband.Symbol
		now    time.Time
		at     uint64
		want   string
		reason string
	}{
		{symbol("a", 0x100, 0x10, false), begin, 0x100, "a", "its first byte"},
		{symbol("b", 0x110, 0x10, false), begin, 0x10f, "a", "its last byte"},
		{symbol("c", 0x130, 0x10, false), begin, 0x120, "", "between two"},
		{symbol("a", 0x100, 0x10, true), begin, 0x108, "a", "gone just now"},
		{symbol("old", 0x200, 0x10, true), begin, 0x208, "old", "gone, and was there before us"},
		{symbol("empty", 0x300, 0, false), later, 0x300, "", "no bytes"},
		{symbol("end", 0x40000000-0x10, 0x20, false), later, 0x40000000 - 0x8, "", "over the end of memory"},
		{symbol("new", 0x108, 0x10, false), later, 0x108, "new", "in place of two others"},
		{symbol("d", 0x400, 0x10, false), later, 0x111, "new", "still"},
		{symbol("e", 0x500, 0x10, false), muchLater, 0x208, "", "gone for long"},
		{symbol("f", 0x600, 0x10, false), muchLater, 0x130, "c", "there for long"},
	} {
		if !k.take(step.take, step.now) {
			t.Fatalf("no room for %+v", step.take)
		}
		if got := nameAt(base+step.at, step.now); got != step.want {
			t.Errorf("%#x (%s): %q, want %q", step.at, step.reason, got, step.want)
		}
	}
}

func TestKernelCodeIsBounded(t *testing.T) {
	var k kernelCode
	now := time.Now()
	for i := range uint64(maxKernelCode) {
		if !k.take(sideband.Symbol{Addr: 1<<63 + 16*i, Len: 16, Name: "x"}, now) {
			t.Fatalf("no room for symbol %d", i)
		}
	}
	more := sideband.Symbol{Addr: 1<<63 + 16*maxKernelCode, Len: 16, Name: "x"}
	if k.take(more, now) || len(k.list) != maxKernelCode {
		t.Errorf("%d symbols", len(k.list))
	}
	if !k.take(sideband.Symbol{Addr: 1 << 63, Len: 16, Name: "x", Unregister: true}, now) {
		t.Error("no room for the end of a symbol that is there")
	}
	if !k.take(more, now.Add(keepGone+time.Second)) {
		t.Error("no room after one was gone for long")
	}
}
