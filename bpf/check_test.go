package bpf

import (
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

func TestCheckFindsEveryProgramGood(t *testing.T) {
	r, err := Check(Config{Frequency: 99, Unwinders: []Unwinder{&native.Unwinder{}}})
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]bool)
	for _, p := range r.Programs {
		names[p.Name] = true
		t.Logf("%s/%s %s: %d instructions, %d bytes, %s", p.Object, p.Name, p.Type, p.Instructions, p.JITed, p.Attached)
		if p.Err != nil {
			t.Errorf("%s: %v", p.Name, p.Err)
		}
		if p.Instructions == 0 || p.JITed == 0 || p.Attached == "" {
			t.Errorf("%s: something is missing: %+v", p.Name, p)
		}
	}
	for _, want := range []string{"sample_cpu", "unwind_native", "finish", "process_fork", "process_exec", "process_exit", "timer_fired"} {
		if !names[want] {
			t.Errorf("no report of program %s", want)
		}
	}
	for _, f := range r.Findings {
		t.Logf("%+v", f)
		if f.Fatal {
			t.Errorf("fatal: %s", f.What)
		}
	}
}

func TestDescribeCgroups(t *testing.T) {
	for _, test := range []struct {
		v2, v1 []string
		want   string
	}{
		{nil, nil, "none mounted"},
		{nil, []string{"/sys/fs/cgroup/cpu"}, "version 1"},
		{[]string{"/sys/fs/cgroup"}, nil, "version 2 at /sys/fs/cgroup"},
		{[]string{"/sys/fs/cgroup/unified"}, []string{"/sys/fs/cgroup/cpu"}, "version 1, and version 2 at /sys/fs/cgroup/unified"},
	} {
		if got := describeCgroups(test.v2, test.v1); got != test.want {
			t.Errorf("%q, %q: %q, want %q", test.v2, test.v1, got, test.want)
		}
	}
}
