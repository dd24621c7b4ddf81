package main

import (
	"strings"

	"github.com/staccato-profiler/staccato/bpf/without"
	"github.com/staccato-profiler/staccato/testdata/vm/plan"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// planFor lists what to run on a kernel.
func planFor(k kernel) []plan.Run {
	if k.refused() {
		return []plan.Run{testRun("refusal", "guest.test", []string{"-test.run=^(TestFeatures|TestRefusal)$"}, "STACCATO_VM_REFUSED=1")}
	}
	endToEnd := "TestRefusal|TestLockdown"
	if k.arch == "amd64" {
		// The host's tests walk the same stacks, and more.
		endToEnd += "|TestGoStacks|TestCStacks|TestCgoStacks"
	}
	all := without.Variable + "=" + strings.Join(without.All, ",")
	return []plan.Run{
		// Costs mean nothing in an emulated machine.
		testRun("bpf", "bpf.test", []string{"-test.skip=^TestCost$"}),
		// These compile programs.
		testRun("bpf/sideband", "sideband.test", []string{"-test.skip=^(TestExec|TestLost|TestMany)$"}),
		testRun("bpf/unwind/native", "native.test", []string{"-test.run=^TestWalk"}),
		testRun("end to end", "guest.test", []string{"-test.skip=^(" + endToEnd + ")$"}),
		testRun("end to end, single features off", "guest.test", []string{"-test.run=^(TestC|TestGo|TestBuildIDs|TestHotPlug)$"}, all),
		testRun("locked down", "guest.test", []string{"-test.run=^TestLockdown$"}),
	}
}

func testRun(name, program string, flags []string, env ...string) plan.Run {
	return plan.Run{
		Name: name,
		Args: append([]string{"/t/" + program, "-test.v=test2json", "-test.timeout=8m"}, flags...),
		Env:  append(env, workloads.Prebuilt+"=/w"),
	}
}
