package bpf

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// UnsafeKernelError says that sampling can bring the running kernel down.
type UnsafeKernelError struct {
	// Kernel is its version with the level of its corrections, such as "6.1.25".
	Kernel string
	// What happens, in which versions it does not, and where it is described.
	What, Fixed, Reference string
}

func (e *UnsafeKernelError) Error() string {
	return fmt.Sprintf("this kernel (%s) can lock up while it is sampled: %s; corrected in %s: %s", e.Kernel, e.What, e.Fixed, e.Reference)
}

// version is that of a kernel, without what distributions add.
type version [3]int

func (v version) before(w version) bool {
	for i := range v {
		if v[i] != w[i] {
			return v[i] < w[i]
		}
	}
	return false
}

func (v version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// crashes are the faults of kernels that our programs can set off. It is the
// only place that looks at versions: a fault cannot be tried out.
//
// Not in it, since our programs do not do what sets them off: the race of
// bpf_get_stack and bpf_get_stackid with the end of a process that has uprobes,
// before 6.13, is in walking user stacks (we walk them ourselves); stack maps
// that mix stacks up (we have none). Nor are reports whose cause is not known.
var crashes = []struct {
	from, to               version // to is the first that is good
	good                   []version
	what, fixed, reference string
}{{
	// bpf_probe_read_user: the check of the destination takes the lock of the
	// kernel's list of mapped areas, which the code that the sample interrupted
	// may hold. Kernels built without CONFIG_HARDENED_USERCOPY are spared, but
	// hardly any distribution's is.
	from: version{5, 19, 0}, to: version{6, 4, 0}, good: []version{{6, 1, 36}, {6, 3, 10}},
	what: "reading a process's stack may wait for a lock that the interrupted code holds", fixed: "Linux 6.1.36, 6.3.10 and 6.4",
	reference: "https://bugs.debian.org/1033398, https://git.kernel.org/linus/d319f344561d",
}}

// unsafeKernel returns an error for a version that is known to crash.
func unsafeKernel(v version) error {
	for _, c := range crashes {
		affected := !v.before(c.from) && v.before(c.to)
		for _, good := range c.good {
			if v[0] == good[0] && v[1] == good[1] && !v.before(good) {
				affected = false
			}
		}
		if affected {
			return &UnsafeKernelError{v.String(), c.what, c.fixed, c.reference}
		}
	}
	return nil
}

var (
	threeNumbers = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^([0-9]+)\.([0-9]+)\.([0-9]+)`)
	})
	debianVersion = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`Debian ([0-9]+\.[0-9]+\.[0-9]+)`)
	})
	releaseAndMore = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^([0-9]+\.[0-9]+)([^.0-9]|$)`)
	})
)

// parseVersion finds the level of corrections in what the kernel says of itself.
// Debian and Ubuntu keep the third number of the release at 0, and give the
// true one in the version (the second line of uname) and in
// /proc/version_signature.
func parseVersion(release, text, signature string) (version, error) {
	if fields := strings.Fields(signature); len(fields) == 3 { // "Ubuntu 5.19.0-50.50-generic 5.19.17"
		release = fields[2]
	} else if m := debianVersion().FindStringSubmatch(text); m != nil {
		release = m[1]
	} else if m := releaseAndMore().FindStringSubmatch(release); m != nil { // "6.4-rc1"
		release = m[1] + ".0"
	}
	m := threeNumbers().FindStringSubmatch(release)
	if m == nil {
		return version{}, fmt.Errorf("find the kernel's version: unexpected %q", release)
	}
	var v version
	for i := range v {
		n, err := strconv.Atoi(m[1+i])
		if err != nil {
			return version{}, fmt.Errorf("find the kernel's version: %w", err)
		}
		v[i] = n
	}
	return v, nil
}

// knownToCrash looks whether the running kernel is one of the crashes.
func knownToCrash() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return fmt.Errorf("find the kernel's version: %w", err)
	}
	signature, _ := os.ReadFile("/proc/version_signature") // Ubuntu's
	v, err := parseVersion(unix.ByteSliceToString(u.Release[:]), unix.ByteSliceToString(u.Version[:]), string(signature))
	if err != nil {
		return nil // no distribution's: its maker knows what is in it
	}
	return unsafeKernel(v)
}
