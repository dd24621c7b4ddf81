package main

import (
	"strings"
	"testing"
)

func TestDiffTexts(t *testing.T) {
	for _, test := range []struct {
		name, args string
		code       int
	}{
		{"diff", "", 0},
		{"diff-all", "--all --total", 0},
		{"diff-total", "--scale total -n 2", 0},
		{"diff-none", "--scale none --tag comm=server", 0},
		{"diff-fail", "--fail-if self(^hash\\.sum$)>+2pt --fail-if total(quick)<-5% --fail-if total(no_such)>0pt", 6},
		{"diff-pass", "--fail-if self(quick)>+1pt", 0},
	} {
		for _, kind := range []string{"", "-80", "-color"} {
			if kind != "" && test.name != "diff" {
				continue
			}
			a := newTestApp(t)
			before, after := server(1), server(3)
			after.Sample[1].Value = []int64{22, 220_000_000} // noise
			after.Sample = after.Sample[:3]
			after.Location[4].Line[0].Function.Name = "ksys_pread64"
			after.DurationNanos = 12e9
			writeProfile(t, "before.pb.gz", before)
			writeProfile(t, "after.pb.gz", after)
			switch kind {
			case "-80":
				a.stdoutTerminal, a.stdoutWidth, a.stdoutHeight = true, 80, 1000
			case "-color":
				a.color = true
			}
			if code := a.run(append([]string{"diff", "before.pb.gz", "after.pb.gz"}, strings.Fields(test.args)...)); code != test.code {
				t.Errorf("%s: exit code %d, want %d", test.name, code, test.code)
			}
			text := a.out.String()
			if a.err.String() != "" {
				text += "--- standard error\n" + a.err.String()
			}
			golden(t, here, test.name+kind+".golden", text)
			for line := range strings.Lines(text) {
				if n := len([]rune(strings.TrimSuffix(line, "\n"))); kind == "-80" && n > 80 {
					t.Errorf("%s: %d columns: %s", test.name, n, line)
				}
			}
		}
	}
}

func TestDiffOfEqual(t *testing.T) {
	a := newTestApp(t)
	writeProfile(t, "profile.pb.gz", server(1))
	if code := a.run([]string{"diff", "profile.pb.gz", "profile.pb.gz", "--fail-if", "total(.) > 0pt"}); code != 0 || !strings.HasSuffix(a.out.String(), "\n\nnothing changed\n") {
		t.Errorf("exit code %d: %s%s", code, a.out, a.err)
	}
}
