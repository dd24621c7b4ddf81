package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent"
	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/input"
)

// symbolizeMemory is how much memory there may be before garbage is collected.
const symbolizeMemory = 256 << 20

// symbolizeOptions are the flags of symbolize.
type symbolizeOptions struct {
	output   string
	json     bool
	demangle string
	indexDir string
}

func (a *app) symbolizeCommand() *cobra.Command {
	var o symbolizeOptions
	cmd := &cobra.Command{
		Use:   "symbolize [flags] (FILE [ADDRESS...] | PROFILE -o OUT)",
		Short: "Name addresses of an executable, or the frames of a profile",
		Long: "Symbolize prints the function, file, line and column of each ADDRESS in an\n" +
			"executable, calls that were inlined there included, the innermost first. An\n" +
			"ADDRESS is an ELF virtual address in hex; without any, they are read from\n" +
			"standard input, one a line. With -o it names the frames of a pprof file that\n" +
			"have no names, by the executables at the paths that the profile tells, if their\n" +
			"build IDs are those of the profile.",
		Example: "  staccato symbolize /usr/bin/app 0x1234 0x5678\n" +
			"  staccato symbolize --json /usr/bin/app <addresses\n" +
			"  staccato symbolize old.pb.gz -o named.pb.gz",
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.symbolize(o, args[0], args[1:]) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.output, "output", "o", "", "name a profile and write it to this `FILE`: .pb.gz, .pb (pprof) or .folded; - is standard output")
	flags.BoolVar(&o.json, "json", false, "print a JSON object per address, each in a line")
	flags.StringVar(&o.demangle, "demangle", "simple", "print C++ and Rust names in this `STYLE`: none, simple or full")
	addIndexDir(flags, &o.indexDir)
	return cmd
}

func (a *app) symbolize(o symbolizeOptions, file string, args []string) error {
	style := agent.Demangle(o.demangle)
	if err := style.Check(); err != nil {
		return usageError("--%v", err)
	}
	// In a run this short, collecting garbage would be a third of the work.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(symbolizeMemory)
	names := agent.NewOffline(agent.NamesConfig{IndexDirectory: o.indexDir, Demangle: style})
	if o.output != "" {
		if len(args) > 0 || o.json {
			return usageError("-o is for profiles, and goes with neither addresses nor --json")
		}
		return a.symbolizeProfile(names, file, o.output)
	}
	var addresses []uint64
	for _, arg := range args {
		address, err := parseAddress(arg)
		if err != nil {
			return usageError("%v", err)
		}
		addresses = append(addresses, address)
	}
	if len(args) == 0 {
		var err error
		if addresses, err = readAddresses(a.stdin); err != nil {
			return err
		}
	}
	out := newLinePrinter(a.stdout)
	each := func(_ int, lines []staccato.Line) { out.print(lines) }
	if o.json {
		each = func(i int, lines []staccato.Line) { out.json(addresses[i], lines) }
	}
	reason, err := names.Name(a.stop, file, addresses, each)
	if err != nil {
		return fmt.Errorf("symbolize: %w", err)
	}
	if reason != "" {
		fmt.Fprintf(a.stderr, "Note: %s: %s.\n", printable(file), printable(reason))
	}
	a.noteUnkept(names)
	return out.flush()
}

// symbolizeProfile writes a profile with names for what has none.
func (a *app) symbolizeProfile(names *agent.Offline, file, path string) error {
	format, err := formatOf("-o", path)
	if err != nil {
		return err
	}
	if path == "-" && a.stdoutTerminal {
		return usageError("-o -: a pprof file is nothing for a terminal; send it to a file or a pipe")
	}
	p, err := a.readProfile(file, input.Auto)
	if err != nil {
		return err
	}
	out := standardOutput(a.stdout, format.write)
	if path != "-" {
		if out, err = openOutput(path, false, format.write); err != nil {
			return err
		}
	}
	defer out.discard()
	named, unnamed, err := names.NameProfile(a.stop, p)
	if err != nil {
		return fmt.Errorf("symbolize: %w", err)
	}
	size, err := out.save(a.abort, exporter.Input{Profile: p})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "Named %s.\n", plural(named, "location"))
	for _, u := range unnamed {
		fmt.Fprintf(a.stderr, "! %s in %s without a name", plural(u.Locations, "location"), printable(u.Path))
		if u.Reason != "" {
			fmt.Fprintf(a.stderr, ": %s", printable(u.Reason))
		}
		fmt.Fprintln(a.stderr)
	}
	a.noteUnkept(names)
	a.saved(path, size)
	return nil
}

