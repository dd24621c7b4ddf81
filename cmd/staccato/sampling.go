package main

import (
	"github.com/spf13/pflag"

	"github.com/staccato-profiler/staccato/agent"
)

// samplingFlags are the flags of record and agent that say how to sample.
type samplingFlags struct {
	frequency            int
	kernelOnly, userOnly bool
	idle, threadIDs      bool
}

func (f *samplingFlags) add(flags *pflag.FlagSet, hz int, threadIDs bool) {
	flags.IntVarP(&f.frequency, "frequency", "F", hz, "samples per second and CPU, in `Hz`")
	flags.BoolVarP(&f.kernelOnly, "kernel-only", "K", false, "record only the kernel's part of stacks")
	flags.BoolVarP(&f.userOnly, "user-only", "U", false, "record only the user's part of stacks")
	flags.BoolVar(&f.idle, "idle", false, "add the time that CPUs were idle")
	flags.BoolVar(&f.threadIDs, "tid", threadIDs, "tell threads apart in the profile")
}

func (f *samplingFlags) config() (agent.Config, error) {
	if f.frequency < 1 {
		return agent.Config{}, usageError("-F %d: want a frequency of at least 1 Hz", f.frequency)
	}
	if f.kernelOnly && f.userOnly {
		return agent.Config{}, usageError("-K and -U together leave nothing of a stack")
	}
	return agent.Config{
		Frequency: f.frequency, Idle: f.idle, ThreadIDs: f.threadIDs,
		NoKernel: f.userOnly, NoUser: f.kernelOnly,
	}, nil
}
