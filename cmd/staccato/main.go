// Command staccato profiles Linux hosts: record writes a profile to a file,
// agent sends profiles to an OpenTelemetry Collector or keeps the latest as
// files, view shows one, symbolize names addresses. See docs/CLI.md for the options, messages and exit
// codes.
package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/exporter/otlp"
)

// app is what the commands need from outside, so that tests can give their
// own.
type app struct {
	// Data goes to stdout, words to stderr.
	stdin          io.Reader
	stdout, stderr io.Writer
	// terminal says that stderr is one; width is its width in columns.
	terminal bool
	width    int
	// The same for stdout, with its height in lines.
	stdoutTerminal            bool
	stdoutWidth, stdoutHeight int
	stdinTerminal             bool
	// color says that what goes to stdout may have colours.
	color     bool
	lookupEnv func(string) (string, bool)
	// args is the command line, for messages that repeat it.
	args []string
	*interrupts
	// newProfiler loads and attaches what samples, see agent.New.
	newProfiler func(agent.Config) (profiler, error)
	newOTLP     func(otlp.Config) (otlpExporter, error)
	doctor      func() (doctorReport, error)
	// limits says what profiles will lack, see agent.Limits.
	limits func() ([]string, error)
}

func main() { os.Exit(newApp().run(os.Args[1:])) }

func newApp() *app {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	a := &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		terminal:       term.IsTerminal(int(os.Stderr.Fd())),
		stdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		stdinTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		lookupEnv:      os.LookupEnv,
		args:           os.Args,
		newProfiler:    newProfiler,
		newOTLP:        newOTLP,
		doctor:         examine,
		limits:         agent.Limits,
	}
	if width, _, err := term.GetSize(int(os.Stderr.Fd())); err == nil {
		a.width = width
	}
	if width, height, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		a.stdoutWidth, a.stdoutHeight = width, height
	}
	a.color = wantColor(os.Getenv, a.stdoutTerminal)
	a.interrupts = watch(signals, sameSignal)
	return a
}

// run runs one command and returns the exit code.
func (a *app) run(args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return a.report(root.Execute())
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "staccato",
		Short: "Profile every process of a Linux host",
		Long: "Staccato samples the stacks of all processes of a Linux host, the kernel's part\n" +
			"included, and writes profiles that go tool pprof reads or sends them to an\n" +
			"OpenTelemetry Collector.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// Errors are printed by report, with their hints.
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(a.recordCommand(), a.agentCommand(), a.reportCommand(), a.diffCommand(), a.convertCommand(), a.viewCommand(), a.symbolizeCommand(), a.doctorCommand(), a.versionCommand())
	usageErrors(root)
	return root
}
