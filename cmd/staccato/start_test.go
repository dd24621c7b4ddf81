package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestStart: what no command needs at its start is made when it is needed. The
// start of each command is the sum of what packages make at theirs.
func TestStart(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^$")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1") // runtime's documentation says what it prints
	trace, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	line := regexp.MustCompile(`^init (\S*staccato\S*) .* (\d+) bytes, (\d+) allocs`)
	packages := 0
	for text := range strings.Lines(string(trace)) {
		m := line.FindStringSubmatch(text)
		if m == nil || strings.Contains(m[1], "/testdata/") {
			continue
		}
		packages++
		if bytes, _ := strconv.Atoi(m[2]); bytes > 4<<10 {
			t.Errorf("package %s takes %s bytes at the start", m[1], m[2])
		}
	}
	if packages < 10 {
		t.Errorf("%d packages in\n%s", packages, trace)
	}
}
