package merge

import (
	"reflect"
	"testing"

	"github.com/staccato-profiler/staccato"
)

// Samples count by the name of their process, if they have a user part.
func TestCompleteness(t *testing.T) {
	kernel, user := &staccato.Frame{Kind: staccato.KindKernel, Address: 1 << 63}, &staccato.Frame{Kind: staccato.KindNative, Address: 4096}
	marker := func(text string) *staccato.Frame { return staccato.Marker(staccato.KindLost, text) }
	cutKernel, cut, lost := marker("[truncated: kernel stack]"), marker("[truncated: too deep]"), marker("[lost: table full]")
	idle := staccato.Marker(staccato.KindIdle, "[idle]")
	frames := []*staccato.Frame{kernel, user, cutKernel, cut, lost, idle}
	for i, f := range frames {
		f.Index = int32(i)
	}
	one, two, sh := &staccato.Process{PID: 1, Name: "twice"}, &staccato.Process{PID: 2, Name: "twice"}, &staccato.Process{PID: 3, Name: "sh"}
	thread := &staccato.Process{PID: 4, Name: "kworker"}
	m := New(Config{Period: 1})
	m.Add([]staccato.Sample{
		{Process: one, Stack: staccato.Stack{user}, Count: 5},
		{Process: two, Stack: staccato.Stack{kernel, user}, Count: 7},
		{Process: two, Stack: staccato.Stack{user, cut}, Count: 2},
		{Process: one, Stack: staccato.Stack{kernel, cutKernel, user}, Count: 1},
		{Process: sh, Stack: staccato.Stack{cut}, Count: 4},
		{Process: sh, Stack: staccato.Stack{kernel}, Count: 8},
		{Process: thread, Stack: staccato.Stack{kernel}, Count: 16},
		{Process: thread, Stack: staccato.Stack{kernel, cutKernel}, Count: 32},
		{Process: &staccato.Process{}, Stack: staccato.Stack{lost}, Count: 64},
		{Process: &staccato.Process{}, Stack: staccato.Stack{idle}, Count: 128},
	}, frames)
	want := []Completeness{
		{Name: "sh", PID: 3, Samples: 4, Truncated: map[string]uint64{"too deep": 4}},
		{Name: "twice", Samples: 15, Complete: 12, Truncated: map[string]uint64{"too deep": 2, "kernel stack": 1}},
	}
	if got := m.Completeness(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
