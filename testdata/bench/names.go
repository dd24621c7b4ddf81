package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/staccato-profiler/staccato/testdata/symbolizers"
	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// named is a file with debugging information.
type named struct {
	what, path string
}

const (
	namedAddresses = 10_000
	// namedRuns is how often each program runs; the figures are means.
	namedRuns = 5
	// As in symbolizer.Config.
	buildMemory = "256 MiB"
)

func namesTakes(*bench) time.Duration { return 3 * time.Minute }

// names compares the names of random addresses with those of llvm-symbolizer,
// and what it costs to get them.
func names(b *bench) error {
	files, err := b.namedFiles()
	if err != nil {
		return err
	}
	classes := []string{symbolizers.Same, symbolizers.Alias, symbolizers.SymbolOnly, symbolizers.Folded,
		symbolizers.Outer, symbolizers.Depth, symbolizers.Inner, symbolizers.Places}
	fmt.Printf("| file | addresses | %s |\n|---%s|\n", strings.Join(classes, " | "), strings.Repeat("|---", len(classes)+1))
	var costs []string
	for _, f := range files {
		b.say("names: %s", f.what)
		symbols, err := symbolizers.Symbols(f.path)
		if err != nil {
			return err
		}
		addresses := symbolizers.Addresses(symbols, namedAddresses, 1)
		if err := b.compareNames(f, symbols, addresses, classes); err != nil {
			return err
		}
		cost, err := b.nameCosts(f, symbolizers.Input(addresses))
		if err != nil {
			return err
		}
		costs = append(costs, cost)
	}
	fmt.Printf("\n| file | staccato, warm, ms | of these its start | llvm-symbolizer ms | addr2line ms | times less than llvm-symbolizer | than addr2line | making the index ms | llvm-gsymutil ms | of it | index KB | peak MiB, limit %s |\n|%s\n",
		buildMemory, strings.Repeat("---|", 12))
	for _, cost := range costs {
		fmt.Println(cost)
	}
	return nil
}

func (b *bench) compareNames(f named, symbols []symbolizers.Symbol, addresses []uint64, classes []string) error {
	theirs, err := symbolizers.LLVM(f.path, addresses)
	if err != nil {
		return err
	}
	out, err := b.timed(symbolizers.Input(addresses), b.path("staccato"), b.symbolizeArgs("--demangle", "none", f.path)...)
	if err != nil {
		return err
	}
	ours, err := symbolizers.Parse(bytes.NewReader(out.stdout))
	if err != nil {
		return err
	}
	c, err := symbolizers.Compare(symbols, addresses, ours, theirs)
	if err != nil {
		return err
	}
	fmt.Printf("| %s | %d |", f.what, len(addresses))
	for _, class := range classes {
		fmt.Printf(" %d |", c.Count[class])
	}
	fmt.Println()
	for _, class := range []string{symbolizers.Outer, symbolizers.Depth, symbolizers.Inner, symbolizers.Places} {
		if c.Count[class] > 0 {
			b.say("%s: %v", class, c.Example[class])
		}
	}
	return nil
}

func (b *bench) symbolizeArgs(args ...string) []string {
	return append([]string{"symbolize", "--index-dir", b.path("index")}, args...)
}

// nameCosts measures whole processes that take turns.
func (b *bench) nameCosts(f named, input []byte) (string, error) {
	staccato := b.path("staccato")
	commands := [][]string{
		append([]string{staccato}, b.symbolizeArgs("--demangle", "none", f.path)...),
		{staccato, "version"},
		{"llvm-symbolizer-19", "--obj=" + f.path, "--no-demangle"},
		{"addr2line", "-f", "-i", "-e", f.path},
		{staccato, "symbolize", "--index-dir", b.path("new"), f.path, "0"},
		{"llvm-gsymutil-19", "--num-threads=1", "--convert", f.path, "-o", b.path("gsym")},
	}
	ms := make([]float64, len(commands))
	peak := 0.0
	for range namedRuns {
		for i, c := range commands {
			if err := os.RemoveAll(b.path("new")); err != nil {
				return "", err
			}
			r, err := b.timed(input, c[0], c[1:]...)
			if err != nil {
				return "", err
			}
			ms[i] += float64(r.cpu.Microseconds()) / 1000 / namedRuns
			if i == 4 {
				peak = max(peak, float64(r.peak)/(1<<20))
			}
		}
	}
	size := int64(0)
	files, err := filepath.Glob(filepath.Join(b.path("index"), "*"))
	if err != nil {
		return "", err
	}
	newest := time.Time{}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && info.ModTime().After(newest) {
			newest, size = info.ModTime(), info.Size()
		}
	}
	return fmt.Sprintf("| %s | %.1f | %.1f | %.0f | %.0f | %.1f | %.1f | %.0f | %.0f | %.2f | %d | %.0f |",
		f.what, ms[0], ms[1], ms[2], ms[3], ms[2]/ms[0], ms[3]/ms[0], ms[4], ms[5], ms[4]/ms[5], size>>10, peak), nil
}

