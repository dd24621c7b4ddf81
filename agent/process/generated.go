package process

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato"
)

// generated is the code that a process makes while it runs: the one mapping of
// all its memory for that. Processes made by fork share it until they make some
// of their own.
type generated struct {
	mapping *staccato.Mapping
	list    *perfMap
	pid     uint32
	users   int
}

func (g *generated) mappingOf() *staccato.Mapping {
	if g == nil {
		return nil
	}
	return g.mapping
}

// generates notes that a process has executable memory without a file. The
// directory may be nil.
func (t *Table) generates(i *Image, d *procDir) {
	if i.generated != nil && i.generated.pid == i.pid() {
		return
	}
	if d == nil {
		// Without a directory the list says so, too.
		if opened, err := openProcDir(t.config.Proc, i.pid()); err == nil {
			d = opened
			defer d.close()
		}
	}
	list := &perfMap{root: -1, reason: reasonGone}
	if d != nil && t.generating < t.config.MaxGenerating {
		list = newPerfMap(d, i)
	} else if d != nil {
		list.reason = "too many processes generate code"
	}
	t.generating++
	t.setGenerated(i, &generated{
		mapping: &staccato.Mapping{
			Path:      fmt.Sprintf("/tmp/perf-%d.map", i.pid()),
			Limit:     math.MaxUint64,
			Generated: list,
		},
		list: list,
		pid:  i.pid(),
	})
}

// setGenerated replaces what an image has of generated code.
func (t *Table) setGenerated(i *Image, g *generated) {
	if old := i.generated; old != nil {
		if old.users--; old.users == 0 {
			old.list.close()
			t.generating--
		}
	}
	if i.generated = g; g != nil {
		g.users++
	}
}

// perfMap is the file in which a process lists the code that it generates, for
// perf: /tmp/perf-PID.map, where its own root is, with the PID that it has in
// its own PID namespace. The root is held, so that the file is found also when
// it comes late, and when the process is gone. It implements
// staccato.GrowingFile.
type perfMap struct {
	mu     sync.Mutex
	root   int    // descriptor; -1 when there is none
	reason string // why not
	name   string // below root
	user   uint32 // who owns the process
	since  time.Time
	f      *os.File // nil: not there yet
	stat   unix.Stat_t
}

// newPerfMap gets hold of what will be needed of a process.
func newPerfMap(d *procDir, i *Image) *perfMap {
	p := &perfMap{root: -1}
	ticks, err := d.startTime()
	if g := i.generation(); err == nil && g != 0 && !startedAt(g, ticks) {
		err = unix.ESRCH // the PID is in use again
	}
	var status []byte
	if err == nil {
		status, err = d.read("status", 64<<10)
	}
	if err == nil {
		p.root, err = unix.Openat(d.fd, "root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		p.root, p.reason = -1, reasonOf(err)
		return p
	}
	pid, user, ok := parseStatus(string(status))
	if !ok {
		pid = strconv.FormatUint(uint64(i.pid()), 10)
	}
	p.name, p.user, p.since = "tmp/perf-"+pid+".map", user, startedSince(ticks)
	return p
}

// parseStatus finds in the text of /proc/PID/status, proc_pid_status(5), what
// PID the process has in the innermost namespace, and its effective user.
func parseStatus(status string) (pid string, user uint32, ok bool) {
	for line := range strings.Lines(status) {
		key, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		switch {
		case key == "NSpid" && len(fields) > 0:
			pid = fields[len(fields)-1]
		case key == "Uid" && len(fields) == 4:
			n, err := strconv.ParseUint(fields[1], 10, 32)
			user, ok = uint32(n), err == nil
		}
	}
	if _, err := strconv.ParseUint(pid, 10, 32); err != nil {
		return "", 0, false
	}
	return pid, user, ok
}

// startedSince converts ticks since boot to a time of the wall clock.
func startedSince(ticks uint64) time.Time {
	var now unix.Timespec
	// It cannot fail: the clock exists and the pointer is good.
	unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	age := time.Duration(now.Nano()) - time.Duration(ticks)*(time.Second/ticksPerSecond)
	return time.Now().Add(-age)
}

// clockSlack is how far times of files may be behind the clock.
const clockSlack = time.Second

// Refresh looks for the file. What the process has removed stays, if it was
// found before.
func (p *perfMap) Refresh() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.root < 0 {
		return fmt.Errorf("no perf map: %s", p.reason)
	}
	h, err := p.find()
	if err != nil {
		if p.f != nil && errors.Is(err, unix.ENOENT) {
			return nil
		}
		if errors.Is(err, unix.ENOENT) {
			return errors.New("the program writes no perf map")
		}
		return fmt.Errorf("no perf map: %w", err)
	}
	defer h.close()
	if p.f != nil && h.stat.Ino == p.stat.Ino && h.stat.Dev == p.stat.Dev {
		return nil
	}
	f, reason := h.open()
	if f == nil {
		return fmt.Errorf("no perf map: %s", reason)
	}
	if p.f != nil {
		p.f.Close() // it was only read
	}
	p.f, p.stat = f, h.stat
	return nil
}

// find finds the file, if it may be the process's. Anyone can write to /tmp.
func (p *perfMap) find() (*handle, error) {
	how := unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := unix.Openat2(p.root, p.name, &how)
	if err != nil {
		return nil, err
	}
	h, reason := newHandle(fd)
	switch {
	case h == nil:
		return nil, errors.New(reason)
	case h.stat.Uid != p.user && h.stat.Uid != 0:
		h.close()
		return nil, errors.New("/" + p.name + " is another user's")
	case time.Unix(h.stat.Mtim.Unix()).Before(p.since.Add(-clockSlack)):
		h.close()
		return nil, errors.New("/" + p.name + " is of an earlier process")
	}
	return h, nil
}

// Size is 0 before the file was found.
func (p *perfMap) Size() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var stat unix.Stat_t
	if p.f == nil || unix.Fstat(int(p.f.Fd()), &stat) != nil {
		return 0
	}
	return stat.Size
}

func (p *perfMap) ReadAt(b []byte, offset int64) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.f == nil {
		return 0, io.EOF
	}
	return p.f.ReadAt(b, offset)
}

func (p *perfMap) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.root >= 0 {
		unix.Close(p.root)
		p.root, p.reason = -1, reasonGone
	}
	if p.f != nil {
		p.f.Close() // it was only read
		p.f = nil
	}
}
