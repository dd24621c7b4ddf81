package gopclntab

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// ErrNoTable says that a file is not a Go program.
var ErrNoTable = errors.New("no Go line table")

// Config bounds what a table takes in. The zero value is the default.
type Config struct {
	// Limit is the greatest size in bytes of a table that is kept in memory, as
	// those of Go 1.16 and 1.17 are; default 64 MiB.
	Limit int64
}

const (
	// maxFunctions is how many functions a program may have: all are looked at once.
	// Seen: a million, in 700 MB.
	maxFunctions = 1 << 23
	tablePages   = 32
	callPages    = 8
)

// New opens the line table of a Go program. The table reads the file whenever it is
// asked. The error is [ErrNoTable] when the file has none.
func New(file *elffile.File, config Config) (*Table, error) {
	if config.Limit == 0 {
		config.Limit = 64 << 20
	}
	if !file.Wide {
		return nil, ErrNoTable
	}
	at, size, err := locate(file)
	if err != nil {
		return nil, err
	}
	t, err := read(file, at, size, config)
	if err != nil {
		return nil, fmt.Errorf("read Go line table: %w", err)
	}
	return t, nil
}

// read makes the table from the size bytes of memory at address at.
func read(file *elffile.File, at, size uint64, config Config) (*Table, error) {
	start := make([]byte, headerSize)
	if err := file.ReadAddress(start, at); err != nil {
		return nil, err
	}
	h, err := parseHeader(start, size)
	if err != nil {
		return nil, err
	}
	module, err := findModule(file, at, &h)
	if err != nil {
		return nil, err
	}
	size = min(size, module.limit-at)
	if h, err = parseHeader(start, size); err != nil {
		return nil, err
	}
	if h.functions > maxFunctions {
		return nil, fmt.Errorf("%d functions are more than %d", h.functions, maxFunctions)
	}
	t := &Table{header: h}
	if err := t.open(file, at, size, config.Limit); err != nil {
		return nil, err
	}
	if !h.pointers {
		entry, ok := t.entry(0)
		if !ok {
			return nil, t.data.err
		}
		t.text = module.firstEntry - entry
	}
	if err := t.findStarts(); err != nil {
		return nil, err
	}
	if start, limit := t.Range(); start != module.firstEntry || limit != module.lastLimit {
		return nil, errors.New("function addresses differ from the module's")
	}
	t.findCalls(file, module.callBases)
	return t, t.data.err
}

// open makes the table's content readable.
func (t *Table) open(file *elffile.File, at, size uint64, limit int64) error {
	in, err := file.AddressReader(at)
	if err != nil {
		return err
	}
	if size > uint64(in.Size()) {
		return fmt.Errorf("the file has %d of its %d bytes", in.Size(), size)
	}
	t.data = newPages(in, size, tablePages)
	if !t.pointers {
		return nil
	}
	// Position-independent programs have the addresses in their relocations only.
	if size > uint64(limit) {
		return fmt.Errorf("%d MiB exceed the memory limit of %d MiB", size>>20, limit>>20)
	}
	whole := make([]byte, size)
	if _, err := io.ReadFull(in, whole); err != nil {
		return err
	}
	if err := relocate(file, whole, at); err != nil {
		return err
	}
	t.data, t.whole = newPages(bytes.NewReader(whole), size, tablePages), int64(size)
	return nil
}

// findStarts notes where some functions begin, and makes sure that they are in
// order.
func (t *Table) findStarts() error {
	t.starts = make([]uint64, 0, t.functions/startsStep+1)
	var in window
	in.over(t.data.in, t.data.size)
	for i := range t.functions + 1 {
		b := in.bytes(t.table+2*i*t.entrySize(), int(t.entrySize()))
		if b == nil {
			return in.err
		}
		entry := t.address(b)
		switch {
		case entry < t.limit:
			return errors.New("functions are not in order")
		case i%startsStep == 0 && i < t.functions:
			t.starts = append(t.starts, entry)
		}
		t.limit = entry
	}
	return nil
}

const (
	// sampleCalls is how many functions with inlined calls are looked at to tell
	// whether an address is that of the inlined calls.
	sampleCalls = 64
	// maxWithoutCalls is how many functions are looked at to find these.
	maxWithoutCalls = 1 << 16
)

// findCalls finds the inlined calls, of which the address may be any of bases. When
// none is right, the table does without.
func (t *Table) findCalls(file *elffile.File, bases []uint64) {
	var sample []function
	for i := uint64(0); i < min(t.functions, maxWithoutCalls) && len(sample) < sampleCalls; i++ {
		f, ok := t.function(i)
		if !ok {
			continue
		}
		w := walk{table: t, function: f}
		if _, ok := w.tree(); ok && w.hasCalls() {
			sample = append(sample, f)
		}
	}
	if len(sample) == 0 {
		t.inlined = t.functions <= maxWithoutCalls // nothing is inlined anywhere
		return
	}
	if t.pointers {
		bases = t.segmentOf(file, sample[0])
	}
	for _, base := range slices.Compact(bases) {
		in, err := file.AddressReader(base)
		if err != nil {
			continue
		}
		t.calls, t.callsBase = newPages(in, uint64(in.Size()), callPages), base
		if t.plausible(sample) {
			t.inlined = true
			return
		}
	}
	t.calls = pages{}
}

// segmentOf returns where the part of memory begins that has a function's inlined
// calls.
func (t *Table) segmentOf(file *elffile.File, f function) []uint64 {
	address, _ := (&walk{table: t, function: f}).tree()
	for _, s := range file.Segments {
		if address >= s.Start && address < s.Limit {
			return []uint64{s.Start}
		}
	}
	return nil
}

// plausible reports whether the inlined calls of the sample make sense: known
// names, and callers inside of the function.
func (t *Table) plausible(sample []function) bool {
	for _, f := range sample {
		tree, ok := (&walk{table: t, function: f}).tree()
		if !ok {
			return false
		}
		call, ok := t.inlinedCall(tree, 0)
		if !ok || f.entry+uint64(call.parent) >= f.limit {
			return false
		}
		if _, ok := t.name(call.name); !ok {
			return false
		}
	}
	return true
}
