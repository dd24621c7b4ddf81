// Package unwind makes the unwind tables of executables: from their call frame
// information, and for Go's code from Go's own tables.
package unwind

import (
	"cmp"
	"debug/elf" // for its constants only
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
)

// maxSection is the size in bytes of call frame information that is read.
const maxSection = 128 << 20

// ErrNoRows says that a file has nothing to unwind by.
var ErrNoRows = errors.New("no call frame information")

// Source is what an executable says about unwinding its code. It holds the
// sections it is made of in memory.
type Source struct {
	arch      ehframe.Arch
	segments  []elffile.Segment
	outermost codeRange        // what the kernel starts, if nothing else is known of it
	cfi       []*ehframe.Table // in order of preference
	golang    *goCode          // nil: no Go program
	glue      [][]row          // code that the linker puts together
	size      int64            // bytes of memory
}

// Open reads what the executable has. The error is ErrNoRows when that is
// nothing.
func Open(content staccato.File) (*Source, error) {
	file, err := elffile.Open(content)
	if err != nil {
		return nil, err
	}
	s := &Source{}
	switch {
	case file.Machine == elf.EM_X86_64 && file.Wide:
		s.arch = ehframe.AMD64
	case file.Machine == elf.EM_AARCH64 && file.Wide:
		s.arch = ehframe.ARM64
	default:
		return nil, ErrNoRows
	}
	for _, segment := range file.Segments {
		if segment.Flags&elf.PF_X != 0 {
			s.segments = append(s.segments, segment)
		}
	}
	var faults []error // of single sections, which leave the others
	slices.SortFunc(s.segments, func(a, b elffile.Segment) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, each := range []struct {
		name  string
		debug bool
	}{{".eh_frame", false}, {".debug_frame", true}} {
		t, err := readSection(file, each.name, s.arch, each.debug)
		if err != nil {
			faults = append(faults, fmt.Errorf("read %s: %w", each.name, err))
		}
		if t != nil && t.Len() > 0 {
			s.cfi = append(s.cfi, t)
			s.size += int64(file.Section(each.name).Size) + int64(t.Len())*rangeBytes
		}
	}
	switch t, err := gopclntab.New(file, gopclntab.Config{}); {
	case err == nil:
		s.golang = newGoCode(t, s.arch)
		s.size += s.golang.bytes()
	case !errors.Is(err, gopclntab.ErrNoTable):
		faults = append(faults, err)
	}
	if len(s.cfi) == 0 && s.golang == nil {
		return nil, errors.Join(append(faults, ErrNoRows)...)
	}
	s.glue = glueOf(file, s.arch)
	s.findEntry(file.Entry)
	return s, nil
}

// codeRange is from start to limit (exclusive), ELF addresses.
type codeRange struct{ start, limit uint64 }

// maxEntry is how many bytes the code at an executable's entry may have that
// has no call frame information.
const maxEntry = 256

// findEntry finds the code that the kernel starts: nobody has called it. Entry 0
// means that there is none.
func (s *Source) findEntry(entry uint64) {
	if entry == 0 {
		return
	}
	rows := s.code(entry, entry+maxEntry)
	if rows[0].rule != (native.Rule{}) {
		return
	}
	s.outermost = codeRange{entry, entry + maxEntry}
	if len(rows) > 1 {
		s.outermost.limit = rows[1].address
	}
}

// rangeBytes is what an ehframe.Table takes for each FDE.
const rangeBytes = 16

// Rule returns the rule for an ELF address.
func (s *Source) Rule(address uint64) native.Rule {
	return s.code(address, address+1)[0].rule
}

// readSection returns nil when there is no such section.
func readSection(file *elffile.File, name string, arch ehframe.Arch, debug bool) (*ehframe.Table, error) {
	section := file.Section(name)
	if section == nil {
		return nil, nil
	}
	r, err := file.Reader(section)
	if errors.Is(err, elffile.ErrNoData) {
		return nil, nil // compressed, as debug information may be
	}
	if err != nil {
		return nil, err
	}
	if r.Size() > maxSection {
		return nil, fmt.Errorf("%d MiB are more than %d", r.Size()>>20, maxSection>>20)
	}
	data := make([]byte, r.Size())
	if n, err := r.ReadAt(data, 0); n < len(data) {
		return nil, errors.Join(err, io.ErrUnexpectedEOF)
	}
	// What precedes a fault is good.
	t, _ := ehframe.NewTable(ehframe.Section{Arch: arch, Data: data, Address: section.Addr, Debug: debug})
	return t, nil
}

// Rows returns the rows for a chunk: size bytes of the file from offset on.
// There is always one at 0.
func (s *Source) Rows(offset uint64, size uint32) []native.Row {
	limit := offset + uint64(size)
	rows := &chunkRows{}
	rows.add(0, native.Rule{})
	done := offset
	for i := range s.segments {
		segment := &s.segments[i]
		from, to := max(done, segment.Offset), min(limit, segment.Offset+segment.FileSize)
		if from >= to {
			continue
		}
		done = to
		toChunk := segment.Offset - segment.Start - offset // to add to an address
		s.eachRow(from-segment.Offset+segment.Start, to-segment.Offset+segment.Start, func(r row) {
			rows.add(uint32(r.address+toChunk), r.rule)
		})
		if to < limit {
			rows.add(uint32(to-offset), native.Rule{})
		}
	}
	return rows.rows
}

// row holds from an ELF address on.
type row struct {
	address uint64
	rule    native.Rule
}

// eachRow passes on the rows of code from start to limit (exclusive), the first
// for start.
func (s *Source) eachRow(start, limit uint64, emit func(row)) {
	if s.golang == nil && len(s.cfi) == 1 && !s.special(start, limit) {
		// Most code: large files' rows are not collected here.
		s.cfi[0].Rows(start, limit, func(r ehframe.Row) { emit(row{r.PC, native.FromCFI(r.Rule, s.arch)}) })
		return
	}
	for _, r := range s.code(start, limit) {
		emit(r)
	}
}

// special says that there may be more to know of code than its call frame
// information.
func (s *Source) special(start, limit uint64) bool {
	return max(start, s.outermost.start) < min(limit, s.outermost.limit) ||
		slices.ContainsFunc(s.glue, func(rows []row) bool {
			return max(start, rows[0].address) < min(limit, rows[len(rows)-1].address)
		})
}

// code returns the rows of code from start to limit (exclusive), the first for
// start.
func (s *Source) code(start, limit uint64) []row {
	var rows []row
	if s.golang != nil {
		rows = s.golang.rows(start, limit)
	}
	for _, t := range s.cfi {
		var more []row
		t.Rows(start, limit, func(r ehframe.Row) {
			more = append(more, row{r.PC, native.FromCFI(r.Rule, s.arch)})
		})
		rows = fill(rows, more, limit)
	}
	for _, function := range s.glue {
		rows = fill(rows, clip(function, start), limit)
	}
	if from, to := max(s.outermost.start, start), min(s.outermost.limit, limit); from < to {
		rows = fill(rows, []row{{address: start}, {from, native.Stop}, {to, native.Rule{}}}, limit)
	}
	return rows
}

// clip returns rows that begin at start and then are as those given.
func clip(rows []row, start uint64) []row {
	out := []row{{address: start}}
	for _, r := range rows {
		if r.address > start {
			out = append(out, r)
		} else {
			out[0].rule = r.rule
		}
	}
	return out
}

// fill puts rows of the second list where the first knows nothing. Both begin at
// the same address, and hold up to limit.
func fill(first, second []row, limit uint64) []row {
	if len(first) == 0 {
		return second
	}
	if len(second) == 0 {
		return first
	}
	out := make([]row, 0, len(first)+len(second))
	add := func(r row) {
		if n := len(out); n > 0 && out[n-1].address == r.address {
			out[n-1] = r
		} else {
			out = append(out, r)
		}
		if n := len(out); n > 1 && out[n-1].rule == out[n-2].rule {
			out = out[:n-1]
		}
	}
	j := 0
	for i, r := range first {
		end := limit
		if i+1 < len(first) {
			end = first[i+1].address
		}
		if r.rule != (native.Rule{}) {
			add(r)
			continue
		}
		for j+1 < len(second) && second[j+1].address <= r.address {
			j++
		}
		add(row{r.address, second[j].rule})
		for k := j + 1; k < len(second) && second[k].address < end; k++ {
			add(second[k])
		}
	}
	return out
}

// chunkRows collects rows of a chunk that differ from their predecessor.
type chunkRows struct{ rows []native.Row }

func (l *chunkRows) add(offset uint32, rule native.Rule) {
	if n := len(l.rows); n > 0 && l.rows[n-1].Offset == offset {
		l.rows[n-1].Rule = rule
		if n > 1 && l.rows[n-2].Rule == rule {
			l.rows = l.rows[:n-1]
		}
		return
	} else if n > 0 && l.rows[n-1].Rule == rule {
		return
	}
	if len(l.rows) == cap(l.rows) {
		l.rows = slices.Grow(l.rows, max(len(l.rows), 64)) // there may be a hundred thousand
	}
	l.rows = append(l.rows, native.Row{Offset: offset, Rule: rule})
}
