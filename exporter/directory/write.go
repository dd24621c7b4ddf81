package directory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// write makes a file that appears when it is complete, under the first name of
// its second that is free.
func write(root *os.Root, start time.Time, data []byte) (name, error) {
	temporary := unfinished()
	w, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return name{}, explain("make file", err)
	}
	defer root.Remove(temporary)
	_, err = w.Write(data)
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return name{}, explain("write file", err)
	}
	for n := (name{start, 1}); n.number <= maxPerSecond; n.number++ {
		// A link and not a new name, since that would replace what is there.
		err := root.Link(temporary, n.String())
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return name{}, explain("name file", err)
		}
	}
	return name{}, &fileError{Other, fmt.Errorf("%d profiles of one second are there already", maxPerSecond)}
}

// fileError is a failure whose text does not change from file to file.
type fileError struct {
	reason Reason
	err    error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

func reasonOf(err error) Reason {
	var known *fileError
	if errors.As(err, &known) {
		return known.reason
	}
	return Other
}

// explain finds the reason of an error of the operating system, and takes away
// the name of the file, which is another one each time.
func explain(step string, err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		err = path.Err
	case errors.As(err, &link):
		err = link.Err
	}
	reason := Other
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		reason = NoSpace
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		reason = NotWritable
	}
	return &fileError{reason, fmt.Errorf("%s: %w", step, err)}
}
