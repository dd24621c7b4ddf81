package report

import "testing"

func TestFormat(t *testing.T) {
	for _, test := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, "nanoseconds", "0"},
		{1, "nanoseconds", "1ns"},
		{10_000_000, "nanoseconds", "10ms"},
		{1_310_000_000, "nanoseconds", "1.31s"},
		{91.1e9, "nanoseconds", "91.10s"},
		{7200e9, "nanoseconds", "2hrs"},
		{-1500, "microseconds", "-1.50ms"},
		{512 << 10, "bytes", "512kB"},
		{1536, "bytes", "1.50kB"},
		{3, "count", "3"},
		{0.5, "count", "0.50"},
		{7, "", "7"},
	} {
		if got := Format(test.value, test.unit); got != test.want {
			t.Errorf("%v %s: %q, want %q", test.value, test.unit, got, test.want)
		}
	}
}
