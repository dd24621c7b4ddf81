package bpf

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/without"
)

// gracePeriod waits until every BPF program that is running now has ended. A
// sleep would not promise that, and the expedited forms of membarrier do not
// wait for RCU at all.
type gracePeriod struct {
	outer, inner *ebpf.Map
}

const membarrierGlobal = 1 // MEMBARRIER_CMD_GLOBAL: synchronize_rcu()

func (g *gracePeriod) wait() error {
	if g.outer == nil {
		errno := unix.ENOSYS
		if !without.Set(without.Barrier) {
			_, _, errno = unix.Syscall(unix.SYS_MEMBARRIER, membarrierGlobal, 0, 0)
		}
		if errno == 0 {
			return nil
		}
		// Kernels with nohz_full CPUs have no global membarrier.
		if err := g.useMaps(); err != nil {
			return fmt.Errorf("wait for running programs: %w", errors.Join(errno, err))
		}
	}
	// The kernel waits for RCU before it lets go of the map that was there.
	if err := g.outer.Put(uint32(0), g.inner); err != nil {
		return fmt.Errorf("wait for running programs: %w", err)
	}
	return nil
}

func (g *gracePeriod) useMaps() error {
	inner := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	m, err := ebpf.NewMap(inner)
	if err != nil {
		return err
	}
	o, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1, InnerMap: inner})
	if err != nil {
		m.Close()
		return err
	}
	g.outer, g.inner = o, m
	return nil
}

func (g *gracePeriod) close() {
	if g.outer != nil {
		g.outer.Close()
		g.inner.Close()
	}
}
