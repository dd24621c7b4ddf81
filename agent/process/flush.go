package process

import (
	"errors"

	"github.com/staccato-profiler/staccato/bpf"
)

const (
	// rescanPerFlush bounds how long one Flush takes after a Rescan.
	rescanPerFlush = 64
)

// Flush hands the mappings of the processes that changed since the last call
// to the Uploader, and removes those that ended. A process whose upload fails
// is tried again when the kernel side misses it.
func (t *Table) Flush() error {
	t.scanAnew()
	var errs []error
	for i := range t.changed {
		// Without a generation the kernel side could not tell whom the entries
		// are for: it waits for the notice of the exec or of a sample.
		if i.generation() == 0 {
			continue
		}
		delete(t.changed, i)
		if !i.complete || !t.wants(i.pid()) {
			continue
		}
		if !i.described {
			t.describeNow(i)
		}
		t.stats.Uploads++
		if err := t.config.Uploader.SetProcess(i.pid(), i.generation(), i.entries()); err != nil {
			t.stats.UploadErrors++
			// Anyone can have so many mappings that the tables are full. Their
			// frames are then looked up when they are read.
			if !errors.Is(err, bpf.ErrTablesFull) {
				errs = append(errs, err)
			}
			// What the kernel side has may name chunks that are to be used again.
			t.gone[i.pid()] = struct{}{}
			i.uploaded = false
			continue
		}
		i.uploaded = true
		delete(t.gone, i.pid())
	}
	for pid := range t.gone {
		delete(t.gone, pid)
		if err := t.config.Uploader.RemoveProcess(pid); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// scanAnew reads the mappings of some of the processes that Rescan was for, and of
// those that are behind.
func (t *Table) scanAnew() {
	t.scanAll()
	n := 0
	for i := range t.behind {
		if n++; n > rescanPerFlush {
			return
		}
		if t.mayLook(i) {
			delete(t.behind, i)
			t.scan(i)
		}
	}
}

func (t *Table) scanAll() {
	for n := 0; n < rescanPerFlush; n++ {
		if len(t.rescan) == 0 && t.rescanAgain {
			t.rescanAgain = false
			t.Rescan()
		}
		if len(t.rescan) == 0 || !t.rescans.Allows(t.now()) {
			return
		}
		last := len(t.rescan) - 1
		i := t.rescan[last]
		t.rescan[last], t.rescan = nil, t.rescan[:last]
		switch {
		case i.exited:
		case !t.mayLook(i):
			t.behind[i] = struct{}{}
		default:
			delete(t.behind, i)
			t.rescans.Spend(t.scan(i))
		}
	}
}

// describeNow asks who a process is that came to be by exec.
func (t *Table) describeNow(i *Image) {
	i.described = true // once is enough
	d, err := openProcDir(t.config.Proc, i.pid())
	if err != nil {
		return
	}
	defer d.close()
	ticks, err := d.startTime()
	if err != nil || !startedAt(i.generation(), ticks) {
		return
	}
	t.describe(d, i)
}
