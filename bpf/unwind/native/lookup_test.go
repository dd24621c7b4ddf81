package native

import (
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/tabletest"
)

// kernel looks up rules in the kernel, as the unwinder does.
type kernel struct {
	program *ebpf.Program
	n, used *ebpf.Variable
	queries []query
}

// query is struct query of tabletest.bpf.c.
type query struct {
	chunk, offset uint32
	found, _      uint32
	rule          [ruleWords]uint32
}

// openStore returns a store and a program that looks up in it.
func openStore(t testing.TB, limit int64) (*Store, *kernel) {
	t.Helper()
	spec, err := tabletest.Spec()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	s, err := newStore(objects.Maps, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	queries := objects.Maps["queries"]
	size := int(queries.MaxEntries()) * int(unsafe.Sizeof(query{}))
	memory, err := unix.Mmap(queries.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(memory) })
	return s, &kernel{
		program: objects.Programs["look_up"], n: objects.Variables["n_queries"], used: objects.Variables["window"],
		queries: unsafe.Slice((*query)(unsafe.Pointer(&memory[0])), queries.MaxEntries()),
	}
}

// run answers the first n queries.
func (k *kernel) run(t testing.TB, n int) []query {
	t.Helper()
	err := k.n.Set(uint32(n))
	if err == nil {
		_, err = k.program.Run(&ebpf.RunOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return k.queries[:n]
}

// lookUp answers one query: a rule, or whether there is none, or no table.
func (k *kernel) lookUp(t testing.TB, chunk, offset uint32) query {
	t.Helper()
	k.queries[0] = query{chunk: chunk, offset: offset}
	return k.run(t, 1)[0]
}

// use makes chunks count as used in a window.
func (k *kernel) use(t testing.TB, window uint32, chunks ...uint32) {
	t.Helper()
	if err := k.used.Set(window); err != nil {
		t.Fatal(err)
	}
	for _, chunk := range chunks {
		k.lookUp(t, chunk, 0)
	}
}
