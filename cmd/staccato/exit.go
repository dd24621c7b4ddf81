package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato/agent"
)

// The exit codes, as docs/CLI.md explains them to users.
const (
	exitOK         = 0
	exitFailure    = 1
	exitUsage      = 2
	exitPermission = 3
	exitNoTarget   = 4
	exitNoSamples  = 5
	exitCondition  = 6

	// With a command to run, any other code is the command's own.
	exitOwnFailure    = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// exitError is an error that decides the exit code and says what to do.
type exitError struct {
	code int
	// err is what failed and why; nil means that there is nothing to say.
	err error
	// hints are printed below, one a line.
	hints []string
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// report prints an error with what to do about it, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	exit := a.explain(err)
	if exit.err != nil {
		fmt.Fprintf(a.stderr, "staccato: %v\n", exit.err)
	}
	for _, hint := range exit.hints {
		fmt.Fprintf(a.stderr, "  %s\n", hint)
	}
	return exit.code
}

// explain finds exit code and hints of errors that come without.
func (a *app) explain(err error) *exitError {
	var exit *exitError
	switch {
	case errors.As(err, &exit):
		inner := exit.err
		// Codes of the command to run win over ours; hints stay.
		if exit.code == exitOwnFailure && len(exit.hints) == 0 && inner != nil {
			exit.hints = a.explain(inner).hints
		}
		if exit.code == exitUsage && len(exit.hints) == 0 {
			exit.hints = []string{"See: staccato --help, or staccato COMMAND --help"}
		}
		return exit
	case errors.Is(err, agent.ErrPermission):
		return &exitError{exitPermission, err, []string{
			"Run:  sudo " + quoteArgs(a.args),
			"To see what is missing:  staccato doctor",
		}}
	case errors.Is(err, agent.ErrNoTarget):
		return &exitError{exitNoTarget, err, nil}
	}
	return &exitError{exitFailure, err, nil}
}

// usageErrors makes what cobra finds wrong on a command line exit with
// exitUsage.
func usageErrors(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError("%w", err) })
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				var exit *exitError
				if errors.As(err, &exit) {
					return err
				}
				return usageError("%w", err)
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		usageErrors(sub)
	}
}

// quoteArgs writes a command line so that it can be pasted into a shell.
func quoteArgs(args []string) string {
	var quoted []string
	for _, arg := range args {
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+./:,@%", r)
		}) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		quoted = append(quoted, arg)
	}
	return strings.Join(quoted, " ")
}
