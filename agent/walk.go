package agent

import (
	"github.com/staccato-profiler/staccato/agent/process"
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// maxFrames is how many user frames a stack has at most (MAX_USER_FRAMES of the
// kernel side).
const maxFrames = 512

// ends says why a stack is not whole.
var ends = map[native.End]string{
	native.NoFramePointer: "no frame pointer",
	native.BeyondCopy:     "stack copied in part",
	native.TooDeep:        "too deep",
	native.NoGoroutine:    "goroutine not found",
	native.OtherRule:      "unsupported unwind rule",
}

// tooCostly is why stacks are not whole when a user has used up the time for
// unwinding that users have.
const tooCostly = "its user has used up the time for unwinding"

// Unwind implements bpf.Normalizer.
func (p *processes) Unwind(pid uint32, generation uint64, s *bpf.UserStack) ([]bpf.UserFrame, string) {
	image := p.table.Image(pid, generation)
	find := func(address uint64) (f bpf.UserFrame, known bool) {
		if image == nil {
			return bpf.UserFrame{Address: address}, false
		}
		m, elf, found := image.LookupAt(address, s.Time)
		if found == process.None {
			return bpf.UserFrame{Address: address}, false
		}
		return bpf.UserFrame{Mapping: m, Address: elf}, true
	}
	user, held := p.table.User(pid, generation), false
	registers := native.Registers{PC: s.PC, SP: s.SP, FP: s.FP, RBX: s.RBX, LR: s.LR, General: s.General}
	memory := native.Memory{{Start: native.StartOfCopy(s.SP), Words: s.Words}, {Start: s.MoreAt, Words: s.More}}
	steps, end := native.Walk(registers, memory, maxFrames, func(address uint64) (native.Rule, native.Code) {
		f, known := find(address)
		switch {
		case !known:
			return native.Rule{}, native.Unknown
		case f.Mapping == nil || f.Mapping.Generated != nil:
			return native.Rule{}, native.Bare
		}
		r, ok := p.tables.rule(f.Mapping, f.Address, user)
		if !ok {
			held = true
			return native.Rule{}, native.Bare
		}
		return r, native.Ruled
	})
	frames := make([]bpf.UserFrame, len(steps))
	for i, step := range steps {
		look := step.PC
		if step.Return {
			look--
		}
		frames[i], _ = find(look)
		frames[i].Address += step.PC - look
		frames[i].Return = step.Return
	}
	if held {
		return frames, tooCostly
	}
	return frames, ends[end]
}
