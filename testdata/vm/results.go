package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/staccato-profiler/staccato/testdata/vm/plan"
)

// result is what came out of one virtual machine.
type result struct {
	kernel  kernel
	version string
	ended   string // "" when it ended by itself
	took    time.Duration
	tests   []testResult
	// facts are the tests' attributes, such as the kernel's features, in the
	// order of their first appearance.
	facts   []fact
	console []byte
}

// testResult is what one top-level test came to: "pass", "fail" or "skip", or
// "" when it did not end. The test is "" for a whole run.
type testResult struct {
	run, test, outcome string
	output             string // of tests that did not pass
}

type fact struct{ kind, name, value string }

func (r *result) good() bool {
	if r.ended != "" || len(r.tests) == 0 {
		return false
	}
	for _, t := range r.tests {
		if t.outcome != "pass" && t.outcome != "skip" {
			return false
		}
	}
	return true
}

func (r *result) summary() string {
	count := make(map[string]int)
	for _, t := range r.tests {
		if t.test != "" {
			count[t.outcome]++
		}
	}
	text := fmt.Sprintf("%s: %d passed, %d skipped, %d failed in %v", r.kernel, count["pass"], count["skip"], count["fail"]+count[""], r.took.Round(time.Second))
	if r.ended != "" {
		text += "; " + r.ended
	}
	return text
}

// failures says what went wrong, with the output of the tests.
func (r *result) failures() string {
	text := r.ended
	for _, t := range r.tests {
		if t.outcome != "pass" && t.outcome != "skip" {
			text += fmt.Sprintf("\n%s %s: %s\n%s", t.run, t.test, orElse(t.outcome, "did not end"), t.output)
		}
	}
	if len(r.tests) == 0 {
		text += "\nnothing ran. The last that was printed:\n" + string(r.console[max(0, len(r.console)-4000):])
	}
	return text
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// parse finds the runs in what the virtual machine printed.
func (r *result) parse(ctx context.Context, runs []plan.Run) error {
	// The serial line ends lines with \r\n.
	rest := bytes.ReplaceAll(r.console, []byte("\r"), nil)
	for i, run := range runs {
		_, after, begun := bytes.Cut(rest, fmt.Appendf(nil, "\n%s %d\n", plan.Begin, i))
		if !begun {
			r.tests = append(r.tests, testResult{run: run.Name, output: "it was not begun"})
			continue
		}
		output, after, ended := bytes.Cut(after, fmt.Appendf(nil, "\n%s %d ", plan.End, i))
		rest = after
		code, _, _ := bytes.Cut(after, []byte("\n"))
		if err := r.addRun(ctx, run.Name, output); err != nil {
			return err
		}
		whole := testResult{run: run.Name}
		if !slices.ContainsFunc(r.tests, func(t testResult) bool { return t.run == run.Name && t.outcome == "fail" }) {
			whole.output = tail(output) // no test says what failed
		}
		switch {
		case ended && string(code) == "0":
			whole.outcome = "pass"
		case ended:
			whole.outcome = "fail"
		}
		r.tests = append(r.tests, whole)
	}
	return nil
}

func tail(output []byte) string {
	return string(output[max(0, len(output)-2000):])
}

// addRun reads the output of a test with the tool that go test uses for it.
func (r *result) addRun(ctx context.Context, run string, output []byte) error {
	cmd := exec.CommandContext(ctx, "go", "tool", "test2json")
	cmd.Env = append(os.Environ(), "GOARCH=") // programs for the virtual machine may be for another
	cmd.Stdin = bytes.NewReader(output)
	events, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("read output of tests: %w", err)
	}
	index := make(map[string]int)
	for d := json.NewDecoder(bytes.NewReader(events)); ; {
		var e struct{ Action, Test, Output, Key, Value string }
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read output of tests: %w", err)
		}
		if e.Test == "" {
			continue
		}
		if e.Action == "attr" {
			r.addFact(e.Key, e.Value)
			continue
		}
		top, _, sub := strings.Cut(e.Test, "/")
		at, known := index[top]
		if !known {
			at = len(r.tests)
			index[top] = at
			r.tests = append(r.tests, testResult{run: run, test: top})
		}
		switch e.Action {
		case "output":
			r.tests[at].output += e.Output
		case "pass", "fail", "skip":
			if !sub {
				r.tests[at].outcome = e.Action
			}
		}
	}
}

// addFact keeps an attribute: its key is the kind, its value "NAME = VALUE".
func (r *result) addFact(kind, text string) {
	name, value, ok := strings.Cut(text, " = ")
	if !ok {
		return
	}
	for _, f := range r.facts {
		if f.kind == kind && f.name == name {
			return
		}
	}
	r.facts = append(r.facts, fact{kind, name, value})
}
