package main

import (
	"math"
	"testing"
)

func TestByteSize(t *testing.T) {
	for _, test := range []struct {
		text  string
		bytes int64
		again string // what String makes of it
	}{
		{"512MB", 512e6, "512MB"},
		{"2GiB", 2 << 30, "2GiB"},
		{"1.5gb", 1.5e9, "1500MB"},
		{"1000kb", 1e6, "1MB"},
		{"1024KiB", 1 << 20, "1MiB"},
		{"0.5KB", 500, "500B"},
		{"1tb", 1e12, "1TB"},
		{"3TiB", 3 << 40, "3TiB"},
		{"8388607TiB", 8388607 << 40, "8388607TiB"},
	} {
		var s byteSize
		if err := s.Set(test.text); err != nil || int64(s) != test.bytes || s.String() != test.again {
			t.Errorf("%s is %d (%s), %v; want %d (%s)", test.text, s, s.String(), err, test.bytes, test.again)
		}
	}
	for _, text := range []string{
		"", "MB", "512", "512B", "512M", "512Mi", "512 MB", "-1MB", "0MB", "0.0001KB", "infMB", "nanMB", "8388608TiB", "1e300TB", "MB512",
	} {
		s := byteSize(math.MinInt64)
		if err := s.Set(text); err == nil || s != math.MinInt64 {
			t.Errorf("%q is taken for %d", text, s)
		}
	}
}
