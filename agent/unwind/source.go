// Package unwind makes the unwind tables of executables: from their call frame
// information, and for Go's code from Go's own tables.
package unwind

import (
	"cmp"
	"debug/elf" // for its constants only
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/gopclntab"
)

// ErrNoRows says that a file has nothing to unwind by.
var ErrNoRows = errors.New("no call frame information")

// Source is what an executable says about unwinding its code. It holds the
// sections it is made of in memory, but Go's tables: for these the file is read.
type Source struct {
	arch      ehframe.Arch
	segments  []elffile.Segment
	outermost codeRange        // what the kernel starts, if nothing else is known of it
	cfi       []*ehframe.Table // in order of preference
	golang    *goCode          // nil: no Go program
	glue      [][]row          // code that the linker puts together
	size      int64            // bytes of memory
	fault     error
	most      atomic.Int64 // rows of a table that was made
}

// Fault says which part of the file's information could not be used, nil when all
// of it could.
func (s *Source) Fault() error { return s.fault }

// faultOf says how much is missing of a section.
func faultOf(s ehframe.Skipped) error { return fmt.Errorf("%d functions skipped: %w", s.FDEs, s.First) }

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
	slices.SortFunc(s.segments, func(a, b elffile.Segment) int { return cmp.Compare(a.Offset, b.Offset) })
	sections, faults := openFrames(file, s.arch)
	switch t, err := gopclntab.New(file, gopclntab.Config{}); {
	case err == nil:
		s.golang = newGoCode(file, t, s.arch)
		s.size += t.Size()
	case !errors.Is(err, gopclntab.ErrNoTable):
		faults = append(faults, err)
	}
	for _, section := range sections {
		t, err := ehframe.NewTable(section)
		if err != nil {
			faults = append(faults, err)
		}
		if t == nil {
			continue
		}
		if skipped := t.Skipped(); skipped.FDEs > 0 {
			faults = append(faults, faultOf(skipped))
		}
		if s.golang != nil {
			// It is made of Go's own tables there, and takes more memory.
			t.Drop(s.golang.start, s.golang.limit)
		}
		if t.Len() > 0 {
			s.cfi = append(s.cfi, t)
			s.size += int64(len(section.Data)) + int64(t.Len())*rangeBytes
		}
	}
	vdso := vdsoOf(file, s.arch)
	s.glue = append(vdso, glueOf(file, s.arch)...)
	if s.golang != nil {
		s.glue = append(s.glue, pltOf(file, s.arch)...)
	}
	switch {
	case len(s.cfi) > 0 || s.golang != nil || len(vdso) > 0:
	case len(faults) == 0:
		return nil, ErrNoRows
	default:
		return nil, errors.Join(append(faults, ErrNoRows)...)
	}
	s.fault = errors.Join(faults...)
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
	rows, _ := s.code(entry, entry+maxEntry)
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
	var rule native.Rule
	s.eachRow(address, address+1, func(_ uint64, r *native.Rule) { rule = *r })
	return rule
}

// Table makes the table of a chunk: size bytes of the file from offset on, at most
// [native.ChunkSize]. The error says what is wrong with some of the chunk's functions,
// of which the table knows nothing then.
func (s *Source) Table(offset uint64, size uint32) (*native.Table, error) {
	b := native.NewBuilder(size, int(min(s.most.Load(), int64(size)/4)))
	fault := s.rows(offset, size, b.Add)
	table, err := b.Table()
	if err != nil {
		return native.Empty(size), err
	}
	s.most.Store(max(s.most.Load(), int64(table.Rows())))
	return table, fault
}

// rows passes on the rows of a chunk, the first for its start: of those for one offset
// the last holds. The error says what is wrong with them.
func (s *Source) rows(offset uint64, size uint32, add func(offset uint32, rule *native.Rule)) error {
	limit := offset + uint64(size)
	var skipped ehframe.Skipped
	add(0, &native.Rule{})
	done := offset
	for i := range s.segments {
		segment := &s.segments[i]
		from, to := max(done, segment.Offset), min(limit, segment.Offset+segment.FileSize)
		if from >= to {
			continue
		}
		done = to
		toChunk := segment.Offset - segment.Start - offset // to add to an address
		wrong := s.eachRow(from-segment.Offset+segment.Start, to-segment.Offset+segment.Start, func(address uint64, rule *native.Rule) {
			add(uint32(address+toChunk), rule)
		})
		if skipped.FDEs += wrong.FDEs; skipped.First == nil {
			skipped.First = wrong.First
		}
		if to < limit {
			add(uint32(to-offset), &native.Rule{})
		}
	}
	if skipped.FDEs > 0 {
		return faultOf(skipped)
	}
	return nil
}

// row holds from an ELF address on.
type row struct {
	address uint64
	rule    native.Rule
}

