package elfsym

import (
	"bytes"
	"errors"
	"io"
)

// window reads strings of a string table in the order of their offsets,
// holding a small part of the table at a time.
type window struct {
	in    *io.SectionReader
	start int64
	data  []byte
}

const windowSize = 2 * maxName

// name returns the string that starts at offset, which must not be less than
// in the call before. It is false when the string does not end in the table,
// or not within maxName bytes.
func (w *window) name(offset uint32) (string, bool, error) {
	at := int64(offset)
	if at >= w.in.Size() {
		return "", false, nil
	}
	if text, ok := w.find(at); ok {
		return text, true, nil
	}
	if at == w.start && len(w.data) > 0 {
		return "", false, nil // a whole window has no end in it
	}
	if w.data == nil {
		w.data = make([]byte, windowSize)
	}
	n, err := w.in.ReadAt(w.data[:windowSize], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", false, err
	}
	w.start, w.data = at, w.data[:n]
	text, ok := w.find(at)
	return text, ok, nil
}

func (w *window) find(at int64) (string, bool) {
	if at < w.start || at-w.start >= int64(len(w.data)) {
		return "", false
	}
	rest := w.data[at-w.start:]
	end := bytes.IndexByte(rest[:min(len(rest), maxName)], 0)
	if end < 0 {
		return "", false
	}
	return string(rest[:end]), true
}