// result is what a process printed, and took.
type result struct {
	stdout []byte
	cpu    time.Duration
	peak   int64 // of memory, in bytes
}

// timed runs a program to its end.
func (b *bench) timed(input []byte, name string, args ...string) (result, error) {
	var stderr bytes.Buffer
	var stdout bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return result{}, fmt.Errorf("run %s: %w: %s", name, err, stderr.String())
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return result{}, errors.New("the system does not say what a process took")
	}
	return result{stdout.Bytes(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Maxrss << 10}, nil
}

// namedFiles returns what there is of: a C library and an interpreter from
// Debian's packages libc6-dbg and libpython3.11-dbg, a C++ and a Rust program; and
// the files that were asked for.
func (b *bench) namedFiles() ([]named, error) {
	var files []named
	for _, library := range []struct{ what, pattern string }{
		{"libc (libc6-dbg)", "/lib/*-linux-gnu/libc.so.6"},
		{"libpython (libpython3.11-dbg)", "/usr/lib/*-linux-gnu/libpython3.*.so.1.0"},
	} {
		found, err := filepath.Glob(library.pattern)
		if err != nil {
			return nil, err
		}
		for _, path := range found {
			debug, err := debugFile(path)
			if err != nil {
				b.say("names: %s is left out: %v", library.what, err)
				continue
			}
			files = append(files, named{library.what, debug})
			break
		}
	}
	for _, flags := range [][]string{{"-O3"}, {"-O3", "-gdwarf-4"}} {
		path := b.path(workloads.Name("cpp/mixed.cc", flags...))
		if err := workloads.Compile(path, "cpp/mixed.cc", flags...); err != nil {
			return nil, err
		}
		files = append(files, named{"C++, g++ " + strings.Join(flags, " "), path})
	}
	if path := b.path("rust"); exec.Command("rustc", "-O", "-g", "-o", path, "testdata/workloads/rust/words.rs").Run() == nil {
		files = append(files, named{"Rust, rustc -O -g", path})
	} else {
		b.say("names: there is no rustc")
	}
	for _, path := range b.files {
		files = append(files, named{filepath.Base(path), path})
	}
	return files, nil
}

// debugFile finds the file with the debugging information of a Debian package
// by its build ID.
func debugFile(path string) (string, error) {
	id, err := buildID(path)
	if err != nil {
		return "", err
	}
	debug := debugPath(id)
	f, err := os.Open(debug)
	if err != nil {
		return "", err
	}
	defer f.Close()
	_, err = io.ReadFull(f, make([]byte, 4))
	return debug, err
}

// buildID is a file's, by readelf.
func buildID(path string) (string, error) {
	out, err := exec.Command("readelf", "-n", path).Output()
	if err != nil {
		return "", fmt.Errorf("read build ID: %w", err)
	}
	_, id, _ := strings.Cut(string(out), "Build ID: ")
	words := strings.Fields(id)
	if len(words) == 0 || len(words[0]) < 3 {
		return "", errors.New("no build ID")
	}
	return words[0], nil
}

// debugPath is where packages put the debug file of a build ID.
func debugPath(id string) string {
	return filepath.Join("/usr/lib/debug/.build-id", id[:2], id[2:]+".debug")
}
