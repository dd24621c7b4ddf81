package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/staccato-profiler/staccato/testdata/vm/plan"
)

// writeInitramfs packs a folder of programs and what to do with them for the
// kernel to unpack at boot.
func writeInitramfs(path, programs string, runs []plan.Run) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	defer f.Close()
	a := &archive{out: bufio.NewWriter(f)}
	for _, dir := range []string{"dev", "proc", "sys", "tmp", "bin", "etc"} {
		a.add(dir, modeDir|0o755, nil)
	}
	a.add("dev/console", modeCharDevice|0o600, nil)
	todo, err := json.Marshal(runs)
	if err != nil {
		return fmt.Errorf("write initramfs: %w", err)
	}
	a.add(strings.TrimPrefix(plan.File, "/"), modeFile|0o644, todo)
	// Tests ask for users by name.
	a.add("etc/passwd", modeFile|0o644, []byte("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n"))
	a.add("etc/group", modeFile|0o644, []byte("root:x:0:\nnogroup:x:65534:\n"))
	a.addFolder(programs)
	a.add("TRAILER!!!", 0, nil)
	if a.err == nil {
		a.err = a.out.Flush()
	}
	if a.err != nil {
		return fmt.Errorf("write initramfs: %w", a.err)
	}
	return f.Close()
}

// archive writes the format that cpio calls newc: a header of 13 numbers in
// hex, name, content, each padded to 4 bytes. The kernel's description is
// Documentation/driver-api/early-userspace/buffer-format.rst.
type archive struct {
	out   *bufio.Writer
	inode int
	err   error
}

const (
	modeFile       = 0o100000
	modeDir        = 0o040000
	modeCharDevice = 0o020000
)

func (a *archive) add(name string, mode int, content []byte) {
	if a.err != nil {
		return
	}
	a.inode++
	major, minor := 0, 0
	if mode&modeCharDevice != 0 {
		major, minor = 5, 1 // the console
	}
	// inode, mode, user, group, links, time, size, device, device number, name's length, checksum
	_, a.err = fmt.Fprintf(a.out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0, name)
	a.pad(110 + len(name) + 1)
	if a.err == nil {
		_, a.err = a.out.Write(content)
	}
	a.pad(len(content))
}

func (a *archive) pad(length int) {
	if a.err == nil {
		_, a.err = io.WriteString(a.out, "\x00\x00\x00"[:-length&3])
	}
}

// addFolder adds executables, all below one folder and its direct subfolders.
func (a *archive) addFolder(dir string) {
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			a.add(name, modeDir|0o755, nil)
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		a.add(name, modeFile|0o755, content)
		return nil
	})
	if a.err == nil {
		a.err = err
	}
}
