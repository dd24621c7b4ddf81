package agent

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/staccato-profiler/staccato/agent/limit"
	"github.com/staccato-profiler/staccato/agent/merge"
	"github.com/staccato-profiler/staccato/agent/process"
	"github.com/staccato-profiler/staccato/bpf"
	"github.com/staccato-profiler/staccato/symbolizer"
)

// totals count everything since Start; they only grow.
type totals struct {
	mu                              sync.Mutex
	entries, stored, filtered, idle uint64
	own, late, unmapped, windows    uint64
	lost, truncated                 map[string]uint64
	news                            processCounts
	processes                       process.Stats
	copied, notCopied               uint64
	tables                          tableCounts
	complete                        map[string]outcomes // by name of the process
}

// outcomes are samples with a user part, by whether their stack is whole.
type outcomes struct{ complete, truncated int64 }

// maxNames is how many names of processes have numbers of their own, in the
// order in which they appear; the others share those of otherNames.
const (
	maxNames   = 100
	otherNames = "[other]"
)

// Observe registers every counter of the profiler with a meter, until Close.
func (p *Profiler) Observe(meter metric.Meter) error {
	var instruments []metric.Observable
	var err error
	counter := func(name, unit, text string) metric.Int64ObservableCounter {
		c, e := meter.Int64ObservableCounter("staccato."+name, metric.WithUnit(unit), metric.WithDescription(text))
		if e != nil && err == nil {
			err = e
		}
		instruments = append(instruments, c)
		return c
	}
	gauge := func(name, unit, text string) metric.Int64ObservableGauge {
		g, e := meter.Int64ObservableGauge("staccato."+name, metric.WithUnit(unit), metric.WithDescription(text))
		if e != nil && err == nil {
			err = e
		}
		instruments = append(instruments, g)
		return g
	}
	entries := counter("runs", "{run}", "Runs of the sampling program.")
	samples := counter("samples", "{sample}", "Runs by what became of them: stored, filtered, idle.")
	lost := counter("samples.lost", "{sample}", "Samples lost, by cause.")
	truncated := counter("samples.truncated", "{sample}", "Samples whose stack is not whole, by cause.")
	byProcess := counter("process.samples", "{sample}", "Samples with a user part, by the process's name and whether the stack is whole, up to the last profile.")
	own := counter("skipped.own", "{sample}", "Of those not sampled: due while the profiler itself ran.")
	late := counter("timer.late", "{firing}", "Estimate of firings of the timer that were due and did not come.")
	unmapped := counter("frames.unmapped", "{frame}", "User frames whose mapping was not known at capture.")
	copies := counter("stacks.copied", "{sample}", "Samples whose user stack was to be copied, by whether there was room.")
	tables := gauge("unwind.tables", "{table}", "Unwind tables that the kernel side has.")
	tableBytes := gauge("unwind.tables.size", "By", "Memory of these tables.")
	made := counter("unwind.tables.made", "{table}", "Unwind tables made for the kernel side, by outcome.")
	held := counter("users.held", "{time}", "How often work for a user had to wait, since the user had used up what users may take, by user ID and kind of work.")
	windows := counter("windows", "{window}", "Reads of the kernel side's tables.")
	news := counter("news.lost", "{record}", "Side-band records and notices lost, by source.")
	refused := counter("files.refused", "{file}", "Executables that could not be used, by reason.")
	scans := counter("processes.scans", "{scan}", "Readings of /proc/PID/maps.")
	beyond := counter("processes.beyond", "{item}", "What did not fit the limits of the process table, by kind.")
	images := gauge("processes", "{process}", "Program images that are known.")
	files := gauge("files.open", "{file}", "Executables that are held open.")
	debugFiles := counter("debuginfod.files", "{file}", "Debug files that servers were asked for, by what came of it.")
	indexes := counter("indexes", "{executable}", "Executables whose debug information was to be read, by what came of it.")
	notKept := counter("indexes.not_kept", "{file}", "Index files that were made and could not be kept on disk, by reason.")
	evicted := counter("indexes.evicted", "{file}", "Index files removed to make room for others.")
	indexBytes := gauge("indexes.size", "By", "What index files take on disk.")
	indexCPU, e := meter.Float64ObservableCounter("staccato.indexes.cpu", metric.WithUnit("s"), metric.WithDescription("CPU time spent on making index files."))
	if e != nil && err == nil {
		err = e
	}
	instruments = append(instruments, indexCPU)
	mapBytes := gauge("bpf.map.size", "By", "Memory of the BPF maps.")
	if err != nil {
		return fmt.Errorf("create metrics: %w", err)
	}
	p.registration, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t := &p.totals
		t.mu.Lock()
		defer t.mu.Unlock()
		with := func(key, value string) metric.MeasurementOption {
			return metric.WithAttributes(attribute.String(key, value))
		}
		each := func(c metric.Int64Observable, key string, counts map[string]uint64) {
			for value, n := range counts {
				o.ObserveInt64(c, int64(n), with(key, value))
			}
		}
		o.ObserveInt64(entries, int64(t.entries))
		each(samples, "outcome", map[string]uint64{"stored": t.stored, "filtered": t.filtered, "idle": t.idle})
		each(lost, "cause", t.lost)
		each(truncated, "cause", t.truncated)
		for name, n := range t.complete {
			o.ObserveInt64(byProcess, n.complete, metric.WithAttributes(attribute.String("outcome", "complete"), attribute.String("process", name)))
			o.ObserveInt64(byProcess, n.truncated, metric.WithAttributes(attribute.String("outcome", "truncated"), attribute.String("process", name)))
		}
		o.ObserveInt64(own, int64(t.own))
		o.ObserveInt64(late, int64(t.late))
		o.ObserveInt64(unmapped, int64(t.unmapped))
		each(copies, "outcome", map[string]uint64{"copied": t.copied, "no_room": t.notCopied})
		o.ObserveInt64(tables, int64(t.tables.Tables))
		o.ObserveInt64(tableBytes, int64(t.tables.Bytes))
		each(made, "outcome", map[string]uint64{
			"loaded":         t.tables.Loaded,
			"incomplete":     t.tables.Faulty,
			"evicted":        t.tables.Evicted,
			"no_information": t.tables.Without,
			"unreadable":     t.tables.Failed,
			"no_room":        t.tables.NoRoom,
		})
		for kind, users := range map[string]map[uint32]uint64{"unwind_tables": t.tables.HeldBack, "mappings": t.processes.HeldBack} {
			for user, n := range users {
				o.ObserveInt64(held, int64(n), metric.WithAttributes(attribute.String("kind", kind), attribute.String("user", userName(user))))
			}
		}
		o.ObserveInt64(windows, int64(t.windows))
		each(news, "source", map[string]uint64{"side-band": t.news.LostRecords, "notice": t.news.LostNotices})
		each(refused, "reason", t.processes.Refused)
		o.ObserveInt64(scans, int64(t.processes.Scans))
		each(beyond, "kind", map[string]uint64{
			"image":      t.processes.ImagesBeyond,
			"mapping":    t.processes.MappingsBeyond,
			"executable": t.processes.ExecutablesBeyond,
			"upload":     t.processes.UploadErrors,
			"child":      p.sampler.ChildrenLost(),
		})
		o.ObserveInt64(images, int64(t.processes.Images))
		o.ObserveInt64(files, int64(t.processes.OpenFiles))
		if p.names.servers != nil {
			asked := p.names.servers.Stats()
			each(debugFiles, "outcome", map[string]uint64{"fetched": asked.Fetched, "absent": asked.Absent, "failed": asked.Failed})
		}
		names := p.names.symbolizer.Stats().Indexes
		each(indexes, "outcome", map[string]uint64{
			"built":      names.Built,
			"found":      names.Found,
			"too_large":  names.TooLarge,
			"unreadable": names.Unreadable,
			"queue_full": names.QueueFull,
		})
		for _, why := range []symbolizer.NotKept{symbolizer.NoDirectory, symbolizer.NoSpace, symbolizer.NotWritable, symbolizer.OverLimit, symbolizer.Other} {
			o.ObserveInt64(notKept, int64(names.NotKept[why]), with("reason", string(why)))
		}
		o.ObserveInt64(evicted, int64(names.Evicted))
		o.ObserveInt64(indexBytes, names.Bytes)
		o.ObserveFloat64(indexCPU, names.CPU.Seconds())
		o.ObserveInt64(mapBytes, int64(p.sampler.MapBytes()+t.tables.MapBytes))
		return nil
	}, instruments...)
	if err != nil {
		return fmt.Errorf("register metrics: %w", err)
	}
	return nil
}

