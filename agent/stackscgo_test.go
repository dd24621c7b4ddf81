package agent

import (
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// Go calls C, which calls Go, and so on: each part is on its own stack, and no frame
// is missing or wrong.
func TestStacksCgo(t *testing.T) {
	for _, mode := range []string{"external", "internal"} {
		t.Run(mode, func(t *testing.T) {
			program := workloads.Build(t, "go/cgo", "-ldflags=-linkmode="+mode)
			p := run(t, program, "60")
			prof := userOnly(ofPIDs(recordWarm(t, 1999, []int{p.pid()}, 4000), p.pid()))
			checkComplete(t, prof, 0.995)
			checkCgo(t, prof, 0.995)
		})
	}
}

// As programs are linked that call no C but that of Go's own packages.
func TestStacksCgoOfPackages(t *testing.T) {
	p := run(t, workloads.Build(t, "go/users", "-ldflags=-s -w"), "60")
	prof := userOnly(ofPIDs(recordWarm(t, 1999, []int{p.pid()}, 3000), p.pid()))
	checkComplete(t, prof, 0.995)
	chain := []string{"runtime.asmcgocall", "runtime.cgocall", "os/user._Cfunc_mygetpwuid_r", "os/user.LookupId", "main.look", "main.main", "runtime.main", "runtime.goexit"}
	var in, whole int64
	for _, sample := range prof.Profile.Sample {
		names := functions(sample)
		if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "_cgo_") && strings.HasSuffix(n, "_mygetpwuid_r") }) {
			continue
		}
		in += sample.Value[0]
		if inOrder(names, chain...) {
			whole += sample.Value[0]
		}
	}
	t.Logf("%d samples in C code, %d with their callers", in, whole)
	if in < 300 || float64(whole) < 0.995*float64(in) {
		t.Errorf("%d samples in C code, %d with their callers", in, whole)
		logStacks(t, prof, 10)
	}
}

var (
	cgoHash = regexp.MustCompile(`_[0-9a-f]{12}_`)
	// From C down to Go, and from Go to C.
	calledByGo = []string{"outer", "_cgo_Cfunc_outer", "runtime.asmcgocall", "runtime.cgocall", "main._Cfunc_outer"}
	calledByC  = []string{"main.backToGo", "_cgoexp_backToGo", "runtime.cgocallbackg1", "runtime.cgocallbackg", "runtime.cgocallback", "crosscall2", "backToGo", "middle"}
	calledOnce = slices.Concat(calledByGo, []string{"main.cross", "main.main.func2", "runtime.goexit"})
	calledFrom = map[string][][]string{
		"middle":    {calledOnce, slices.Concat(calledByGo, calledByC, calledOnce)},
		"main.work": {slices.Concat(calledByC, calledByGo, calledByC, calledOnce)},
	}
)

// checkCgo fails unless the samples in go/cgo's functions have all of their callers, but
// for a few.
func checkCgo(t *testing.T, p *Profile, least float64) {
	t.Helper()
	in, whole, all := map[string]int64{}, map[string]int64{}, int64(0)
	for _, sample := range p.Profile.Sample {
		names := functions(sample)
		for i := range names {
			names[i] = cgoHash.ReplaceAllString(names[i], "_")
		}
		all += sample.Value[0]
		// The assembler's function and the one that the compiler makes for it have one name.
		names = slices.Compact(names)
		at := slices.IndexFunc(names, func(n string) bool { return calledFrom[n] != nil || n == "main.deep" })
		if at < 0 {
			continue
		}
		function, callers := names[at], names[at+1:]
		if function == "main.work" && len(callers) > 0 && callers[0] == "main.deep" {
			callers = callers[1:]
		}
		if function == "main.deep" {
			function = "main.work"
		}
		in[function] += sample.Value[0]
		if slices.ContainsFunc(calledFrom[function], func(want []string) bool { return slices.Equal(callers, want) }) {
			whole[function] += sample.Value[0]
		} else {
			t.Logf("%d: %s", sample.Value[0], strings.Join(names, " < "))
		}
	}
	t.Logf("%d samples, %v in functions, %v with their callers", all, in, whole)
	for function := range calledFrom {
		if in[function] < all/20 || float64(whole[function]) < least*float64(in[function]) {
			t.Errorf("of %d samples, %d in %s, %d with its callers", all, in[function], function, whole[function])
		}
	}
}

// So it is from the first sample on, of which copies of the stacks are walked: 16 KiB of
// one and a piece of the other, which are not always enough.
func TestFirstSamplesCgo(t *testing.T) {
	for _, mode := range []string{"external", "internal"} {
		t.Run(mode, func(t *testing.T) {
			program := workloads.Build(t, "go/cgo", "-ldflags=-linkmode="+mode)
			cmd := exec.Command("/bin/sh", "-c", `while :; do "$0" 0.05; done`, program)
			release := startStopped(t, cmd)
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			prof := userOnly(recordFirst(t, cmd.Process.Pid, release))
			prof.Profile.Sample = slices.DeleteFunc(prof.Profile.Sample, func(s *profile.Sample) bool {
				return !slices.Equal(s.Label["comm"], []string{"cgo"})
			})
			checkComplete(t, prof, 0.93) // nor are those that grow
			checkCgo(t, prof, 0.95)
		})
	}
}
