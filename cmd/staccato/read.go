package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/input"
	"github.com/staccato-profiler/staccato/exporter/report"
)

// errInterrupted ends what Ctrl-C or SIGTERM cut short.
var errInterrupted = errors.New("interrupted")

// orStop does something that may take long, or returns errInterrupted at
// Ctrl-C: nothing is lost then.
func (a *app) orStop(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		if a.stop.Err() != nil && errors.Is(err, context.Canceled) {
			return errInterrupted
		}
		return err
	case <-a.stop.Done():
		return errInterrupted
	}
}

// readProfile reads the profile that a command line names.
func (a *app) readProfile(name string, format input.Format) (*profile.Profile, error) {
	if name == "-" && a.stdinTerminal {
		return nil, usageError("-: standard input is a terminal; send a profile to it")
	}
	p, err := input.Read(a.stop, name, input.Config{
		Format: format, Stdin: a.stdin,
		Waiting: func(what string) { fmt.Fprintf(a.stderr, "%s. Ctrl-C to give up.\n", what) },
	})
	if err != nil {
		return nil, explainRead(name, err)
	}
	return p, nil
}

func explainRead(name string, err error) error {
	var format *input.FormatError
	switch {
	case errors.As(err, &format):
		hint := format.Advice
		if hint == "" {
			hint = "Profiles are pprof files (.pb.gz, .pb), folded stacks, or what perf script prints."
		}
		return &exitError{exitFailure, err, []string{hint}}
	case errors.Is(err, fs.ErrNotExist) && name == defaultOutput:
		return &exitError{exitFailure, err, []string{
			"Record one:  sudo staccato record -a -d 10        or name the file to read",
		}}
	}
	return err
}

// explainReport turns what the user got wrong into usage errors.
func explainReport(err error) error {
	var filter *report.FilterError
	var value *report.ValueError
	if errors.As(err, &filter) {
		return usageError("%w", err)
	}
	if errors.As(err, &value) {
		return usageError("--sample-index: %w", err)
	}
	return err
}
