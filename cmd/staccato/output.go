package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/staccato-profiler/staccato/exporter"
)

// output is a file that comes into being as a whole or not at all: the content
// goes to a temporary file in the same folder, and save renames it. With path
// "-" it is standard output, which can only be written as it comes.
type output struct {
	path    string
	keepOld bool // the file that is there now becomes path + ".old"
	write   writeFunc

	w         io.Writer
	file      *os.File // what w is, nil for standard output
	temporary string   // name of file

	// Discarding may happen while another goroutine still saves.
	mu               sync.Mutex
	saved, discarded bool
}

// openOutput makes the temporary file, so that a folder in which nothing can be
// written is found out before anything is sampled.
func openOutput(path string, keepOld bool, write writeFunc) (*output, error) {
	// Renaming over a link would replace the link and not what it leads to.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("write %s: it is there already and not a regular file", path)
	}
	o := &output{path: path, keepOld: keepOld, write: write}
	folder, name := filepath.Split(path)
	o.temporary = filepath.Join(folder, "."+name+"."+rand.Text()[:8]+".tmp")
	// The usual permissions, so that the profile of a run under sudo can be
	// read by the user who asked for it.
	var err error
	o.file, err = os.OpenFile(o.temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err // without the name of the temporary file
		}
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	o.w = o.file
	return o, nil
}

// standardOutput is an output that cannot be taken back.
func standardOutput(w io.Writer, write writeFunc) *output {
	return &output{path: "-", w: w, write: write}
}

// save writes the profile and gives the file its name. It returns the size in
// bytes.
func (o *output) save(ctx context.Context, in exporter.Input) (int64, error) {
	counter := &countingWriter{w: o.w}
	if err := o.write(ctx, counter, in); err != nil {
		return 0, err
	}
	if o.file == nil {
		return counter.n, nil
	}
	if err := o.file.Close(); err != nil {
		return 0, fmt.Errorf("write %s: %w", o.path, err)
	}

	o.mu.Lock()
	defer o.mu.Unlock()
	if o.discarded {
		return 0, errAborted
	}
	if o.keepOld {
		err := os.Rename(o.path, o.path+".old")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("keep the previous profile: %w", err)
		}
	}
	if err := os.Rename(o.temporary, o.path); err != nil {
		return 0, fmt.Errorf("save profile: %w", err)
	}
	o.saved = true
	return counter.n, nil
}

// discard removes what was not saved. After save it does nothing.
func (o *output) discard() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.discarded = true
	if o.file != nil && !o.saved {
		o.file.Close()
		os.Remove(o.temporary)
	}
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
