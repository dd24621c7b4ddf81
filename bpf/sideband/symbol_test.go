package sideband

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// A BPF program is announced when it is loaded and when it goes, with the
// address and name that the kernel's own table has.
func TestSymbolOfBPFProgram(t *testing.T) {
	r := open(t, Config{})
	if !r.Symbols() {
		t.Skip("this kernel has no symbol records")
	}
	if jit, err := os.ReadFile("/proc/sys/net/core/bpf_jit_enable"); err == nil && bytes.HasPrefix(jit, []byte("0")) {
		t.Skip("BPF programs are not compiled here")
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "staccato_test",
		Type:         ebpf.SocketFilter,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
		License:      "GPL",
	})
	if err != nil {
		t.Fatal(err)
	}
	info, err := program.Info()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("bpf_prog_%s_staccato_test", info.Tag)
	find := func(unregister bool) (found Symbol) {
		t.Helper()
		if err := r.Drain(func(record Record) {
			if s, ok := record.(Symbol); ok && s.Name == name && s.Unregister == unregister {
				found = s
			}
		}); err != nil {
			t.Fatal(err)
		}
		return found
	}
	added := find(false)
	table, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	if !added.BPF || added.Len == 0 || !bytes.Contains(table, fmt.Appendf(nil, "%016x t %s", added.Addr, name)) {
		t.Errorf("record %+v is not in the kernel's table", added)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	// The kernel frees programs later.
	for range 500 {
		time.Sleep(10 * time.Millisecond)
		if removed := find(true); removed.Addr == added.Addr {
			return
		}
	}
	t.Error("no record of the removal")
}
