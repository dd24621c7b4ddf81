package gopclntab

import (
	"bytes"
	"fmt"
	"sync"
)

// Frame says how large a function's frame is. It is valid during the call that it is
// passed to.
type Frame struct {
	Name         []byte
	Entry, Limit uint64 // ELF addresses
	Pieces       []Piece
}

// Piece says how many bytes of a function's frame lie above the stack pointer from an
// address on, without the return address on amd64; -1 when that is not known.
type Piece struct {
	Address uint64
	Size    int32
}

const (
	// maxPadding is how many bytes between two functions are alignment. No code is
	// there, so they need no size of their own.
	maxPadding = 31
	// maxPieces is how many pieces functions may have that are asked for together.
	// Seen: 210,000.
	maxPieces = 1 << 20
	// framePages are enough for most of the tables of sizes, which functions share: a
	// program of 700 MB has 6,000 pages of them.
	framePages = 512
)

// Frames calls emit for the functions that begin before limit and end behind start, in
// the order of their addresses. With an error, not all of it could be read.
func (t *Table) Frames(start, limit uint64, emit func(f *Frame)) error {
	failed := t.data.failed
	i, ok := t.search(max(start, t.starts[0]))
	switch {
	case t.data.failed > failed:
		return t.data.err
	case !ok:
		return nil
	}
	r := readers.Get().(*frameReader)
	defer readers.Put(r)
	if r.table != t {
		r.over(t)
	}
	return r.frames(i, limit, emit)
}

// frameReader reads functions that follow each other: what they have of their own
// lies in that order in the file.
type frameReader struct {
	table                     *Table
	functions, records, names window
	sizes                     pages
}

// readers keeps what was read last: one piece of a program's code is mostly followed
// by another.
var readers = sync.Pool{New: func() any { return &frameReader{sizes: newPages(nil, 0, framePages)} }}

// over starts to read another table.
func (r *frameReader) over(t *Table) {
	r.table = t
	for _, w := range []*window{&r.functions, &r.records, &r.names} {
		w.over(t.data.in, t.data.size)
	}
	r.sizes.over(t.data.in, t.data.size)
}

// err is why the file could not be read.
func (r *frameReader) err() error {
	for _, err := range []error{r.functions.err, r.records.err, r.names.err, r.sizes.err} {
		if err != nil {
			r.table = nil // it may be read another time
			return err
		}
	}
	return nil
}

// frames passes on the functions from the i-th on that begin before limit.
func (r *frameReader) frames(i, limit uint64, emit func(f *Frame)) error {
	var frame Frame
	left := maxPieces
	for ; i < r.table.functions; i++ {
		f, known := r.function(i)
		if err := r.err(); err != nil || f.entry >= limit {
			return err
		}
		if f.entry >= f.limit {
			continue
		}
		frame.Entry, frame.Limit, frame.Name, frame.Pieces = f.entry, f.limit, nil, frame.Pieces[:0]
		if known {
			frame.Name = r.name(f.name)
			r.pieces(f, &frame, left)
		} else {
			frame.add(f.entry, -1)
		}
		if err := r.err(); err != nil {
			return err
		}
		if left -= len(frame.Pieces); left <= 0 {
			return fmt.Errorf("more than %d pieces of Go code", maxPieces)
		}
		emit(&frame)
	}
	return nil
}

func (f *Frame) add(address uint64, size int32) { f.Pieces = append(f.Pieces, Piece{address, size}) }

// function is [Table.function] for the next function.
func (r *frameReader) function(i uint64) (f function, ok bool) {
	t := r.table
	size := t.entrySize()
	b := r.functions.bytes(t.table+2*i*size, int(3*size))
	if b == nil {
		return function{}, false
	}
	f.entry, f.limit = t.address(b), t.address(b[2*size:])
	if f.at = t.number(b[size:]); f.at >= t.data.size-t.table || f.entry >= f.limit {
		return f, false
	}
	f.at += t.table
	record := r.records.bytes(f.at, t.functionSize)
	if record == nil {
		return f, false
	}
	t.parse(record, &f)
	return f, true
}

// name returns the name at an offset; none when there is none.
func (r *frameReader) name(offset uint32) []byte {
	at := r.table.names + uint64(offset)
	if at >= r.table.units {
		return nil
	}
	left := r.table.units - at
	for _, n := range []uint64{1, maxString} { // most names are short
		b := r.names.bytes(at, int(min(n, left)))
		b = b[:min(uint64(len(b)), left)]
		if end := bytes.IndexByte(b, 0); end >= 0 {
			return b[:min(end, maxString)]
		}
	}
	return nil
}

// pieces adds the pieces of a function, at most so many.
func (r *frameReader) pieces(f function, to *Frame, most int) {
	v, ok := r.table.valuesIn(&r.sizes, f.stack)
	if !ok {
		to.add(f.entry, -1)
		return
	}
	at := f.entry
	for at < f.limit && len(to.Pieces) < most && v.next() {
		to.add(at, max(v.value, -1))
		at += min(v.size, f.limit-at)
	}
	if at < f.limit && f.limit-at > maxPadding {
		to.add(at, -1)
	}
}
