package agent

import (
	"testing"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/sideband"
)

const codeBase = 0xffffffffc0000000

// kernelNameAt is what an offset from codeBase is called in a window.
func kernelNameAt(k *kernelCode, offset, from, until uint64) string {
	f := &staccato.Frame{Kind: staccato.KindKernel, Address: codeBase + offset}
	k.name([]*staccato.Frame{f}, from, until)
	if len(f.Lines) == 0 {
		return ""
	}
	return f.Lines[0].Function.Name
}

func TestKernelCode(t *testing.T) {
	const second = 1e9
	type symbol struct {
		time   uint64 // in seconds
		name   string
		offset uint64
		length uint32
		gone   bool
	}
	type question struct {
		at          uint64
		from, until uint64 // in seconds
		want        string
	}
	for _, test := range []struct {
		what string
		news []symbol
		ask  []question
	}{
		{"edges", []symbol{{10, "a", 0x100, 0x10, false}, {10, "b", 0x110, 0x10, false}}, []question{
			{0xff, 10, 20, ""}, {0x100, 10, 20, "a"}, {0x10f, 10, 20, "a"}, {0x110, 10, 20, "b"}, {0x120, 10, 20, ""},
			{0x100, 0, 9, ""}, {0x100, 5, 10, "a"}, {0x100, 1000, 1005, "a"},
		}},
		{"no bytes", []symbol{{10, "a", 0x100, 0, false}}, []question{{0x100, 10, 20, ""}}},
		{"over the end of memory", []symbol{{10, "a", 0x40000000 - 0x10, 0x20, false}}, []question{{0x40000000 - 0x8, 10, 20, ""}}},
		{"removed", []symbol{{10, "a", 0x100, 0x10, false}, {20, "a", 0x100, 0x10, true}}, []question{
			{0x108, 12, 17, "a"}, {0x108, 17, 22, "a"}, {0x108, 21, 26, "a"}, {0x108, 22, 27, ""},
		}},
		{"there before us, and removed", []symbol{{20, "old", 0x100, 0x10, true}}, []question{
			{0x108, 0, 5, "old"}, {0x108, 17, 22, "old"}, {0x108, 25, 30, ""},
		}},
		{"the place is used again", []symbol{{10, "a", 0x100, 0x10, false}, {20, "a", 0x100, 0x10, true}, {20, "b", 0x108, 0x10, false}}, []question{
			{0x108, 12, 17, "a"}, {0x108, 17, 22, "a or b"}, {0x108, 22, 27, "b"}, {0x104, 17, 22, "a"}, {0x114, 17, 22, "b"}, {0x104, 22, 27, ""},
		}},
		{"and its removal was not told", []symbol{{10, "a", 0x100, 0x10, false}, {20, "b", 0x100, 0x20, false}}, []question{
			{0x108, 12, 17, "a"}, {0x108, 17, 22, "a or b"}, {0x108, 21, 26, "b"},
		}},
		{"used again by one that was there before us", []symbol{{20, "old", 0x100, 0x10, true}, {21, "b", 0x100, 0x10, false}}, []question{
			{0x108, 12, 17, "old"}, {0x108, 17, 22, "old or b"}, {0x108, 22, 27, "b"},
		}},
		{"the same again", []symbol{{10, "a", 0x100, 0x10, false}, {20, "a", 0x100, 0x10, true}, {20, "a", 0x100, 0x10, false}}, []question{
			{0x108, 17, 22, "a"}, {0x108, 30, 35, "a"},
		}},
		{"long ago", []symbol{{10, "a", 0x100, 0x10, false}, {20, "a", 0x100, 0x10, true}, {100, "b", 0x200, 0x10, false}}, []question{
			{0x108, 12, 17, ""}, {0x208, 100, 105, "b"},
		}},
	} {
		var k kernelCode
		for _, s := range test.news {
			if !k.take(sideband.Symbol{Time: s.time * second, Addr: codeBase + s.offset, Len: s.length, Name: s.name, Unregister: s.gone}) {
				t.Fatalf("%s: no room for %+v", test.what, s)
			}
		}
		for _, q := range test.ask {
			if got := kernelNameAt(&k, q.at, q.from*second, q.until*second); got != q.want {
				t.Errorf("%s: %#x from %d s to %d s is %q, want %q", test.what, q.at, q.from, q.until, got, q.want)
			}
		}
	}
}

func TestKernelCodeIsBounded(t *testing.T) {
	var k kernelCode
	for i := range uint64(maxKernelCode) {
		if !k.take(sideband.Symbol{Addr: 1<<63 + 16*i, Len: 16, Name: "x"}) {
			t.Fatalf("no room for symbol %d", i)
		}
	}
	more := sideband.Symbol{Addr: 1<<63 + 16*maxKernelCode, Len: 16, Name: "x"}
	if k.take(more) || len(k.list) != maxKernelCode {
		t.Errorf("%d symbols", len(k.list))
	}
	if !k.take(sideband.Symbol{Addr: 1 << 63, Len: 16, Name: "x", Unregister: true}) || !k.take(more) {
		t.Error("no room after one was removed")
	}
	for i := range uint64(2 * maxKernelCode) {
		k.take(sideband.Symbol{Addr: 1 << 63, Len: 16, Name: "x", Unregister: i%2 == 0})
	}
	if len(k.gone) > maxKernelCode {
		t.Errorf("%d symbols that are gone", len(k.gone))
	}
}
