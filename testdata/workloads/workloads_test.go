package workloads_test

import (
	"debug/elf"
	"encoding/json"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// Every program builds without warnings, runs, and ends by itself.
func TestBuildAndRun(t *testing.T) {
	for _, test := range []struct {
		source string
		args   []string
	}{
		{"c/split.c", []string{"0.2"}},
		{"c/deep.c", []string{"500", "0.1"}},
		{"c/manystacks.c", []string{"0.1"}},
		{"c/threads.c", []string{"4", "0.1"}},
		{"c/forks.c", []string{"100", "1", "0.2"}},
		{"c/spawn.c", []string{"100", "0.2", "/bin/true"}},
		{"c/idle.c", []string{"150", "0.2"}},
		{"c/paced.c", []string{"0.1"}},
		{"c/badfp.c", []string{"0.1"}},
		{"cpp/mixed.cc", []string{"0.1"}},
		{"c/stacks.c", []string{"realigned", "0.1"}},
		{"cpp/throws.cc", []string{"0.1"}},
		{"cpp/server.cc", []string{"0", "0.1"}},
		{"cpp/templates.cc", []string{"0.1"}},
		{"go/cgo", []string{"0.1"}},
		{"go/users", []string{"0.1"}},
		{"go/chain", []string{"0.1"}},
		{"go/shapes", []string{"garbage", "0.1"}},
	} {
		t.Run(test.source, func(t *testing.T) {
			t.Parallel()
			program := workloads.Build(t, test.source)
			if out, err := exec.Command(program, test.args...).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
			if err := exec.Command(program).Run(); err == nil {
				t.Error("without arguments it succeeds")
			}
		})
	}
}

func TestSplitShares(t *testing.T) {
	program := workloads.Build(t, "c/split.c")
	for _, test := range []struct {
		args []string
		want map[string]float64
		near float64
	}{
		{[]string{"1"}, map[string]float64{"sixty": 0.6, "thirty": 0.3, "ten": 0.1}, 0.05},
		{[]string{"1", "rare"}, map[string]float64{"ninetynine": 0.99, "one": 0.01}, 0.005},
	} {
		out, err := exec.Command(program, test.args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]float64
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v in %q", err, out)
		}
		// The work is split exactly; CPU time is not where a CPU is shared.
		for name, want := range test.want {
			if math.Abs(got[name]-want) > test.near {
				t.Errorf("%s took %v of the CPU time, want about %v", name, got[name], want)
			}
		}
	}
}

// The functions that tests look for exist, and the one that should be inlined
// has no code of its own.
func TestChainSymbols(t *testing.T) {
	f, err := elf.Open(workloads.Build(t, "go/chain"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	has := make(map[string]bool)
	for _, s := range symbols {
		has[s.Name] = true
	}
	for _, name := range []string{"main.main", "main.alpha", "main.beta", "main.gamma"} {
		if !has[name] {
			t.Errorf("no function %s", name)
		}
	}
	if has["main.delta"] {
		t.Error("main.delta is not inlined")
	}
}

func TestForksCounts(t *testing.T) {
	out, err := exec.Command(workloads.Build(t, "c/forks.c"), "50", "0.1", "0.5").Output()
	if err != nil {
		t.Fatal(err)
	}
	// 25 are due; on a machine that is busy some come too late.
	if n, err := strconv.Atoi(strings.TrimSpace(string(out))); err != nil || n < 2 || n > 26 {
		t.Errorf("printed %q, want a number from 2 to 26", out)
	}
}
