package bpf

import (
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// haveLoop says whether the kernel has the helper bpf_loop (5.17).
var haveLoop = sync.OnceValue(func() bool {
	return features.HaveProgramHelper(ebpf.PerfEvent, asm.FnLoop) == nil
})
