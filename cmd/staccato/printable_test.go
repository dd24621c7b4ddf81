package main

import (
	"testing"
)

func TestPrintable(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"main", "main"},
		{"operator~ <long> enough", "operator~ <long> enough"},
		{"größe größe größe größe", "größe größe größe größe"},
		{"bad\xff bytes", "bad� bytes"},
		{"two\nlines\x1b[31m", "two?lines?[31m"},
	} {
		if got := printable(test.text); got != test.want {
			t.Errorf("printable(%q) is %q, want %q", test.text, got, test.want)
		}
		if got := string(appendPrintable([]byte("before "), test.text)); got != "before "+test.want {
			t.Errorf("appendPrintable of %q is %q", test.text, got)
		}
	}
	// Each byte at each place: eight are looked at in one go.
	for c := range 256 {
		for at := range 19 {
			text := []byte("0123456789abcdefghi")
			text[at] = byte(c)
			want := printable(string(text))
			if got := string(appendPrintable(nil, string(text))); got != want {
				t.Fatalf("appendPrintable of %q is %q, want %q", text, got, want)
			}
		}
	}
}
