package main

import (
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"

	"github.com/staccato-profiler/staccato/agent"
)

// samplingFlags are the flags of record and agent that say how to sample.
type samplingFlags struct {
	frequency            int
	kernelOnly, userOnly bool
	idle, threadIDs      bool
	indexDir             string
	debuginfod           string
	demangle             string
	flags                *pflag.FlagSet
}

func (f *samplingFlags) add(flags *pflag.FlagSet, hz int, threadIDs bool) {
	flags.IntVarP(&f.frequency, "frequency", "F", hz, "samples per second and CPU, in `Hz`")
	flags.BoolVarP(&f.kernelOnly, "kernel-only", "K", false, "record only the kernel's part of stacks")
	flags.BoolVarP(&f.userOnly, "user-only", "U", false, "record only the user's part of stacks")
	flags.BoolVar(&f.idle, "idle", false, "add the time that CPUs were idle")
	flags.BoolVar(&f.threadIDs, "tid", threadIDs, "tell threads apart in the profile")
	flags.StringVar(&f.demangle, "demangle", "simple", "show C++ and Rust names in this `STYLE`: none, simple or full")
	flags.StringVar(&f.debuginfod, "debuginfod", "",
		"ask the debuginfod servers at these `URLS` for debug files; default $DEBUGINFOD_URLS")
	f.flags = flags
	addIndexDir(flags, &f.indexDir)
}

func addIndexDir(flags *pflag.FlagSet, dir *string) {
	flags.StringVar(dir, "index-dir", "",
		"keep what was read of debugging information in this private `DIR`;\ndefault: /var/cache/staccato/index for root, else in the user's cache folder")
}

func (f *samplingFlags) config() (agent.Config, error) {
	if f.frequency < 1 {
		return agent.Config{}, usageError("-F %d: want a frequency of at least 1 Hz", f.frequency)
	}
	if f.kernelOnly && f.userOnly {
		return agent.Config{}, usageError("-K and -U together leave nothing of a stack")
	}
	style := agent.Demangle(f.demangle)
	if err := style.Check(); err != nil {
		return agent.Config{}, usageError("--%v", err)
	}
	servers, err := f.servers(os.Getenv)
	if err != nil {
		return agent.Config{}, usageError("%s", err)
	}
	return agent.Config{
		Frequency: f.frequency, Idle: f.idle, ThreadIDs: f.threadIDs,
		NoKernel: f.userOnly, NoUser: f.kernelOnly,
		Debuginfod: servers,
		Names:      agent.NamesConfig{IndexDirectory: f.indexDir, Demangle: style},
	}, nil
}

// servers says which debuginfod servers to ask. An empty flag is none, whatever
// the environment says.
func (f *samplingFlags) servers(getenv func(string) string) (agent.Debuginfod, error) {
	urls := strings.Fields(strings.ReplaceAll(f.debuginfod, ",", " "))
	if len(urls) == 0 && (f.flags.Changed("debuginfod") || getenv("DEBUGINFOD_URLS") == "") {
		return agent.Debuginfod{}, nil
	}
	config, err := agent.Debuginfod{URLs: urls}.FromEnvironment(getenv)
	if err == nil {
		err = config.Check()
	}
	config.UserAgent = userAgent()
	return config, err
}

func userAgent() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return "staccato/" + info.Main.Version
	}
	return "staccato"
}
