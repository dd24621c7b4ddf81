package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// kernel is a series of Linux kernels, such as "6.1", for an architecture in
// Go's words. The series "newest" is the newest that Debian has.
type kernel struct{ series, arch string }

func (k kernel) String() string { return k.series + "-" + k.arch }

// allKernels are tested where none are named: those of Debian's releases, and
// what has changed since.
var allKernels = []string{
	"5.10-amd64", "6.1-amd64", "6.12-amd64", "6.16-amd64", "6.18-amd64", "newest-amd64",
	"6.1-arm64", "6.12-arm64", "newest-arm64",
}

// refused are the series that staccato must refuse, and say why.
var refused = []string{"5.10"}

func (k kernel) refused() bool { return slices.Contains(refused, k.series) }

var kernelName = regexp.MustCompile(`^(newest|[0-9]+\.[0-9]+)-(amd64|arm64)$`)

func parseKernels(text string) ([]kernel, error) {
	var list []kernel
	for name := range strings.SplitSeq(text, ",") {
		m := kernelName.FindStringSubmatch(strings.TrimSpace(name))
		if m == nil {
			return nil, fmt.Errorf("kernel %q: want something like 6.1-amd64 or newest-arm64", name)
		}
		list = append(list, kernel{m[1], m[2]})
	}
	return list, nil
}

// choose returns the versions of the series among the names of packages, the
// newest first: from linux-image-6.1.0-56-cloud-amd64, 6.1.0-56-cloud-amd64.
// Those with two numbers only are empty packages that depend on another one.
func (k kernel) choose(names []string) []string {
	series := `[0-9]+\.[0-9]+`
	if k.series != "newest" {
		series = regexp.QuoteMeta(k.series)
	}
	fits := regexp.MustCompile(`^linux-image-(` + series + `\.[0-9]+[^-]*(-[^-]+)?-cloud-` + k.arch + `)$`)
	var versions []string
	for _, name := range names {
		if m := fits.FindStringSubmatch(name); m != nil {
			versions = append(versions, m[1])
		}
	}
	slices.SortFunc(versions, func(a, b string) int { return compareVersions(b, a) })
	return versions
}

var part = regexp.MustCompile(`[0-9]+|[^0-9]+`)

// compareVersions compares numbers as numbers and what is between them as text.
func compareVersions(a, b string) int {
	return slices.CompareFunc(part.FindAllString(a, -1), part.FindAllString(b, -1), func(a, b string) int {
		m, errM := strconv.ParseUint(a, 10, 64)
		n, errN := strconv.ParseUint(b, 10, 64)
		switch {
		case errM != nil || errN != nil:
			return strings.Compare(a, b)
		case m < n:
			return -1
		case m > n:
			return 1
		}
		return 0
	})
}
