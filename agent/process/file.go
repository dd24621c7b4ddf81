package process

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// ErrReleased is the error for reading an executable's file after it was
// closed, either by [Table.ReleaseFile] or to keep to Config.MaxOpenFiles.
var ErrReleased = errors.New("file was released")

// file is an executable held open. It implements staccato.File by reading,
// never by mapping: a file cut short under a mapping would kill us.
type file struct {
	size  int64
	owner uint32
	open  *atomic.Int64 // how many files are held open
	root  *rootDir      // of the process that mapped it; nil: our own, or not known

	mu sync.RWMutex
	f  *os.File // nil when closed
}

func newFile(f *os.File, size int64, owner uint32, open *atomic.Int64) *file {
	open.Add(1)
	return &file{f: f, size: size, owner: owner, open: open}
}

func (f *file) Size() int64 { return f.size }

// Owner is the ID of the user that the file belonged to when it was opened.
func (f *file) Owner() uint32 { return f.owner }

func (f *file) ReadAt(b []byte, offset int64) (int, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.f == nil {
		return 0, fmt.Errorf("read executable: %w", ErrReleased)
	}
	// What was added since we opened it is none of what was mapped then.
	if offset >= f.size {
		return 0, io.EOF
	}
	if int64(len(b)) > f.size-offset {
		n, err := f.f.ReadAt(b[:f.size-offset], offset)
		if err == nil {
			err = io.EOF
		}
		return n, err
	}
	return f.f.ReadAt(b, offset)
}

func (f *file) isOpen() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.f != nil
}

func (f *file) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.f != nil {
		f.f.Close() // it was only read
		f.f = nil
		f.open.Add(-1)
		if f.root != nil {
			f.root.release()
		}
	}
}
