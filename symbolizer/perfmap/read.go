package perfmap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/staccato-profiler/staccato"
)

const (
	// maxLine is the longest line that is read, in bytes.
	maxLine = 4 << 10
	// batch is how many lines are read at a time.
	batch = 32 << 10
	// memory is how many bytes before the present place are compared to tell
	// that a file was written anew.
	memory = 64
)

// Update reads what was appended to the file since the last call, or all of it
// when it was written anew. A last line without its end is left for the next
// call. The error is [ErrTooLarge] or one of reading.
func (m *Map) Update(f staccato.File) error {
	size := f.Size()
	same, err := m.continues(f, size)
	if err != nil {
		return fmt.Errorf("read perf map: %w", err)
	}
	if !same {
		*m = Map{config: m.config}
	}
	// Not beyond the size that was looked at: the program may be faster than we
	// are.
	in := bufio.NewReaderSize(io.NewSectionReader(f, m.next, size-m.next), maxLine)
	for !m.full {
		more, err := m.read(in)
		if err != nil {
			return fmt.Errorf("read perf map: %w", err)
		}
		if m.Size() > m.config.Limit || m.next > m.config.MaxRead {
			m.full, m.entries, m.names = true, nil, 0
		}
		if !more {
			break
		}
	}
	if m.full {
		return ErrTooLarge
	}
	return nil
}

// continues says whether the file still has before next what it had.
func (m *Map) continues(f io.ReaderAt, size int64) (bool, error) {
	if size < m.next {
		return false, nil
	}
	now := make([]byte, len(m.seen))
	if _, err := f.ReadAt(now, m.next-int64(len(now))); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(now, m.seen), nil
}

// read takes at most a batch of lines. more is false at the end.
func (m *Map) read(in *bufio.Reader) (more bool, err error) {
	var added []entry
	defer func() { m.take(added) }()
	for range batch {
		line, err := in.ReadSlice('\n')
		tooLong := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil && !tooLong:
			return false, err
		}
		m.advance(line)
		if !tooLong && !m.skipping {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if e, ok := parse(line); !ok {
				m.complain(line)
			} else if e.start < e.end {
				added = append(added, e)
			}
			continue
		}
		if !m.skipping {
			m.complain(line)
		}
		m.skipping = tooLong
	}
	return true, nil
}

// advance goes behind what was read.
func (m *Map) advance(read []byte) {
	m.next += int64(len(read))
	m.seen = append(m.seen, read[max(0, len(read)-memory):]...)
	m.seen = append(m.seen[:0], m.seen[max(0, len(m.seen)-memory):]...)
}

func (m *Map) complain(line []byte) {
	if m.malformed++; m.malformed == 1 {
		m.sample = string(line[:min(len(line), 40)])
	}
}
