package gopclntab

import (
	"fmt"
	"io"
)

// window reads a part of a file that is needed from front to back: of it, it has a
// piece in memory, the larger the longer that goes on. It is not mapped: see [pages].
type window struct {
	in    io.ReaderAt
	size  uint64
	start uint64 // of what is there
	data  []byte
	ahead int   // bytes that were asked for last
	err   error // of a read
}

const (
	minAhead = pageSize
	maxAhead = 64 << 10
)

// over starts to read another file. The memory is kept.
func (w *window) over(in io.ReaderAt, size uint64) {
	*w = window{in: in, size: size, data: w.data[:0]}
}

// bytes returns n bytes from an offset on, and more if they are there: nil beyond the
// end, or when the file cannot be read. They are valid until the next call. n is at most
// maxAhead.
func (w *window) bytes(offset uint64, n int) []byte {
	if at := offset - w.start; offset >= w.start && at <= uint64(len(w.data)) && uint64(len(w.data))-at >= uint64(n) {
		return w.data[at:]
	}
	if offset >= w.size || uint64(n) > w.size-offset {
		return nil
	}
	if end := w.start + uint64(len(w.data)); offset >= w.start && offset <= end+minAhead {
		w.ahead = min(2*w.ahead, maxAhead)
	} else {
		w.ahead = minAhead
	}
	w.ahead = max(w.ahead, minAhead, n)
	if cap(w.data) < w.ahead {
		w.data = make([]byte, w.ahead)
	}
	w.start, w.data = offset, w.data[:min(uint64(w.ahead), w.size-offset)]
	if read, err := w.in.ReadAt(w.data, int64(offset)); read < len(w.data) {
		w.data, w.err = w.data[:0], fmt.Errorf("read Go line table: %w", err)
		return nil
	}
	return w.data
}
