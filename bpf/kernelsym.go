package bpf

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
)

// kernelSymbol finds the address of a function of the kernel.
func kernelSymbol(name string) (uint64, error) {
	f, err := os.Open("/proc/kallsyms")
	if err != nil {
		return 0, fmt.Errorf("find kernel function: %w", err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	want := []byte(" " + name)
	for sc.Scan() {
		line := sc.Bytes() // "ffffffff81000000 T name"
		if !bytes.HasSuffix(line, want) {
			continue
		}
		hex, _, _ := bytes.Cut(line, []byte(" "))
		address, err := strconv.ParseUint(string(hex), 16, 64)
		if err != nil {
			return 0, fmt.Errorf("find kernel function %s: %w", name, err)
		}
		if address == 0 {
			return 0, errors.New("kernel addresses are hidden (kernel.kptr_restrict, or no CAP_SYSLOG)")
		}
		return address, nil
	}
	if err := sc.Err(); err != nil {
		return 0, fmt.Errorf("find kernel function: %w", err)
	}
	return 0, fmt.Errorf("find kernel function %s: this kernel has none", name)
}
