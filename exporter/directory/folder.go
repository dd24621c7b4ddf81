package directory

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

const (
	// relistAfter bounds how long a change by someone else can go unnoticed,
	// whatever the file system says about the directory's time.
	relistAfter = 10 * time.Minute
	// leftOverAfter is when a file that is half written counts as left over
	// by a program that was killed: writing takes milliseconds.
	leftOverAfter = time.Minute
	// futureAfter is how far ahead of the clock a file may be, before it counts
	// as older than all others.
	futureAfter = time.Hour
	// maxFiles and maxFileSize bound what strangers can make of the list and
	// its sum by planting files, sparse ones of any size too.
	maxFiles    = 1 << 20
	maxFileSize = 1 << 42
)

// folder is the directory and what of it is ours. It is opened anew each time,
// since it may be deleted or mounted meanwhile.
type folder struct {
	path     string
	maxBytes int64
	maxAge   time.Duration
	maxFiles int

	files   []file // by name
	bytes   int64  // their sum
	deleted map[Limit]int64
	// seen is the directory as it was when files was right: its time of
	// modification changes with every file that comes or goes.
	seen   fs.FileInfo
	listed time.Time // when it was read last
}

type file struct {
	name
	size int64
}

var errNoDirectory = errors.New("it is there already and not a directory")

// look makes the directory if there is none, finds the files and deletes those
// beyond the limits. A warning says that some could not be deleted.
func (f *folder) look(now time.Time) (warning, err error) {
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := f.refresh(root, now); err != nil {
		return nil, err
	}
	return f.makeRoom(root, 0, f.maxBytes, Size, now), nil
}

// save writes a file and deletes those that it takes the place of. A warning
// is a problem despite which the file was written.
func (f *folder) save(p pending, now time.Time) (warning, err error) {
	size := int64(len(p.data))
	if size > f.maxBytes {
		return nil, &fileError{TooLarge, fmt.Errorf("a single profile exceeds the limit of %d bytes", f.maxBytes)}
	}
	root, err := f.open()
	if err != nil {
		return nil, err
	}
	defer root.Close()
	if err := f.refresh(root, now); err != nil {
		return nil, err
	}
	warning = f.makeRoom(root, size, f.maxBytes, Size, now)
	if warning != nil && f.bytes+size > f.maxBytes {
		return nil, warning
	}
	start := p.start.Truncate(time.Second)
	n, err := write(root, start, p.data)
	if reasonOf(err) == NoSpace {
		// The newest profiles tell most about a host in such a state.
		warning = f.makeRoom(root, size, f.bytes, Disk, now)
		n, err = write(root, start, p.data)
	}
	if err != nil {
		return nil, err
	}
	f.add(file{n, size})
	if f.seen, err = root.Stat("."); err != nil {
		f.seen = nil // look again next time
	}
	return warning, nil
}

func (f *folder) open() (*os.Root, error) {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.MkdirAll(f.path, 0o750); err != nil {
			return nil, explain("make directory", err)
		}
	case err != nil:
		return nil, explain("open directory", err)
	case !info.IsDir():
		return nil, &fileError{NotWritable, errNoDirectory}
	}
	root, err := os.OpenRoot(f.path)
	if err != nil {
		return nil, explain("open directory", err)
	}
	return root, nil
}

// refresh lists the directory again if anyone else may have changed it.
func (f *folder) refresh(root *os.Root, now time.Time) error {
	state, err := root.Stat(".")
	if err != nil {
		return explain("open directory", err)
	}
	if f.seen != nil && os.SameFile(f.seen, state) && f.seen.ModTime().Equal(state.ModTime()) && now.Sub(f.listed) < relistAfter {
		return nil
	}
	f.files, f.bytes, f.seen = nil, 0, nil
	dir, err := root.Open(".")
	if err != nil {
		return explain("list directory", err)
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(1000)
		for _, entry := range entries {
			f.find(root, entry, now)
		}
		if len(f.files) > f.maxFiles {
			return &fileError{Other, fmt.Errorf("list directory: it holds more than %d profiles", f.maxFiles)}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return explain("list directory", err)
		}
	}
	slices.SortFunc(f.files, func(a, b file) int { return a.compare(b.name) })
	f.seen, f.listed = state, now
	return nil
}

// find takes an entry of the directory if it is a file of ours. Links and
// whatever else has such a name are left alone.
func (f *folder) find(root *os.Root, entry fs.DirEntry, now time.Time) {
	if !entry.Type().IsRegular() {
		return
	}
	n, ours := parseName(entry.Name())
	half := isUnfinished(entry.Name())
	if !ours && !half {
		return
	}
	info, err := entry.Info()
	if err != nil {
		return // gone meanwhile
	}
	if half {
		if now.Sub(info.ModTime()) > leftOverAfter {
			_ = root.Remove(entry.Name()) // if not, the next time
		}
		return
	}
	size := min(info.Size(), maxFileSize)
	f.files = append(f.files, file{n, size})
	f.bytes += size
}

// makeRoom deletes what is too old and, the oldest first, what must go so that
// with one more file of this size all take at most maxBytes; limit is whose
// limit that is. Files that cannot be deleted are passed over; the error says
// why they could not.
func (f *folder) makeRoom(root *os.Root, size, maxBytes int64, limit Limit, now time.Time) error {
	oldest, newest := now.Add(-f.maxAge), now.Add(futureAfter)
	full := func(left int) bool { return f.bytes+size > maxBytes || left >= f.maxFiles }
	tooOld := f.drop(root, Age, func(each file, _ int) bool { return each.start.Before(oldest) })
	// The clock was wrong when these were written. They would otherwise
	// outlive all that is written from now on.
	future := f.drop(root, limit, func(each file, left int) bool { return full(left) && each.start.After(newest) })
	rest := f.drop(root, limit, func(_ file, left int) bool { return full(left) })
	return cmp.Or(tooOld, future, rest)
}

// drop deletes the files that are beyond a limit. That is asked of each, the
// oldest first, with the number of files that are left at that time.
func (f *folder) drop(root *os.Root, limit Limit, beyond func(each file, left int) bool) error {
	var failure error
	kept := f.files[:0]
	for i, each := range f.files {
		if !beyond(each, len(kept)+len(f.files)-i) {
			kept = append(kept, each)
			continue
		}
		switch err := root.Remove(each.String()); {
		case err == nil:
			f.deleted[limit]++
		case !errors.Is(err, fs.ErrNotExist):
			failure = explain("delete old profiles", err)
			kept = append(kept, each)
			continue
		}
		f.bytes -= each.size
	}
	f.files = kept
	return failure
}

// add keeps the files sorted: clocks are set back at times.
func (f *folder) add(new file) {
	i, _ := slices.BinarySearchFunc(f.files, new, func(a, b file) int { return a.compare(b.name) })
	f.files = slices.Insert(f.files, i, new)
	f.bytes += new.size
}