func (a *app) noteUnkept(names *agent.Offline) {
	if err := names.Unkept(); err != nil {
		fmt.Fprintf(a.stderr, "Note: what is read of debug information cannot be kept for the next time: %s.\n", printable(err.Error()))
	}
}

// maxAddresses bounds what is read from standard input.
const maxAddresses = 1 << 24

func readAddresses(r io.Reader) ([]uint64, error) {
	// Memory that is not written to costs nothing, but growing does.
	all := make([]uint64, 0, 1<<14)
	in := bufio.NewReaderSize(r, 16<<10)
	for number := 1; ; number++ {
		line, err := in.ReadSlice('\n')
		if err != nil && (err != io.EOF || len(line) == 0) {
			if err == io.EOF {
				return all, nil
			}
			return nil, fmt.Errorf("read addresses: %w", err)
		}
		address, ok := parseHex(line[:len(line)-1])
		if !ok || line[len(line)-1] != '\n' {
			line = bytes.TrimSpace(line)
			if len(line) == 0 {
				continue
			}
			if address, err = parseAddress(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
		}
		if len(all) == maxAddresses {
			return nil, fmt.Errorf("more than %d addresses", maxAddresses)
		}
		all = append(all, address)
	}
}

// parseAddress reads a hex number, with or without 0x.
func parseAddress[T string | []byte](text T) (uint64, error) {
	address, ok := parseHex(text)
	if !ok {
		return 0, fmt.Errorf("%q is no address: want a hex number", text)
	}
	return address, nil
}

// hexDigits are the values of digits, plus 1: no branch depends on them.
var hexDigits = [256]uint8{
	'0': 1, '1': 2, '2': 3, '3': 4, '4': 5, '5': 6, '6': 7, '7': 8, '8': 9, '9': 10,
	'a': 11, 'b': 12, 'c': 13, 'd': 14, 'e': 15, 'f': 16,
	'A': 11, 'B': 12, 'C': 13, 'D': 14, 'E': 15, 'F': 16,
}

func parseHex[T string | []byte](digits T) (number uint64, ok bool) {
	if len(digits) >= 2 && digits[0] == '0' && digits[1]|0x20 == 'x' {
		digits = digits[2:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	for i := range len(digits) {
		d := hexDigits[digits[i]]
		if d == 0 || number>>60 != 0 {
			return 0, false
		}
		number = number<<4 | uint64(d-1)
	}
	return number, true
}

// printerBuffer is what is written at once, in bytes.
const printerBuffer = 32 << 10

// linePrinter prints the lines of addresses.
type linePrinter struct {
	out    io.Writer
	buffer []byte
	err    error // the first
}

func newLinePrinter(out io.Writer) *linePrinter {
	return &linePrinter{out: out, buffer: make([]byte, 0, printerBuffer+4<<10)}
}

// print prints as llvm-symbolizer does: per frame a line with the function and
// one with its place, and an empty line.
func (p *linePrinter) print(lines []staccato.Line) {
	b := p.buffer
	if len(lines) == 0 {
		b = append(b, "??\n??:0:0\n"...)
	}
	for i := range lines {
		l := &lines[i]
		file := l.Function.File
		if file == "" {
			file = "??"
		}
		b = appendPrintable(b, l.Function.Name)
		b = append(b, '\n')
		b = appendPrintable(b, file)
		b = append(b, ':')
		b = strconv.AppendInt(b, l.Line, 10)
		b = append(b, ':')
		b = strconv.AppendInt(b, l.Column, 10)
		b = append(b, '\n')
	}
	p.append(append(b, '\n'))
}

// append takes the buffer back, and writes it when it is full.
func (p *linePrinter) append(b []byte) {
	if p.buffer = b; len(b) >= printerBuffer {
		_ = p.flush()
	}
}

func (p *linePrinter) flush() error {
	if p.err == nil {
		_, p.err = p.out.Write(p.buffer)
	}
	p.buffer = p.buffer[:0]
	return p.err
}

// jsonAddress and jsonFrame have the names of llvm-symbolizer's JSON.
type jsonAddress struct {
	Address string
	Symbol  []jsonFrame
}

type jsonFrame struct {
	Column       int64
	FileName     string
	FunctionName string
	Line         int64
	StartLine    int64
}

func (p *linePrinter) json(address uint64, lines []staccato.Line) {
	all := jsonAddress{Address: fmt.Sprintf("%#x", address), Symbol: []jsonFrame{}}
	for _, l := range lines {
		all.Symbol = append(all.Symbol, jsonFrame{l.Column, l.Function.File, l.Function.Name, l.Line, l.Function.StartLine})
	}
	text, err := json.Marshal(all)
	if err != nil && p.err == nil {
		p.err = err
	}
	p.append(append(append(p.buffer, text...), '\n'))
}
