package gopclntab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// ErrNoTable says that a file is not a Go program.
var ErrNoTable = errors.New("no Go line table")

// Config bounds what a table takes in. The zero value is the default.
type Config struct {
	// Limit is the greatest size of the table in bytes; default 64 MiB.
	Limit int64
}

// New reads the line table of a Go program. The file is not needed afterwards.
// The error is [ErrNoTable] when the file has none.
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
	if int64(size) > config.Limit {
		return nil, fmt.Errorf("%d MiB exceed the memory limit of %d MiB", size>>20, config.Limit>>20)
	}
	if h, err = parseHeader(start, size); err != nil {
		return nil, err
	}
	t := &Table{header: h, data: make([]byte, size)}
	if err := file.ReadAddress(t.data, at); err != nil {
		return nil, err
	}
	if h.pointers {
		// Position-independent programs have the addresses in their
		// relocations only.
		if err := relocate(file, t.data, at); err != nil {
			return nil, err
		}
	} else {
		t.text = module.firstEntry - uint64(binary.LittleEndian.Uint32(t.data[h.table:]))
	}
	if !t.sorted() {
		return nil, errors.New("functions are not in order")
	}
	if start, limit := t.Range(); start != module.firstEntry || limit != module.lastLimit {
		return nil, errors.New("function addresses differ from the module's")
	}
	return t, t.findCalls(file, module.callBases, config.Limit-int64(size))
}

// sorted reports whether binary search can work.
func (t *Table) sorted() bool {
	for i := range t.functions {
		if t.entry(i) > t.entry(i+1) {
			return false
		}
	}
	return true
}

// sampleCalls is how many functions with inlined calls are looked at to tell
// whether an address is that of the inlined calls.
const sampleCalls = 64

// findCalls finds and reads the inlined calls, of which the address may be any
// of bases. When none is right, the table does without.
func (t *Table) findCalls(file *elffile.File, bases []uint64, limit int64) error {
	if t.pointers {
		bases = []uint64{0}
	}
	first, last, found := uint64(0), uint64(0), false
	var lastFunction function
	var sample []function
	for i := range t.functions {
		f, ok := t.function(i)
		if !ok {
			continue
		}
		tree, ok := t.treeAddress(f) // relative, as callsBase is still 0
		if !ok {
			continue
		}
		if _, ok := (&walk{table: t, function: f}).callValues(); !ok {
			continue
		}
		if !found || tree < first {
			first = tree
		}
		if !found || tree > last {
			last, lastFunction = tree, f
		}
		found = true
		if len(sample) < sampleCalls {
			sample = append(sample, f)
		}
	}
	if !found {
		t.inlined = true // nothing is inlined anywhere
		return nil
	}
	size := uint64((t.lastCall(lastFunction) + 1) * t.call.size)
	if limit < 0 || size > uint64(limit) || last-first > uint64(limit)-size {
		return errors.New("inlined calls exceed the memory limit")
	}
	t.calls = make([]byte, last-first+size)
	for _, base := range slices.Compact(bases) {
		t.callsBase, t.callsAt = base, base+first
		if file.ReadAddress(t.calls, t.callsAt) == nil && t.plausible(sample) {
			t.inlined = true
			return nil
		}
	}
	t.calls = nil
	return nil
}

// lastCall returns the greatest index of an inlined call in f.
func (t *Table) lastCall(f function) int {
	w := walk{table: t, function: f, steps: maxSteps}
	offset, _ := w.callValues()
	return int(w.greatest(offset))
}

// plausible reports whether the inlined calls of the sample make sense: known
// names, and callers inside of the function.
func (t *Table) plausible(sample []function) bool {
	for _, f := range sample {
		w := walk{table: t, function: f}
		tree, ok := w.tree()
		if !ok || len(tree) < t.call.size {
			return false
		}
		le := binary.LittleEndian
		if _, ok := t.name(le.Uint32(tree[t.call.name:])); !ok {
			return false
		}
		if f.entry+uint64(le.Uint32(tree[t.call.parent:])) >= f.limit {
			return false
		}
	}
	return true
}
