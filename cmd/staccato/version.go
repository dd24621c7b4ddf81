package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			fmt.Fprint(a.stdout, versionText(info))
			return nil
		},
	}
}

// versionText describes this build; info is nil when Go's linker wrote none.
func versionText(info *debug.BuildInfo) string {
	version, revision, changed := "unknown", "unknown", ""
	if info != nil {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " with local changes"
			}
		}
	}
	return fmt.Sprintf("staccato %s\nrevision %s%s\n%s %s/%s\n",
		version, revision, changed, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
