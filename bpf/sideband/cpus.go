package sideband

import (
	"fmt"
	"strconv"
	"strings"
)

// maxCPU is far above what Linux can be built for (8,192).
const maxCPU = 1 << 16

// parseCPUs reads the kernel's notation for sets of CPUs, such as "0-3,8".
func parseCPUs(text string) ([]int, error) {
	var cpus []int
	for part := range strings.SplitSeq(strings.TrimSpace(text), ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("parse CPU list: %w", err)
		}
		last, err := strconv.ParseUint(high, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("parse CPU list: %w", err)
		}
		if last < first || last > maxCPU {
			return nil, fmt.Errorf("parse CPU list: range %q", part)
		}
		for cpu := first; cpu <= last; cpu++ {
			cpus = append(cpus, int(cpu))
		}
	}
	return cpus, nil
}
