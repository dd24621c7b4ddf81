package main

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestHelp(t *testing.T) {
	for _, command := range []string{"", "record", "agent", "report", "diff", "convert", "view", "symbolize", "doctor", "version"} {
		t.Run(command, func(t *testing.T) {
			a := newTestApp(t)
			if code := a.run(append(strings.Fields(command), "--help")); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if a.err.String() != "" {
				t.Errorf("stderr: %s", a.err)
			}
			name := "help.golden"
			if command != "" {
				name = "help-" + command + ".golden"
			}
			golden(t, here, name, a.out.String())
		})
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		a := newTestApp(t)
		if code := a.run([]string{"completion", shell}); code != 0 || !strings.Contains(a.out.String(), "staccato") {
			t.Errorf("%s: exit code %d, %d bytes", shell, code, len(a.out.String()))
		}
	}
}

func TestUnknownCommand(t *testing.T) {
	a := newTestApp(t)
	if code := a.run([]string{"recrod"}); code != exitUsage {
		t.Errorf("exit code %d, want %d", code, exitUsage)
	}
	if !strings.Contains(a.err.String(), `staccato: unknown command "recrod"`) {
		t.Errorf("stderr: %s", a.err)
	}
}

func TestVersion(t *testing.T) {
	info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc123"}, {Key: "vcs.modified", Value: "true"}}}
	info.Main.Version = "v1.2.3"
	got := versionText(info)
	if !strings.HasPrefix(got, "staccato v1.2.3\nrevision abc123 with local changes\ngo1.") {
		t.Errorf("version: %q", got)
	}
	if got := versionText(nil); !strings.HasPrefix(got, "staccato unknown\nrevision unknown\ngo1.") {
		t.Errorf("version without build information: %q", got)
	}
}