// codeAtOnce is how many bytes of code rows are collected of.
const codeAtOnce = 512 << 10

// eachRow passes on the rows of code from start to limit (exclusive), the first
// for start. It returns what is wrong with them.
func (s *Source) eachRow(start, limit uint64, emit func(address uint64, rule *native.Rule)) (skipped ehframe.Skipped) {
	plain := s.golang == nil && len(s.cfi) == 1 || s.golang != nil && len(s.cfi) == 0
	for start < limit {
		var wrong ehframe.Skipped
		special := s.special(start, limit)
		end := special.start
		if plain && start < end {
			// Most code: nothing has to be collected.
			wrong = s.plainly(start, end, emit)
		} else {
			if end = min(limit, start+codeAtOnce); plain {
				end = min(end, special.limit)
			}
			var rows []row
			rows, wrong = s.code(start, end)
			for i := range rows {
				emit(rows[i].address, &rows[i].rule)
			}
		}
		if skipped.FDEs += wrong.FDEs; skipped.First == nil {
			skipped.First = wrong.First
		}
		start = end
	}
	return skipped
}

// plainly passes on the rows of code of which there is one source.
func (s *Source) plainly(start, limit uint64, emit func(address uint64, rule *native.Rule)) (skipped ehframe.Skipped) {
	if s.golang != nil {
		if skipped.First = s.golang.rows(start, limit, emit); skipped.First != nil {
			skipped.FDEs++
		}
		return skipped
	}
	return s.cfiRows(s.cfi[0], start, limit, emit)
}

// cfiRows passes on the rows of call frame information. Those of where signal handlers
// return to hold for one byte more, if nothing else does: the thread is there while the
// kernel handles its system call, which comes last.
func (s *Source) cfiRows(t *ehframe.Table, start, limit uint64, emit func(address uint64, rule *native.Rule)) ehframe.Skipped {
	var rule native.Rule // one for all: emit has it on the heap
	restoring := false
	return t.Rows(max(start, 1)-1, limit, func(r ehframe.Row) {
		rule = native.FromCFI(r.Rule, s.arch)
		if restoring && rule == (native.Rule{}) {
			r.PC++
		}
		restoring = rule == native.Signal
		if r.PC < limit {
			emit(max(r.PC, start), &rule)
		}
	})
}

// special returns the first piece of code from start to limit (exclusive) that there
// may be more to know of than its call frame information; it is empty, at limit, when
// there is none.
func (s *Source) special(start, limit uint64) codeRange {
	first := codeRange{limit, limit}
	consider := func(r codeRange) {
		r.start, r.limit = max(r.start, start), min(r.limit, limit)
		if r.start < r.limit && r.start < first.start {
			first = r
		}
	}
	consider(s.outermost)
	for _, rows := range s.glue {
		consider(codeRange{rows[0].address, rows[len(rows)-1].address})
	}
	return first
}

// code returns the rows of code from start to limit (exclusive), the first for
// start, and what is wrong with them.
func (s *Source) code(start, limit uint64) (rows []row, skipped ehframe.Skipped) {
	if s.golang != nil {
		skipped.First = s.golang.rows(start, limit, func(address uint64, rule *native.Rule) {
			rows = add(rows, address, rule)
		})
		if skipped.First != nil {
			skipped.FDEs++
		}
	}
	for _, t := range s.cfi {
		var more []row
		wrong := s.cfiRows(t, start, limit, func(address uint64, rule *native.Rule) {
			more = add(more, address, rule)
		})
		if len(more) > maxRows {
			more = nil
			wrong.FDEs, wrong.First = wrong.FDEs+1, errRows
		}
		if skipped.FDEs += wrong.FDEs; skipped.First == nil {
			skipped.First = wrong.First
		}
		if len(rows) == 0 || len(more) > 1 || len(more) == 1 && more[0].rule != (native.Rule{}) {
			rows = fill(rows, more, limit)
		}
	}
	if len(rows) == 0 {
		rows = []row{{address: start}}
	}
	for _, function := range s.glue {
		rows = fill(rows, clip(function, start), limit)
	}
	if from, to := max(s.outermost.start, start), min(s.outermost.limit, limit); from < to {
		rows = fill(rows, []row{{address: start}, {from, native.Stop}, {to, native.Rule{}}}, limit)
	}
	return rows, skipped
}

// add appends a row, of which the last for an address holds, up to one too many.
func add(rows []row, address uint64, rule *native.Rule) []row {
	switch n := len(rows); {
	case n > 0 && rows[n-1].address == address:
		rows[n-1].rule = *rule
	case n <= maxRows:
		rows = append(rows, row{address, *rule})
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

// maxRows is how many rows of a chunk are made: more do not fit a table. Seen:
// 210,000.
const maxRows = 1 << 20

var errRows = fmt.Errorf("more than %d rows for a piece of code", maxRows)
