package bpf

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/without"
)

func TestUnsupportedErrorSaysWhatIsMissing(t *testing.T) {
	loops := Feature{Name: "loops", Since: "5.30"}
	types := Feature{Name: "types"}
	for _, test := range []struct {
		missing []Feature
		want    []string
	}{
		{[]Feature{loops}, []string{"5.1.2-x", "no loops (Linux 5.30)", "5.15", "RHEL 9"}},
		{[]Feature{types}, []string{"no types:", "CONFIG_DEBUG_INFO_BTF"}},
		{[]Feature{loops, types}, []string{"no loops (Linux 5.30), no types: staccato needs Linux 5.15"}},
	} {
		got := (&UnsupportedError{"5.1.2-x", test.missing}).Error()
		for _, want := range test.want {
			if !strings.Contains(got, want) {
				t.Errorf("%q lacks %q", got, want)
			}
		}
	}
}

// Kernels that everything else is tested on have all that is needed, and what
// is found agrees with what the rest of the package found out by itself.
func TestFeatures(t *testing.T) {
	find := func() map[string]Feature {
		r, err := Check(Config{Frequency: 99, Unwinders: []Unwinder{&native.Unwinder{}}})
		if err != nil {
			t.Fatal(err)
		}
		found := make(map[string]Feature)
		for _, f := range r.Features {
			found[f.Name] = f
		}
		return found
	}
	for _, f := range find() {
		t.Logf("%s (Linux %s): %v", f.Name, f.Since, f.Have)
		if f.Needed && !f.Have {
			t.Errorf("no %s", f.Name)
		}
		if f.Needed != (f.Without == "") {
			t.Errorf("%s: needed %v, without it: %q", f.Name, f.Needed, f.Without)
		}
	}
	t.Setenv(without.Variable, strings.Join(without.All, ","))
	for _, f := range find() {
		if f.Have != f.Needed {
			t.Errorf("with %s: %s: %v", without.Variable, f.Name, f.Have)
		}
	}
}

// Since Linux 5.11, maps count as their owner's memory and no more against the
// limit of locked memory.
func TestNoLockedMemoryIsNeeded(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 0, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	defer unix.Setrlimit(unix.RLIMIT_MEMLOCK, &old)
	s, err := Load(Config{Frequency: 99, Unwinders: []Unwinder{&native.Unwinder{}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
}
