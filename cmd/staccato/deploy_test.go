package main

import (
	"os"
	"strings"
	"testing"
)

// The service's command line must be one that the program takes.
func TestServiceCommandLine(t *testing.T) {
	unit, err := os.ReadFile("../../deploy/systemd/staccato.service")
	if err != nil {
		t.Fatal(err)
	}
	var command string
	for line := range strings.Lines(string(unit)) {
		if rest, ok := strings.CutPrefix(line, "ExecStart="); ok {
			command = strings.TrimSpace(rest)
		}
	}
	words := strings.Fields(strings.NewReplacer("${STATE_DIRECTORY}", t.TempDir(), "$STACCATO_FLAGS", "--otlp-endpoint=http://localhost:4317").Replace(command))
	if len(words) < 3 || words[1] != "agent" {
		t.Fatalf("ExecStart=%s", command)
	}
	cmd := (&app{}).agentCommand()
	if err := cmd.ParseFlags(words[2:]); err != nil {
		t.Fatal(err)
	}
	if left := cmd.Flags().Args(); len(left) > 0 {
		t.Errorf("%q are no flags", left)
	}
}
