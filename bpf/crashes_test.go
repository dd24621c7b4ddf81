package bpf

import (
	"errors"
	"strings"
	"testing"
)

func TestUnsafeKernels(t *testing.T) {
	for _, test := range []struct {
		release, text, signature string
		version                  string
		unsafe                   bool
	}{
		{"6.1.25-37.47.amzn2023.x86_64", "#1 SMP PREEMPT_DYNAMIC Mon Apr 24 23:20:15 UTC 2023", "", "6.1.25", true},
		{"6.1.36", "#1 SMP", "", "6.1.36", false},
		{"6.1.0-9-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.27-1 (2023-05-08)", "", "6.1.27", true},
		{"6.1.0-56-cloud-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-11-10)", "", "6.1.192", false},
		{"5.19.0-50-generic", "#50-Ubuntu SMP PREEMPT_DYNAMIC Mon Jul 10 18:24:29 UTC 2023", "Ubuntu 5.19.0-50.50-generic 5.19.17\n", "5.19.17", true},
		{"5.15.0-76-generic", "#83-Ubuntu SMP", "Ubuntu 5.15.0-76.83-generic 5.15.99\n", "5.15.99", false},
		{"5.14.0-427.76.1.el9_4.x86_64", "#1 SMP PREEMPT_DYNAMIC", "", "5.14.0", false},
		{"5.18.19", "", "", "5.18.19", false},
		{"6.0.2", "", "", "6.0.2", true},
		{"6.2.16", "", "", "6.2.16", true},
		{"6.3.9-200.fc38.x86_64", "", "", "6.3.9", true},
		{"6.3.10-200.fc38.x86_64", "", "", "6.3.10", false},
		{"6.4-rc1", "", "", "6.4.0", false},
		{"6.12.118+deb13-cloud-arm64", "#1 SMP Debian 6.12.118-1 (2026-11-01)", "", "6.12.118", false},
	} {
		v, err := parseVersion(test.release, test.text, test.signature)
		if err != nil || v.String() != test.version {
			t.Errorf("%s: version %v, %v, want %s", test.release, v, err, test.version)
			continue
		}
		var unsafe *UnsafeKernelError
		if errors.As(unsafeKernel(v), &unsafe) != test.unsafe {
			t.Errorf("%s: %v, want unsafe: %v", test.release, unsafeKernel(v), test.unsafe)
		}
		if unsafe != nil && (!strings.Contains(unsafe.Error(), test.version) || !strings.Contains(unsafe.Error(), "https://")) {
			t.Errorf("%s: %v", test.release, unsafe)
		}
	}
	for _, release := range []string{"", "six", "6", "6.x.1"} {
		if v, err := parseVersion(release, "", ""); err == nil {
			t.Errorf("%q: %v", release, v)
		}
	}
}
