package bpf

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// broken is the native unwinder with a fault that only the verifier finds: it
// reads memory behind a map's value.
type broken struct{ *native.Unwinder }

func (b broken) Spec() (*ebpf.CollectionSpec, error) {
	spec, err := b.Unwinder.Spec()
	if err != nil {
		return nil, err
	}
	p := spec.Programs[b.Program()]
	for i, ins := range p.Instructions {
		if ins.OpCode.Class() == asm.LdXClass && ins.Src != asm.R1 && ins.Src != asm.R10 {
			p.Instructions[i].Offset = 0x7ff8
			return spec, nil
		}
	}
	return nil, errors.New("no instruction to break")
}

func TestRejectedProgramIsExplained(t *testing.T) {
	_, err := Load(Config{Frequency: 99, Unwinders: []Unwinder{broken{&native.Unwinder{}}}})
	var r *RejectedError
	if !errors.As(err, &r) {
		t.Fatalf("%T %v", err, err)
	}
	t.Log(err)
	// Older kernels print the line's text without its place.
	if !strings.Contains(r.Line, "s->") {
		t.Errorf("no C line: %q", r.Line)
	}
	if len(r.Log) == 0 || len(r.Log) > keptLogLines || !strings.Contains(strings.Join(r.Log, "\n"), "invalid access to map value") {
		t.Errorf("log: %q of\n%s", r.Log, strings.Join(verifierError(err).Log, "\n"))
	}
	if r.Hint == "" || r.Object != "native" {
		t.Errorf("object %q, hint %q", r.Object, r.Hint)
	}
	if errors.Is(err, ErrPermission) {
		t.Error("taken for a lack of permission")
	}
}

// Logs of other kernels, and what they become.
func TestLastLines(t *testing.T) {
	for _, test := range []struct {
		name   string
		log    []string
		source string
		last   string
		hint   string
	}{
		{"helper missing", []string{
			"0: (bf) r6 = r1", "; bpf_loop(512, step_in_loop, &s, 0); @ native.bpf.c:120",
			"unknown func bpf_loop#181", "processed 12 insns (limit 1000000) max_states_per_insn 0",
		}, "bpf_loop(512, step_in_loop, &s, 0); @ native.bpf.c:120", "unknown func bpf_loop#181", "5.15"},
		{"Linux 7.3", []string{
			"; if (!s->started) { @ native.bpf.c:133", "11: (71) r1 = *(u8 *)(r6 +32760)", "invalid access to map value, value_size=8872 off=32760 size=1",
			"", "Verification failed: Memory Safety: Access outside bounds", "", "Reason:", "  The verifier cannot prove it.", "Causal path:", "  ; x",
		}, "if (!s->started) { @ native.bpf.c:133", "invalid access to map value, value_size=8872 off=32760 size=1", "doctor"},
		{"no source", []string{"R1 !read_ok"}, "", "R1 !read_ok", "doctor"},
	} {
		t.Run(test.name, func(t *testing.T) {
			source, last := lastLines(test.log)
			if source != test.source || last[len(last)-1] != test.last || !strings.Contains(hint(last), test.hint) {
				t.Errorf("got %q, %q, %q", source, last, hint(last))
			}
		})
	}
}
