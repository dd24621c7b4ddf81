package debuginfod

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/staccato-profiler/staccato"
)

// cache is the folder of files. A file is BUILDID.debug; while it is written it
// has a name that ends with .tmp. The time of its last change is when it was
// used last. Several programs may share one.
type cache struct {
	root *os.Root
	size int64

	mu sync.Mutex // while files are deleted
}

// cacheName matches the names that the cache gives to files.
var cacheName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^([0-9a-f]{8,128})\.debug(\.[0-9]+\.tmp)?$`)
})

// leftOverAfter is when an unfinished file was left by a program that was
// killed.
const leftOverAfter = 24 * time.Hour

func openCache(dir string, size int64) (*cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make folder for debug files: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder for debug files: %w", err)
	}
	c := &cache{root: root, size: size}
	return c, c.makeRoom()
}

func (c *cache) close() error { return c.root.Close() }

// cached is a file of the cache.
type cached struct {
	*os.File
	size int64
}

func (f cached) Size() int64 { return f.size }

// open returns the file of a build ID. The error is fs.ErrNotExist when there is
// none.
func (c *cache) open(buildID string) (staccato.OpenFile, error) {
	name := buildID + ".debug"
	info, err := c.root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is no regular file")
	}
	if err != nil {
		return nil, fmt.Errorf("in the cache: %w", err)
	}
	f, err := c.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("in the cache: %w", err)
	}
	// Should that fail, it is deleted somewhat early.
	_ = c.root.Chtimes(name, time.Time{}, time.Now())
	return cached{f, info.Size()}, nil
}

// newFile is a file in the making.
type newFile struct {
	*os.File
	cache       *cache
	name, final string
}

func (c *cache) create(buildID string) (*newFile, error) {
	final := buildID + ".debug"
	f := &newFile{cache: c, final: final, name: fmt.Sprintf("%s.%d.tmp", final, os.Getpid())}
	// Of this process there is only one; another may have had its number.
	if err := c.root.Remove(f.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var err error
	f.File, err = c.root.OpenFile(f.name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	return f, err
}

// keep makes the file one of the cache.
func (f *newFile) keep() error {
	if err := f.Close(); err != nil {
		return err
	}
	if err := f.cache.root.Rename(f.name, f.final); err != nil {
		return err
	}
	return f.cache.makeRoom()
}

// discard removes the file, unless it was kept.
func (f *newFile) discard() {
	f.Close()
	f.cache.root.Remove(f.name)
}

// makeRoom deletes the files that were used the longest time ago until the
// others fit.
func (c *cache) makeRoom() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	dir, err := c.root.Open(".")
	if err != nil {
		return fmt.Errorf("list debug files: %w", err)
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return fmt.Errorf("list debug files: %w", err)
	}
	var files []fs.FileInfo
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() || !cacheName().MatchString(e.Name()) {
			continue // it is gone, or not ours
		}
		if strings.HasSuffix(e.Name(), ".tmp") {
			if time.Since(info.ModTime()) > leftOverAfter {
				c.root.Remove(e.Name())
			}
			continue
		}
		files = append(files, info)
		total += info.Size()
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return cmp.Compare(a.ModTime().UnixNano(), b.ModTime().UnixNano()) })
	for _, f := range files {
		if total <= c.size {
			break
		}
		if err := c.root.Remove(f.Name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("delete an old debug file: %w", err)
		}
		total -= f.Size()
	}
	return nil
}
