package process

import (
	"errors"

	"github.com/staccato-profiler/staccato/bpf"
)

// rescanPerFlush bounds how long one Flush takes after a Rescan.
const rescanPerFlush = 64

// Flush hands the mappings of the processes that changed since the last call
// to the Uploader, and removes those that ended. A process whose upload fails
// is tried again when the kernel side misses it.
func (t *Table) Flush() error {
	for n := 0; n < rescanPerFlush && len(t.rescan) > 0; n++ {
		last := len(t.rescan) - 1
		i := t.rescan[last]
		t.rescan[last], t.rescan = nil, t.rescan[:last]
		if !i.exited {
			t.scan(i)
		}
	}
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
		if err := t.config.Uploader.SetProcess(i.pid(), i.generation(), i.regions.entries(t.executables)); err != nil {
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
