package main

import (
	"slices"
	"testing"
)

func TestChoose(t *testing.T) {
	names := []string{
		"linux-image-6.1.0-9-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64-dbg",
		"linux-image-6.1.0-56-amd64", "linux-image-6.1-cloud-amd64", "linux-image-cloud-amd64", "linux-image-6.1.0-56-rt-amd64",
		"linux-image-6.12.117+deb12-cloud-amd64", "linux-image-6.12.118+deb13-cloud-amd64", "linux-image-6.12.118+deb13-cloud-arm64",
		"linux-image-6.1.0-60-cloud-amd64-unsigned", "linux-image-6.9.7-1-cloud-amd64",
	}
	for _, test := range []struct {
		kernel string
		want   []string
	}{
		{"6.1-amd64", []string{"6.1.0-56-cloud-amd64", "6.1.0-9-cloud-amd64"}},
		{"6.12-amd64", []string{"6.12.118+deb13-cloud-amd64", "6.12.117+deb12-cloud-amd64"}},
		{"newest-amd64", []string{"6.12.118+deb13-cloud-amd64", "6.12.117+deb12-cloud-amd64", "6.9.7-1-cloud-amd64", "6.1.0-56-cloud-amd64", "6.1.0-9-cloud-amd64"}},
		{"newest-arm64", []string{"6.12.118+deb13-cloud-arm64"}},
		{"6.2-amd64", nil},
	} {
		kernels, err := parseKernels(test.kernel)
		if err != nil {
			t.Fatal(err)
		}
		if got := kernels[0].choose(names); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.kernel, got, test.want)
		}
	}
}

func TestParseKernelsRefuses(t *testing.T) {
	for _, text := range []string{"", "6.1", "amd64", "6.1-riscv64", "6.1-amd64,,6.12-amd64", "6-amd64", "../6.1-amd64"} {
		if list, err := parseKernels(text); err == nil {
			t.Errorf("%q: %v", text, list)
		}
	}
}
