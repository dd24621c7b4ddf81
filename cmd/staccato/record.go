package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
)

const (
	defaultRecordHz = 99
	// namesWait is how long the end of a recording waits for names: for debug
	// files of servers, and for debug information that is being read. A file is
	// read as soon as it comes, so these are not two waits one after the other;
	// and who sits there has an idea of a minute, and Ctrl-C.
	namesWait = time.Minute
)

// recordOptions are the flags of record.
type recordOptions struct {
	sampling samplingFlags
	target   targetFlags
	duration duration
	output   string
	// keepOld says that the output is not the user's choice.
	keepOld   bool
	callGraph string
	stacks    bool // -g: they always are recorded
	verbose   bool
}

func (a *app) recordCommand() *cobra.Command {
	var o recordOptions
	cmd := &cobra.Command{
		Use:   "record [flags] (-p PIDs | -n NAME | -u USER | -G CGROUP | -a | -- COMMAND [ARGS])",
		Short: "Sample processes and write a profile",
		Long: "Record samples processes until -d is over, Ctrl-C, or all of them have ended, and\n" +
			"writes a profile. With a COMMAND it samples that from its first instruction to\n" +
			"its end; with a COMMAND and another target, that other target while the COMMAND\n" +
			"runs. Stacks of kernel and user are always recorded.",
		Example: "  staccato record -a -d 10                 # the whole host for ten seconds\n" +
			"  staccato record -p 4242 -o %p-%t.pb.gz   # one process, until Ctrl-C\n" +
			"  staccato record -a -d 10 -o host.html    # one file that shows it in a browser\n" +
			"  staccato record -F 999 -- make -j4       # a command and its children\n" +
			"  staccato record -a -o out.folded -- sleep 5",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && cmd.ArgsLenAtDash() != 0 {
				return usageError("unexpected %q: put -- before a command to run", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.keepOld = !cmd.Flags().Changed("output")
			return a.record(o, args)
		},
	}
	flags := cmd.Flags()
	o.target.add(flags)
	o.sampling.add(flags, defaultRecordHz, true)
	flags.IntVarP(&o.sampling.frequency, "rate", "r", defaultRecordHz, "same as -F, in `Hz`")
	flags.VarP(&o.duration, "duration", "d", "stop after this `TIME` (10, 10s, 1m); default: Ctrl-C or the target's end")
	flags.StringVarP(&o.output, "output", "o", defaultOutput,
		"write to this `FILE`: .pb.gz, .pb (pprof), .html, .folded or\n.speedscope.json; - is standard output; %p, %t, %h stand for PID, time, host")
	flags.BoolVarP(&o.stacks, "stacks", "g", true, "accepted for those used to perf: stacks are always recorded")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "print every counter at the end")
	flags.StringVar(&o.callGraph, "call-graph", "", "accepted for those used to perf: `fp` or dwarf")
	return cmd
}

// record checks everything that can be checked before anything is started.
func (a *app) record(o recordOptions, args []string) error {
	config, err := o.sampling.config()
	if err != nil {
		return err
	}
	if config.Target, err = o.target.target(); err != nil {
		return err
	}
	config.Names.Wait = namesWait
	if !o.target.given() && len(args) == 0 {
		return &exitError{exitUsage, errors.New("nothing to record"), []string{
			"Choose processes with -p PIDs, -n NAME, -u USER or -G CGROUP, the whole host with -a,",
			"or a command to run:  staccato record -- COMMAND",
		}}
	}
	switch o.callGraph {
	case "", "fp":
	case "dwarf":
		fmt.Fprintln(a.stderr, "Note: --call-graph dwarf changes nothing: stacks are walked by frame pointers.")
	default:
		return usageError("--call-graph %s: want fp or dwarf", o.callGraph)
	}
	format, err := formatOf("-o", o.output)
	if err != nil {
		return err
	}
	if o.output == "-" && a.stdoutTerminal {
		return usageError("-o -: a pprof file is nothing for a terminal; send it to a file or a pipe")
	}
	if o.output == "-" && len(args) > 0 {
		return usageError("-o -: the command's own output would be mixed with the profile")
	}
	if _, err := expand(o.output, os.Getpid(), time.Now()); err != nil {
		return err
	}

	r := recording{app: a, verbose: o.verbose, config: config, targetGiven: o.target.given(), duration: time.Duration(o.duration)}
	err = r.run(o, format.write, args)
	var exit *exitError
	if err != nil && len(args) > 0 && !errors.As(err, &exit) {
		// The command's own exit codes begin at 0, so ours must be apart.
		return &exitError{code: exitOwnFailure, err: err}
	}
	return err
}
