package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func readDocs(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(here, "..", "..", "docs", "CLI.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// docs/CLI.md explains every command, every flag and every exit code.
func TestDocsAreComplete(t *testing.T) {
	docs := readDocs(t)
	for _, code := range []int{exitOK, exitFailure, exitUsage, exitPermission, exitNoTarget, exitNoSamples, exitCondition, exitOwnFailure, exitNotExecutable, exitNotFound} {
		if row := fmt.Sprintf("| %d |", code); !strings.Contains(docs, row) {
			t.Errorf("no row %q in the table of exit codes", row)
		}
	}
	var check func(*cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.HasParent() && !strings.Contains(docs, "## `"+cmd.CommandPath()) {
			t.Errorf("no section about %q", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(docs, "`--"+f.Name) && !strings.Contains(docs, ", `--"+f.Name) {
				t.Errorf("%s: nothing about --%s", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			check(sub)
		}
	}
	check(newTestApp(t).rootCommand())
}
