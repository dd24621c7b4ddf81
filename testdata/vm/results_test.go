package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/testdata/vm/plan"
)

// As the serial line gives it: with carriage returns, and words of the kernel
// in between.
const printed = "boot\r\n" +
	"\r\n@@BEGIN 0\r\n" +
	"\x16=== RUN   TestA\r\n" +
	"    a_test.go:1: words\r\n" +
	"\x16=== ATTR  TestA feature loops (5.30) = yes\r\n" +
	"\x16--- PASS: TestA (0.10s)\r\n" +
	"\x16=== RUN   TestB\r\n" +
	"[  1.2] kernel words\r\n" +
	"    b_test.go:1: bad thing\r\n" +
	"\x16--- FAIL: TestB (0.10s)\r\n" +
	"\x16=== RUN   TestC\r\n" +
	"\x16--- SKIP: TestC (0.00s)\r\n" +
	"\x16=== NAME  \r\n" +
	"FAIL\r\n" +
	"\r\n@@END 0 1\r\n" +
	"\r\n@@BEGIN 1\r\n" +
	"\x16=== RUN   TestD\r\n" +
	"panic: oh\r\n"

func TestResults(t *testing.T) {
	runs := []plan.Run{{Name: "first"}, {Name: "second"}, {Name: "third"}}
	r := &result{kernel: kernel{"9.9", "amd64"}, console: []byte(printed)}
	if err := r.parse(t.Context(), runs); err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for _, x := range r.tests {
		got[x.run+"/"+x.test] = x.outcome
	}
	want := map[string]string{
		"first/TestA": "pass", "first/TestB": "fail", "first/TestC": "skip", "first/": "fail",
		"second/TestD": "", "second/": "", "third/": "",
	}
	for name, outcome := range want {
		if o, ok := got[name]; !ok || o != outcome {
			t.Errorf("%s: %q (known: %v), want %q", name, o, ok, outcome)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%q", got)
	}
	if r.good() {
		t.Error("failures count as good")
	}
	if text := r.failures(); !strings.Contains(text, "bad thing") || !strings.Contains(text, "panic: oh") || strings.Contains(text, "a_test.go") {
		t.Errorf("failures: %s", text)
	}
	if len(r.facts) != 1 || r.facts[0] != (fact{"feature", "loops (5.30)", "yes"}) {
		t.Errorf("facts %+v", r.facts)
	}
}

func TestNothingRanIsNotGood(t *testing.T) {
	r := &result{console: []byte("Kernel panic")}
	if err := r.parse(t.Context(), []plan.Run{{Name: "first"}}); err != nil {
		t.Fatal(err)
	}
	if r.good() {
		t.Error("it counts as good")
	}
}

func TestTable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "KERNELS.md")
	if err := os.WriteFile(path, []byte("# Kernels\n"+tableBegin+"old\n"+tableEnd+"more\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	results := []*result{
		{kernel: kernel{"9.1", "amd64"}, version: "9.1.2-cloud-amd64", facts: []fact{{"feature", "a|b", "no"}}, tests: []testResult{{"run", "TestA", "pass", ""}, {"run", "", "pass", ""}}},
		{kernel: kernel{"9.2", "arm64"}, version: "9.2.2-cloud-arm64", tests: []testResult{{"run", "TestB", "", ""}, {"run", "", "", ""}}},
	}
	if err := writeTable(path, results); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Kernels\n", "more\n", "| kernel | 9.1-amd64 | 9.2-arm64 |", "| version | 9.1.2-cloud | 9.2.2-cloud |",
		`| a\|b | no | – |`, "| TestA | pass | – |", "| TestB | – | did not end |", "| (all) | – | did not end |",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "old") {
		t.Error("the old table is still there")
	}
}
