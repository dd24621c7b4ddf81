package main

import (
	"cmp"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"github.com/staccato-profiler/staccato/testdata/symbolizers"
)

// askOthers prints the unnamed frames by file, with what eu-addr2line and gdb
// say, and returns how many of the addresses one of them can name.
func (b *bench) askOthers(unnamed map[place]int64) (known int, err error) {
	files := make(map[string][]uint64)
	samples := make(map[string]int64)
	for at, n := range unnamed {
		files[at.file] = append(files[at.file], at.address)
		samples[at.file] += n
	}
	table("unnamed frames in", "samples", "addresses", "why", "eu-addr2line names", "gdb names")
	for _, file := range slices.SortedFunc(maps.Keys(files), func(x, y string) int { return cmp.Or(cmp.Compare(samples[y], samples[x]), strings.Compare(x, y)) }) {
		addresses := files[file]
		slices.Sort(addresses)
		eu, gdb := make([]string, len(addresses)), make([]string, len(addresses))
		why := symbolsOf(file)
		if why != notThere && why != noELF {
			if eu, err = elfutilsNames(file, addresses); err != nil {
				return known, err
			}
			if gdb, err = b.gdbNames(file, addresses); err != nil {
				return known, err
			}
		}
		for i, address := range addresses {
			if eu[i] != "" || gdb[i] != "" {
				known++
				b.say("%s %#x: eu-addr2line %q, gdb %q", file, address, eu[i], gdb[i])
			}
		}
		row(cmp.Or(file, "no file"), strconv.FormatInt(samples[file], 10), strconv.Itoa(len(addresses)), why, howMany(eu), howMany(gdb))
	}
	return known, nil
}

func howMany(names []string) string {
	n := 0
	for _, name := range names {
		if name != "" {
			n++
		}
	}
	return strconv.Itoa(n)
}

const (
	notThere = "no file, or not there any more"
	noELF    = "no ELF file"
)

// symbolsOf says what symbols a file has.
func symbolsOf(path string) string {
	f, err := elf.Open(path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return notThere
	}
	if err != nil {
		return noELF
	}
	defer f.Close()
	has := func(name string) bool { return f.Section(name) != nil }
	switch {
	case has(".debug_info"):
		return "debug information"
	case has(".symtab"):
		return ".symtab"
	case has(".gnu_debugdata"):
		return ".gnu_debugdata"
	}
	id, err := buildID(path)
	if err == nil {
		if _, err := os.Stat(debugPath(id)); err == nil {
			return "debug file"
		}
	}
	return "stripped"
}

// elfutilsNames asks eu-addr2line, which looks for debug files as we do. "" is
// no name.
func elfutilsNames(file string, addresses []uint64) ([]string, error) {
	cmd := exec.Command("eu-addr2line", "-f", "-e", file)
	cmd.Stdin = strings.NewReader(hexLines(addresses))
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("eu-addr2line: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != 2*len(addresses) {
		return nil, fmt.Errorf("eu-addr2line printed %d lines about %d addresses", len(lines), len(addresses))
	}
	names := make([]string, len(addresses))
	for i := range names {
		if names[i] = lines[2*i]; names[i] == "??" {
			names[i] = ""
		}
	}
	return names, nil
}

func hexLines(addresses []uint64) string {
	var text strings.Builder
	for _, a := range addresses {
		fmt.Fprintf(&text, "%#x\n", a)
	}
	return text.String()
}

// gdbNames asks gdb for symbols, of which it makes some itself: of what
// procedure linkage tables lead to.
func (b *bench) gdbNames(file string, addresses []uint64) ([]string, error) {
	var script strings.Builder
	script.WriteString("set print demangle off\n")
	for _, a := range addresses {
		fmt.Fprintf(&script, "info symbol %#x\n", a)
	}
	if err := os.WriteFile(b.path("script.gdb"), []byte(script.String()), 0o600); err != nil {
		return nil, err
	}
	out, err := exec.Command("gdb", "-nx", "-batch", "-x", b.path("script.gdb"), file).Output()
	if err != nil {
		return nil, fmt.Errorf("gdb: %w", err)
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		switch {
		case strings.HasPrefix(line, "No symbol matches"):
			names = append(names, "")
		case strings.Contains(line, " in section "):
			name, _, _ := strings.Cut(line, " in section ")
			names = append(names, name)
		}
	}
	if len(names) != len(addresses) {
		return nil, fmt.Errorf("gdb printed %d lines about %d addresses: %s", len(names), len(addresses), out)
	}
	return names, nil
}

// compareOthers prints how many of the named places have the same name by gdb, and
// returns how many have a name that is no symbol's around the place.
func (b *bench) compareOthers(named map[place]string) (wrong int, err error) {
	files := make(map[string][]uint64)
	for at := range named {
		if why := symbolsOf(at.file); why != notThere && why != noELF {
			files[at.file] = append(files[at.file], at.address)
		}
	}
	same, alias, unknown := 0, 0, 0
	for _, file := range slices.Sorted(maps.Keys(files)) {
		addresses := files[file]
		theirs, err := b.gdbNames(file, addresses)
		if err != nil {
			return 0, err
		}
		covered, err := coveredBy(file)
		if err != nil {
			return 0, err
		}
		for i, address := range addresses {
			ours := named[place{file, address}]
			name, _, _ := strings.Cut(theirs[i], " + ")
			name = strings.TrimSuffix(name, ".abi0") // Go's linker, for assembly
			switch {
			case name == "":
				unknown++
			case symbolizers.Plain(name) == symbolizers.Plain(ours):
				same++
			case covered(ours, address):
				alias++
			default:
				wrong++
				b.say("%s %#x is %q, gdb says %q", file, address, ours, theirs[i])
			}
		}
	}
	fmt.Printf("\nNamed places: %d as by gdb, %d by another symbol around the place, %d that gdb cannot name, %d otherwise.\n", same, alias, unknown, wrong)
	return wrong, nil
}

// coveredBy returns whether a symbol of a file, or of its debug file, has a name
// and an address in it.
func coveredBy(path string) (func(name string, address uint64) bool, error) {
	symbols, err := symbolizers.Symbols(path)
	if err != nil {
		return nil, err
	}
	if id, err := buildID(path); err == nil {
		if _, err := os.Stat(debugPath(id)); err == nil {
			more, err := symbolizers.Symbols(debugPath(id))
			if err != nil {
				return nil, err
			}
			symbols = append(symbols, more...)
		}
	}
	byName := make(map[string][]symbolizers.Symbol)
	for _, s := range symbols {
		name := symbolizers.Plain(s.Name)
		byName[name] = append(byName[name], s)
	}
	return func(name string, address uint64) bool {
		return slices.ContainsFunc(byName[symbolizers.Plain(name)], func(s symbolizers.Symbol) bool {
			return address >= s.Start && address-s.Start < s.Size
		})
	}, nil
}
