package process

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

// Executable is an executable's file that no process needs to have mapped.
type Executable struct {
	Mapping *staccato.Mapping

	file     *file
	identity identity
	roots    *roots
}

// OpenFile opens the executable at path.
func OpenFile(path string) (*Executable, error) {
	// A pipe must not keep us waiting for who writes into it.
	opened, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err = unix.Fstat(int(opened.Fd()), &stat); err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = errors.New("not a regular file")
	}
	if err != nil {
		opened.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	e := &Executable{file: newFile(opened, stat.Size, stat.Uid, new(atomic.Int64))}
	if e.identity, err = identify(e.file); err != nil {
		e.file.close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	absolute, err := filepath.Abs(path)
	if err == nil {
		e.roots, err = newRoots()
	}
	if err != nil {
		e.file.close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	e.Mapping = &staccato.Mapping{
		Path: absolute, Roots: []staccato.Root{e.roots.own}, BuildID: e.identity.buildID, GoBuildID: e.identity.goBuildID, Hash: e.identity.hash, File: e.file,
	}
	e.Mapping.Start, e.Mapping.Limit, e.Mapping.Offset = e.identity.bounds()
	return e, nil
}

// Address converts an offset in the file to an address of the file.
func (e *Executable) Address(offset uint64) uint64 {
	return e.identity.address(offset, uint64(unix.Getpagesize()))
}

// Close closes the file.
func (e *Executable) Close() {
	e.file.close()
	e.roots.own.release()
}
