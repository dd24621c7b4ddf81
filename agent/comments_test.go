package agent

import (
	"slices"
	"testing"

	"github.com/staccato-profiler/staccato/agent/merge"
)

// The comments tell of the worst names only, and of none whose stacks are whole.
func TestIncomplete(t *testing.T) {
	list := []merge.Completeness{
		{Name: "java", PID: 7, Samples: 400, Complete: 100, Truncated: map[string]uint64{"no frame pointer": 299, "too deep": 1}},
		{Name: "sh", Samples: 3, Complete: 2, Truncated: map[string]uint64{"stack copied in part": 1}},
		{Name: "cat", PID: 8, Samples: 1000, Complete: 1000},
	}
	want := []string{
		"stacks complete, java (PID 7): 25.00% of 400 samples; truncated: no frame pointer 299, too deep 1",
		"stacks complete, sh: 66.67% of 3 samples; truncated: stack copied in part 1",
	}
	if got := incomplete(list); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := incomplete(slices.Repeat(list[:1], 8)); len(got) != incompleteNames {
		t.Errorf("%d lines", len(got))
	}
}
