package input_test

import (
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/folded"
	"github.com/staccato-profiler/staccato/exporter/input"
)

func TestParseFolded(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"root first", "main;mid;leaf 7\n", "leaf mid main 7\n"},
		{"equal stacks stay", "a 1\na 2\n", "a 1\na 2\n"},
		{"spaces in names", "operator new(unsigned long);f[int, 3] 2\n", "f[int, 3] operator new(unsigned long) 2\n"},
		{"tab and no newline", "a;b\t12", "b a 12\n"},
		{"recursion", "a;a;a 1\n", "a a a 1\n"},
		{"Windows", "a;b 1\r\nc 2\r\n", "b a 1\nc 2\n"},
		{"empty names", "a;;b 1\n", "b ? a 1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := input.ParseFolded(strings.NewReader(test.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := text(p); got != test.want {
				t.Errorf("read %q, want %q", got, test.want)
			}
		})
	}
}

func TestParseFoldedErrors(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", "no stacks"},
		{"# nothing\n", "no stacks"},
		{"a;b 1\nword\n", "line 2: want a stack"},
		{"a;b 1.5\n", "line 1: want a stack, a space and a whole number, not \"1.5\""},
		{"a;b -1\n", "negative"},
		{"a 9223372036854775807\na 1\n", "line 2: the sum"},
		{"a 99999999999999999999\n", "whole number"},
		{strings.Repeat("x", 17<<20) + " 1\n", "line 1: longer than 16 MiB"},
	} {
		_, err := input.ParseFolded(strings.NewReader(test.in))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.20q: error %v, want one with %q", test.in, err, test.want)
		}
	}
}

// What folded.Write writes is what ParseFolded reads.
func FuzzFoldedRoundTrip(f *testing.F) {
	f.Add("main;work 3\nmain 1\n")
	f.Add("a b;c 1\n# x\n\na b;c 2")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := input.ParseFolded(strings.NewReader(in))
		if err != nil {
			return
		}
		once := write(t, p)
		if once == "" || strings.Contains("\n"+once, "\n# ") { // all values 0; like a comment
			return
		}
		again, err := input.ParseFolded(strings.NewReader(once))
		if err != nil {
			t.Fatalf("%q became %q: %v", in, once, err)
		}
		if twice := write(t, again); twice != once {
			t.Errorf("%q became %q, then %q", in, once, twice)
		}
	})
}

func write(t *testing.T, p *profile.Profile) string {
	t.Helper()
	var b strings.Builder
	if err := folded.Write(t.Context(), &b, exporter.Input{Profile: p}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
