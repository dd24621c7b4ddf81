// Package symbolizers asks other programs what they call addresses, for tests
// and measurements to compare with.
package symbolizers

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"sort"
	"strconv"
	"strings"
)

// Frame is a function at an address: the innermost inlined call comes first.
type Frame struct {
	Function, File string
	Line, Column   int
}

// Symbol is a function's symbol.
type Symbol struct {
	Name        string
	Start, Size uint64
}

// Symbols returns the functions in the symbol tables of an ELF file, as
// readelf prints them.
func Symbols(path string) ([]Symbol, error) {
	out, err := run(nil, "readelf", "-sW", path)
	if err != nil {
		return nil, err
	}
	var all []Symbol
	for line := range strings.Lines(string(out)) {
		// Num: Value Size Type Bind Vis Ndx Name
		f := strings.Fields(line)
		if len(f) < 8 || f[3] != "FUNC" && f[3] != "IFUNC" || f[6] == "UND" {
			continue
		}
		start, err := strconv.ParseUint(f[1], 16, 64)
		if err != nil {
			return nil, fmt.Errorf("read symbols: %w", err)
		}
		size, err := strconv.ParseUint(f[2], 0, 64)
		if err != nil {
			return nil, fmt.Errorf("read symbols: %w", err)
		}
		all = append(all, Symbol{f[7], start, size})
	}
	return all, nil
}

// Addresses returns n random addresses in functions, each byte of their code
// with the same probability.
func Addresses(symbols []Symbol, n int, seed uint64) []uint64 {
	sums := make([]uint64, len(symbols))
	total := uint64(0)
	for i, s := range symbols {
		total += s.Size
		sums[i] = total
	}
	if total == 0 {
		return nil
	}
	random := rand.New(rand.NewPCG(seed, 0))
	all := make([]uint64, n)
	for i := range all {
		at := random.Uint64N(total)
		s := sort.Search(len(sums), func(i int) bool { return sums[i] > at })
		all[i] = symbols[s].Start + sums[s] - 1 - at
	}
	return all
}

// Input is addresses as symbolizers read them, one in a line.
func Input(addresses []uint64) []byte {
	var b bytes.Buffer
	for _, a := range addresses {
		fmt.Fprintf(&b, "%#x\n", a)
	}
	return b.Bytes()
}

// LLVM asks llvm-symbolizer. Names are the linker's.
func LLVM(path string, addresses []uint64) ([][]Frame, error) {
	out, err := run(Input(addresses), "llvm-symbolizer-19", "--obj="+path, "--no-demangle")
	if err != nil {
		return nil, err
	}
	return Parse(bytes.NewReader(out))
}

// Parse reads what llvm-symbolizer prints: per frame a line with the function
// and one with file:line:column, and an empty line after each address. What is
// not known is "" and 0.
func Parse(r io.Reader) ([][]Frame, error) {
	var all [][]Frame
	var frames []Frame
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if in.Text() == "" {
			all, frames = append(all, frames), nil
			continue
		}
		f := Frame{Function: known(in.Text())}
		if !in.Scan() {
			return nil, io.ErrUnexpectedEOF
		}
		place := in.Text()
		for _, to := range []*int{&f.Column, &f.Line} {
			i := strings.LastIndexByte(place, ':')
			n, err := strconv.Atoi(place[i+1:])
			if i < 0 || err != nil {
				return nil, fmt.Errorf("read symbolizer's output: %q is no place", in.Text())
			}
			*to, place = n, place[:i]
		}
		f.File = known(place)
		frames = append(frames, f)
	}
	return all, in.Err()
}

func known(s string) string {
	if s == "??" {
		return ""
	}
	return s
}

func run(input []byte, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s %q: %w", name, args, err)
	}
	return out, nil
}
