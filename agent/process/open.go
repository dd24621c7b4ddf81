package process

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/agent/limit"
)

// Why a mapping has no file.
const (
	reasonGone       = "process is gone"
	reasonTooOften   = "process maps too often"
	reasonDenied     = "no permission"
	reasonNotRegular = "not a regular file"
	reasonReplaced   = "another file is at its path"
	reasonBuildID    = "another build ID"
	reasonUnknown    = "nothing to recognize the file by"
	reasonLimit      = "too many executables"
	reasonNotELF     = "not an ELF file"
	reasonMalformed  = "malformed ELF file"
	reasonUnreadable = "not readable"
	reasonVDSO       = "vDSO of another kind of process"
)

// wanted is a mapped file as the kernel described it.
type wanted struct {
	start, end   uint64 // the mapping's range in the process
	path         string // without " (deleted)"
	major, minor uint32
	inode        uint64 // 0: not known, and neither is the device
	buildID      string // "": not known
	time         uint64 // of mapping, CLOCK_MONOTONIC; 0: not known
}

// handle refers to a file without having opened it: nothing of it was read and
// no driver was called.
type handle struct {
	fd   int
	stat unix.Stat_t
}

func (h *handle) close() { unix.Close(h.fd) }

// find gets hold of the file behind a mapping, or says why not. The process's
// own link to the mapped file is first choice: it works for deleted and
// replaced files, and whatever the process's mounts are. Kernels give it only
// to CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; otherwise the path is followed
// from the process's root, and the file there must be the mapped one.
func (d *procDir) find(w wanted) (*handle, string) {
	link := fmt.Sprintf("map_files/%x-%x", w.start, w.end)
	fd, err := unix.Openat(d.fd, link, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return d.findByPath(w)
	}
	h, reason := newHandle(fd)
	if h == nil {
		return nil, reason
	}
	if w.inode != 0 && !w.sameInode(h.stat) {
		// Some file systems show other numbers in stat than in mappings. The
		// path can then tell whether the range was mapped anew meanwhile.
		target, err := d.readlink(link)
		if path, _ := cutDeleted(target); err != nil || path != w.path {
			h.close()
			return nil, reasonReplaced
		}
	}
	return h, ""
}

func (d *procDir) findByPath(w wanted) (*handle, string) {
	root, err := unix.Openat(d.fd, "root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, reasonOf(err)
	}
	defer unix.Close(root)
	return findBelow(root, w)
}

// findBelow follows a mapping's path from a root directory and never leaves it,
// whatever links there are on the way.
func findBelow(root int, w wanted) (*handle, string) {
	if !strings.HasPrefix(w.path, "/") {
		return nil, reasonGone
	}
	if w.inode == 0 && w.buildID == "" {
		return nil, reasonUnknown
	}
	fd, err := openBelow(root, w.path)
	if err != nil {
		return nil, reasonOf(err)
	}
	h, reason := newHandle(fd)
	if h == nil {
		return nil, reason
	}
	// With a build ID to compare, the inode need not match: overlayfs and btrfs
	// show other numbers in stat than in mappings.
	if w.buildID == "" && !w.sameInode(h.stat) {
		h.close()
		return nil, reasonReplaced
	}
	return h, ""
}

// openBelow gets an O_PATH descriptor of what is at a path of a root directory.
func openBelow(root int, path string) (int, error) {
	return unix.Openat2(root, path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

func (w wanted) sameInode(stat unix.Stat_t) bool {
	dev := uint64(stat.Dev)
	return stat.Ino == w.inode && unix.Major(dev) == w.major && unix.Minor(dev) == w.minor
}

// unchanged says whether a file has been what it is since before it was mapped:
// the inode of a deleted file may be used for another one.
func (w wanted) unchanged(stat unix.Stat_t) bool {
	var clock unix.Timespec
	if w.time == 0 || unix.ClockGettime(unix.CLOCK_REALTIME, &clock) != nil {
		return false
	}
	mapped := clock.Nano() - int64(limit.Now()-w.time)
	return stat.Ctim.Nano() < mapped
}

// newHandle takes over an O_PATH descriptor if it is one of a regular file.
func newHandle(fd int) (*handle, string) {
	h := &handle{fd: fd}
	if err := unix.Fstat(fd, &h.stat); err != nil {
		h.close()
		return nil, reasonOf(err)
	}
	if h.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		h.close()
		return nil, reasonNotRegular
	}
	return h, ""
}

// open opens the file for reading: the very one that was looked at, through our
// own descriptor and not by its name.
func (h *handle) open() (*os.File, string) {
	fd, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", h.fd), unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, reasonOf(err)
	}
	return os.NewFile(uintptr(fd), "executable"), ""
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ESRCH), errors.Is(err, unix.ENOTDIR):
		return reasonGone
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return reasonDenied
	}
	return reasonUnreadable
}

// cutDeleted removes what the kernel adds to the path of an unlinked file.
func cutDeleted(path string) (string, bool) { return strings.CutSuffix(path, " (deleted)") }
