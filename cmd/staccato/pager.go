package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// page shows text: through $PAGER when standard output is a terminal that the
// text does not fit on, else as it is.
func (a *app) page(text []byte, noPager bool) error {
	pager, set := a.lookupEnv("PAGER")
	if !set {
		pager = "less"
	}
	fits := bytes.Count(text, []byte("\n")) < a.stdoutHeight
	if !a.stdoutTerminal || noPager || fits || pager == "" || pager == "cat" {
		_, err := a.stdout.Write(text)
		return explainWrite(err)
	}
	// As a shell runs it, since it may have arguments.
	cmd := exec.Command("sh", "-c", pager)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(text), a.stdout, a.stderr
	cmd.Env = os.Environ()
	if _, set := a.lookupEnv("LESS"); !set {
		// End at the end of what fits, pass colours on, keep the text on screen.
		cmd.Env = append(cmd.Env, "LESS=FRX")
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 127 {
		fmt.Fprintf(a.stderr, "Note: there is no pager %s; --no-pager does without.\n", printable(pager))
		_, err = a.stdout.Write(text)
		return explainWrite(err)
	}
	if errors.As(err, &exit) || err != nil && strings.Contains(err.Error(), "broken pipe") {
		// The user left it before the end, or it was stopped: that is no failure of
		// ours.
		return nil
	}
	if err != nil {
		return fmt.Errorf("run pager: %w", err)
	}
	return nil
}

func explainWrite(err error) error {
	if err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}