// userName is a user's number, as a label.
func userName(id uint32) string {
	if id == limit.Nobody {
		return otherNames
	}
	return strconv.FormatUint(uint64(id), 10)
}

// addWindow adds what a window holds; before and after are the truncated
// samples of the current cut before and after the window was merged.
func (t *totals) addWindow(w *bpf.Window, before, after map[string]uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lost == nil {
		t.lost, t.truncated = make(map[string]uint64), make(map[string]uint64)
	}
	t.windows++
	t.entries += w.Tally.Entries
	t.stored += w.Tally.Stored
	t.filtered += w.Tally.Filtered
	t.idle += w.Tally.Idle
	t.own += w.Tally.SkippedOwn
	t.late += w.Tally.Late
	t.unmapped += w.Tally.Unmapped
	t.copied += w.Tally.Copied
	t.notCopied += w.Tally.NotCopied
	for cause, n := range w.Tally.Lost {
		t.lost[cause] += n
	}
	for cause, n := range after {
		t.truncated[cause] += n - before[cause]
	}
}

// addCompleteness adds what a profile says of processes.
func (t *totals) addCompleteness(list []merge.Completeness) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.complete == nil {
		t.complete = make(map[string]outcomes)
	}
	for _, c := range list {
		name := c.Name
		if _, known := t.complete[name]; !known && len(t.complete) >= maxNames {
			name = otherNames
		}
		n := t.complete[name]
		n.complete += c.Complete
		n.truncated += c.Samples - c.Complete
		t.complete[name] = n
	}
}

// addProcesses takes the state of the process table and of the unwind tables.
func (t *totals) addProcesses(s process.Stats, news processCounts, tables tableCounts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.processes, t.news, t.tables = s, news, tables
}

func (t *totals) tableFaults() (list []TableFault, beyond uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tables.faults.list, t.tables.faults.beyond
}
