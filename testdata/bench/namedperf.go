package main

import (
	"debug/elf"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/staccato-profiler/staccato/testdata/symbolizers"
)

// recordPerf records the host by perf, which must not look for build IDs itself:
// that of Debian 12 aborts then.
func (b *bench) recordPerf(file string) (*program, error) {
	return start("perf", "record", "-q", "--buildid-mmap", "-a", "-e", "cpu-clock", "-F", strconv.Itoa(namedHz), "-o", file, "--", "sleep", seconds(b.namedSpan()))
}

// perfNames returns a place of each function that perf names in its recording, in
// files that are there: innermost frames alone.
func perfNames(recording string) (map[place]string, error) {
	cmd := exec.Command("perf", "report", "-i", recording, "-v", "--stdio", "--no-demangle", "-s", "dso,sym", "-F", "sample,dso,sym")
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("perf report: %w", err)
	}
	named := make(map[place]string)
	files := make(map[string]*elf.File)
	for line := range strings.Lines(string(out)) {
		// Samples, file, offset in the file, kind of symbol, [.] in user space, name.
		f := strings.Fields(line)
		if len(f) < 6 || f[4] != "[.]" || !strings.HasPrefix(f[1], "/") || strings.HasPrefix(f[5], "0x") {
			continue
		}
		offset, err := strconv.ParseUint(f[2], 0, 64)
		if err != nil {
			return nil, fmt.Errorf("perf report prints %q", line)
		}
		file, ok := files[f[1]]
		if !ok {
			if file, err = elf.Open(f[1]); err == nil {
				defer file.Close()
			}
			files[f[1]] = file // nil: not there any more, or no ELF file
		}
		if file == nil {
			continue
		}
		if address, ok := addressAt(file, offset); ok {
			named[place{f[1], address}] = strings.TrimSuffix(strings.Join(f[5:], " "), ".abi0") // Go's linker, for assembly
		}
	}
	if len(named) == 0 {
		return nil, fmt.Errorf("perf report names nothing: %.1000s", out)
	}
	return named, nil
}

func addressAt(f *elf.File, offset uint64) (address uint64, ok bool) {
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && offset >= p.Off && offset-p.Off < p.Filesz {
			return p.Vaddr + offset - p.Off, true
		}
	}
	return 0, false
}

// comparePerf prints how many of the functions that perf names have the same name
// by staccato, and returns how many have none, or one that is no symbol's around the
// place.
func (b *bench) comparePerf(named map[place]string) (wrong int, err error) {
	files := make(map[string][]uint64)
	for at := range named {
		files[at.file] = append(files[at.file], at.address)
	}
	same, alias := 0, 0
	for _, file := range slices.Sorted(maps.Keys(files)) {
		addresses := files[file]
		cmd := exec.Command(b.path("staccato"), "symbolize", "--demangle", "none", file)
		cmd.Stdin = strings.NewReader(string(symbolizers.Input(addresses)))
		out, err := cmd.Output()
		if err != nil {
			return 0, fmt.Errorf("symbolize %s: %w", file, err)
		}
		ours, err := symbolizers.Parse(strings.NewReader(string(out)))
		if err != nil {
			return 0, err
		}
		if len(ours) != len(addresses) {
			return 0, fmt.Errorf("symbolize %s: %d answers about %d addresses", file, len(ours), len(addresses))
		}
		covered, err := coveredBy(file)
		if err != nil {
			return 0, err
		}
		for i, address := range addresses {
			theirs := named[place{file, address}]
			name := ours[i][len(ours[i])-1].Function
			switch {
			case symbolizers.Plain(name) == symbolizers.Plain(theirs):
				same++
			case covered(name, address):
				alias++
			default:
				wrong++
				b.say("%s %#x is %q, perf says %q", file, address, name, theirs)
			}
		}
	}
	fmt.Printf("\nFunctions that perf names in innermost frames: %d as by perf, %d by another symbol around the place, %d otherwise.\n", same, alias, wrong)
	return wrong, nil
}
