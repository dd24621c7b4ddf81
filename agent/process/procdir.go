package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// procDir is /proc/PID held open. It stays with its process: once that is
// gone, reads fail even if the PID is in use again.
type procDir struct{ fd int }

func openProcDir(proc string, pid uint32) (*procDir, error) {
	fd, err := unix.Open(filepath.Join(proc, strconv.FormatUint(uint64(pid), 10)), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open process directory: %w", err)
	}
	return &procDir{fd: fd}, nil
}

func (d *procDir) close() { unix.Close(d.fd) }

// user is the effective user of the process: who owns /proc/PID, whatever else is
// in there belongs to root. See proc_pid(5).
func (d *procDir) user() uint32 {
	var stat unix.Stat_t
	if unix.Fstat(d.fd, &stat) != nil {
		return nobody
	}
	return stat.Uid
}

func (d *procDir) open(name string) (*os.File, error) {
	fd, err := unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// read returns at most limit bytes of a file of the kernel's.
func (d *procDir) read(name string, limit int64) ([]byte, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return b, nil
}

func (d *procDir) readlink(name string) (string, error) {
	b := make([]byte, 4096)
	n, err := unix.Readlinkat(d.fd, name, b)
	if err != nil {
		return "", fmt.Errorf("read link %s: %w", name, err)
	}
	return string(b[:n]), nil
}

// ticksPerSecond is the unit of times in /proc, the same on every machine.
const ticksPerSecond = 100

// startTime returns when the process began, in clock ticks since boot.
func (d *procDir) startTime() (uint64, error) {
	b, err := d.read("stat", 4096)
	if err != nil {
		return 0, err
	}
	return parseStartTime(b)
}

// code returns where the process's program has its code, 0, 0 when the kernel does
// not tell us.
func (d *procDir) code() (start, end uint64, err error) {
	b, err := d.read("stat", 4096)
	if err != nil {
		return 0, 0, err
	}
	if start, err = statField(b, 26); err != nil {
		return 0, 0, err
	}
	end, err = statField(b, 27)
	return start, end, err
}

// parseStartTime finds the start time in the text of /proc/PID/stat.
func parseStartTime(stat []byte) (uint64, error) { return statField(stat, 22) }

// statField returns a field of the text of /proc/PID/stat by its number in
// proc_pid_stat(5), from 4 on. Field 2 is the command name in parentheses and may hold
// anything, so fields are counted from the last one.
func statField(stat []byte, n int) (uint64, error) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, errors.New("parse stat: no command name")
	}
	fields := strings.Fields(string(stat[i+1:]))
	if len(fields) <= n-3 {
		return 0, fmt.Errorf("parse stat: %d fields after the command name", len(fields))
	}
	value, err := strconv.ParseUint(fields[n-3], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("parse stat: field %d: %w", n, err)
	}
	return value, nil
}
