package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

// rootDir is the root directory of processes, held open as long as an executable
// that one of them mapped: so it can be searched when they are gone. It is a
// staccato.Root.
type rootDir struct {
	all *roots
	key rootKey

	mu    sync.RWMutex
	fd    int // O_PATH
	users int // 0: closed
}

// rootKey tells roots apart. Two mount namespaces may have the same directory
// as root and not the same files below it.
type rootKey struct {
	mount, inode uint64
	major, minor uint32
}

// roots are the roots that are held open.
type roots struct {
	own  *rootDir     // ours: the host's, unless we are in a container
	open atomic.Int64 // how many others there are

	mu    sync.Mutex
	byKey map[rootKey]*rootDir
}

func newRoots() (*roots, error) {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root directory: %w", err)
	}
	all := &roots{byKey: map[rootKey]*rootDir{}}
	all.own = &rootDir{all: all, fd: fd, users: 1}
	if all.own.key, err = rootKeyOf(fd); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return all, nil
}

func rootKeyOf(fd int) (rootKey, error) {
	var s unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_MNT_ID, &s); err != nil {
		return rootKey{}, fmt.Errorf("read root directory: %w", err)
	}
	return rootKey{mount: s.Mnt_id, inode: s.Ino, major: s.Dev_major, minor: s.Dev_minor}, nil
}

// of returns the root of a process, for one user more; nil when that is our
// own, or cannot be had. A file that our own root has at the same path is ours,
// whoever maps it: what others keep in theirs says nothing about it.
func (all *roots) of(d *procDir, h *handle, path string) *rootDir {
	if d == nil {
		return nil
	}
	fd, err := unix.Openat(d.fd, "root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	key, err := rootKeyOf(fd)
	if err != nil || key == all.own.key || all.own.has(path, h) {
		unix.Close(fd)
		return nil
	}
	all.mu.Lock()
	defer all.mu.Unlock()
	if known := all.byKey[key]; known != nil {
		unix.Close(fd)
		known.users++
		return known
	}
	r := &rootDir{all: all, key: key, fd: fd, users: 1}
	all.byKey[key] = r
	all.open.Add(1)
	return r
}

// has says that the file is at that path of the root.
func (r *rootDir) has(path string, h *handle) bool {
	fd, err := openBelow(r.fd, path)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var stat unix.Stat_t
	return unix.Fstat(fd, &stat) == nil && stat.Dev == h.stat.Dev && stat.Ino == h.stat.Ino
}

// release takes one user away, and closes the root with the last.
func (r *rootDir) release() {
	r.all.mu.Lock()
	r.users--
	last := r.users == 0
	if last && r != r.all.own {
		delete(r.all.byKey, r.key)
		r.all.open.Add(-1)
	}
	r.all.mu.Unlock()
	if last {
		r.mu.Lock()
		unix.Close(r.fd)
		r.fd = -1
		r.mu.Unlock()
	}
}

// Open implements staccato.Root. The error is ErrReleased when the executable's
// file was released.
func (r *rootDir) Open(path string) (staccato.OpenFile, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.fd < 0 {
		return nil, fmt.Errorf("open %s: %w", path, ErrReleased)
	}
	fd, err := openBelow(r.fd, path)
	if errors.Is(err, unix.ENOTDIR) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	h, reason := newHandle(fd)
	if h == nil {
		return nil, fmt.Errorf("open %s: %s", path, reason)
	}
	defer h.close()
	if h.ofKernel() {
		return nil, fmt.Errorf("open %s: no file of a disk", path)
	}
	f, reason := h.open()
	if f == nil {
		return nil, fmt.Errorf("open %s: %s", path, reason)
	}
	return &rootFile{File: f, size: h.stat.Size}, nil
}

// ofKernel says that a file is one of those that the kernel makes up. Opening or
// reading them may have effects; and the path may be a stranger's idea.
func (h *handle) ofKernel() bool {
	var s unix.Statfs_t
	if unix.Fstatfs(h.fd, &s) != nil {
		return true
	}
	switch s.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC, unix.SECURITYFS_MAGIC,
		unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.BPF_FS_MAGIC, unix.EFIVARFS_MAGIC, unix.PSTOREFS_MAGIC:
		return true
	}
	return false
}

// rootFile is a staccato.OpenFile.
type rootFile struct {
	*os.File
	size int64
}

func (f *rootFile) Size() int64 { return f.size }
