package process

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestSameBytes(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	for _, n := range []int{1, 4095, 4096, 4097, mostCompared * 4096, mostCompared*4096 + 1, 5<<20 + 17} {
		memory, file := make([]byte, 64+n), make([]byte, 100+n)
		random.Read(memory)
		copy(file[100:], memory[64:])
		same := func() bool {
			return sameBytes(bytes.NewReader(memory), 64, bytes.NewReader(file), 100, uint64(n))
		}
		if !same() {
			t.Errorf("%d bytes that are the same are not", n)
		}
		for _, at := range []int{0, n - 1} {
			memory[64+at]++
			if same() {
				t.Errorf("%d bytes are the same, but for the one at %d", n, at)
			}
			memory[64+at]--
		}
		file = file[:99+n]
		if same() {
			t.Errorf("%d bytes are the same as one less", n)
		}
	}
}

func TestSegmentAt(t *testing.T) {
	id := identity{segments: []segment{
		{offset: 0, address: 0, size: 0x1000},
		{offset: 0x1100, address: 0x2100, size: 0x5000, executable: true},
		{offset: 0x8000, address: 0x10000, size: 0x800, executable: true},
	}}
	const bias = 0x555555554000
	for _, test := range []struct {
		address uint64
		segment int // 0: none
	}{
		{bias, 0}, {bias + 0x1fff, 0}, {bias + 0x2000, 1}, {bias + 0x70ff, 1}, {bias + 0x7100, 0},
		{bias + 0x10000, 2}, {bias + 0x107ff, 2}, {bias + 0x10800, 0}, {0, 0}, {^uint64(0), 0},
	} {
		s, got, ok := id.segmentAt(test.address, bias+0x2100, 0xfff)
		if ok != (test.segment > 0) || ok && (got != bias || s != id.segments[test.segment]) {
			t.Errorf("%#x: segment %+v, bias %#x, %t", test.address, s, got, ok)
		}
	}
}
