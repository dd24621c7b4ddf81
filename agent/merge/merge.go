// Package merge adds samples up to a pprof profile.
package merge

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
)

// Config says how samples become a profile.
type Config struct {
	// Period is the CPU time that one sample stands for, in nanoseconds.
	Period int64
	// Name fills in the lines of frames that have none, as far as it can.
	// Frames are given to it once, when they are first seen.
	Name func([]*staccato.Frame)
	// Reason says why frames of a mapping have no names; may be nil.
	Reason func(*staccato.Mapping) string
}

// Merger adds up samples: those with the same thread, process and stack become
// one. It is for one goroutine.
type Merger struct {
	cfg       Config
	profile   *profile.Profile
	side      *exporter.Side
	samples   map[string]*profile.Sample
	locations map[locationKey]*location
	functions map[staccato.Function]*profile.Function
	mappings  map[*staccato.Mapping]*profile.Mapping
	processes map[int]*staccato.Process
	unnamed   map[*staccato.Mapping]uint64
	counts    Counts
	labels    map[labelKey]labels
	scratch   []byte
	stack     []*location
	byFrame   map[*staccato.Frame]*location // of the current read
}

// labelKey is what the labels of a sample are made of.
type labelKey struct {
	pid, tid                int
	comm, thread, container string
}

// labels are shared by all samples that have the same.
type labels struct {
	id      uint64
	text    map[string][]string
	numbers map[string][]int64
}

// Counts are sums over all samples that were added.
type Counts struct {
	// Samples have a stack; Complete of them are whole, Named of them have a
	// name for every frame.
	Samples, Complete, Named int64
	// Truncated counts samples whose stack is not whole, by cause.
	Truncated map[string]uint64
}

// locationKey is what makes two frames the same, over several reads.
type locationKey struct {
	mapping *staccato.Mapping
	address uint64
	ret     bool
	process *staccato.Process // for addresses that mean something only there
	marker  string
}

type location struct {
	*profile.Location
	mapping *staccato.Mapping
	marker  string
	named   bool
}

// New returns an empty Merger.
func New(cfg Config) *Merger {
	m := &Merger{
		cfg:       cfg,
		samples:   make(map[string]*profile.Sample),
		locations: make(map[locationKey]*location),
		functions: make(map[staccato.Function]*profile.Function),
		mappings:  make(map[*staccato.Mapping]*profile.Mapping),
		processes: make(map[int]*staccato.Process),
		unnamed:   make(map[*staccato.Mapping]uint64),
		labels:    make(map[labelKey]labels),
		counts:    Counts{Truncated: make(map[string]uint64)},
	}
	m.profile = &profile.Profile{
		SampleType: []*profile.ValueType{
			{Type: "samples", Unit: "count"},
			{Type: "cpu", Unit: "nanoseconds"},
		},
		DefaultSampleType: "cpu",
		PeriodType:        &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:            cfg.Period,
	}
	m.side = &exporter.Side{
		Kinds:  make(map[uint64]staccato.Kind),
		Hashes: make(map[uint64]string),
	}
	return m
}

// Add adds the samples of one read; frames are the distinct frames of their
// stacks.
func (m *Merger) Add(samples []staccato.Sample, frames []*staccato.Frame) {
	if m.cfg.Name != nil {
		m.cfg.Name(frames)
	}
	m.byFrame = make(map[*staccato.Frame]*location, len(frames))
	for i := range samples {
		s := &samples[i]
		stack := m.stack[:0]
		for _, f := range s.Stack {
			l := m.byFrame[f]
			if l == nil {
				l = m.location(f, s.Process)
				m.byFrame[f] = l
			}
			stack = append(stack, l)
		}
		m.stack = stack
		m.add(s, stack)
	}
	m.byFrame = nil
}

func key(f *staccato.Frame, p *staccato.Process) locationKey {
	k := locationKey{mapping: f.Mapping, address: f.Address, ret: f.Return}
	switch {
	case isMarker(f):
		k.marker = f.Lines[0].Function.Name
	case f.Mapping == nil:
		k.process = p
	}
	return k
}

func isMarker(f *staccato.Frame) bool {
	return (f.Kind == staccato.KindLost || f.Kind == staccato.KindIdle) && len(f.Lines) > 0
}

func (m *Merger) add(s *staccato.Sample, stack []*location) {
	labels := m.label(s)
	id := m.identify(labels.id, stack)
	sample := m.samples[string(id)]
	if sample == nil {
		sample = &profile.Sample{
			Value:    []int64{0, 0},
			Location: make([]*profile.Location, len(stack)),
			Label:    labels.text,
			NumLabel: labels.numbers,
		}
		for i, l := range stack {
			sample.Location[i] = l.Location
		}
		m.samples[string(id)] = sample
		m.profile.Sample = append(m.profile.Sample, sample)
	}
	sample.Value[0] += s.Count
	sample.Value[1] += s.Count * m.cfg.Period
	m.count(s, stack)
}

// identify packs everything that makes a sample different from others.
func (m *Merger) identify(labels uint64, stack []*location) []byte {
	b := binary.AppendUvarint(m.scratch[:0], labels)
	for _, l := range stack {
		b = binary.AppendUvarint(b, l.ID)
	}
	m.scratch = b
	return b
}

func (m *Merger) label(s *staccato.Sample) labels {
	k := labelKey{s.Process.PID, s.Thread.TID, s.Process.Name, s.Thread.Name, s.Process.Container}
	if l, ok := m.labels[k]; ok {
		return l
	}
	l := labels{id: uint64(len(m.labels)), text: make(map[string][]string), numbers: make(map[string][]int64)}
	for key, value := range map[string]string{
		staccato.LabelComm: k.comm, staccato.LabelThreadComm: k.thread, staccato.LabelContainer: k.container,
	} {
		if value != "" {
			l.text[key] = []string{value}
		}
	}
	for key, value := range map[string]int{staccato.LabelPID: k.pid, staccato.LabelTID: k.tid} {
		if value != 0 {
			l.numbers[key] = []int64{int64(value)}
		}
	}
	m.labels[k] = l
	if k.pid != 0 {
		m.processes[k.pid] = s.Process
	}
	return l
}

func (m *Merger) count(s *staccato.Sample, stack []*location) {
	complete, named := true, true
	for _, l := range stack {
		if cause, ok := strings.CutPrefix(l.marker, "[truncated: "); ok {
			complete = false
			m.counts.Truncated[strings.TrimSuffix(cause, "]")] += uint64(s.Count)
		}
		if strings.HasPrefix(l.marker, "[lost: ") {
			return // not a sample with a stack
		}
		if !l.named {
			named = false
			m.unnamed[l.mapping] += uint64(s.Count)
		}
	}
	m.counts.Samples += s.Count
	if complete {
		m.counts.Complete += s.Count
	}
	if named {
		m.counts.Named += s.Count
	}
}

func (m *Merger) location(f *staccato.Frame, p *staccato.Process) *location {
	k := key(f, p)
	if l := m.locations[k]; l != nil {
		return l
	}
	l := &location{
		Location: &profile.Location{ID: uint64(len(m.profile.Location) + 1), Mapping: m.mapping(f.Mapping)},
		mapping:  f.Mapping,
		marker:   k.marker,
		named:    len(f.Lines) > 0,
	}
	if k.marker == "" {
		// As runtime/pprof and pprof's own readers have it: the address of
		// the call, not of the instruction after it.
		l.Address = f.Lookup()
	}
	for _, line := range f.Lines {
		l.Line = append(l.Line, profile.Line{Function: m.function(line.Function), Line: line.Line, Column: line.Column})
	}
	m.side.Kinds[l.ID] = f.Kind
	m.profile.Location = append(m.profile.Location, l.Location)
	m.locations[k] = l
	return l
}

func (m *Merger) function(f *staccato.Function) *profile.Function {
	if p := m.functions[*f]; p != nil {
		return p
	}
	p := &profile.Function{
		ID: uint64(len(m.profile.Function) + 1), Name: f.Name, SystemName: f.SystemName,
		Filename: f.File, StartLine: f.StartLine,
	}
	m.profile.Function = append(m.profile.Function, p)
	m.functions[*f] = p
	return p
}

func (m *Merger) mapping(s *staccato.Mapping) *profile.Mapping {
	if s == nil {
		return nil
	}
	if p := m.mappings[s]; p != nil {
		return p
	}
	p := &profile.Mapping{
		ID: uint64(len(m.profile.Mapping) + 1), File: s.Path, BuildID: s.BuildID,
		Start: s.Start, Limit: s.Limit, Offset: s.Offset,
	}
	found(p)
	if s.Hash != "" {
		m.side.Hashes[p.ID] = s.Hash
	}
	m.profile.Mapping = append(m.profile.Mapping, p)
	m.mappings[s] = p
	return p
}

// found says that there is nothing left to look up: pprof would otherwise try
// to name frames itself, on another machine or with other files.
func found(p *profile.Mapping) {
	p.HasFunctions, p.HasFilenames, p.HasLineNumbers, p.HasInlineFrames = true, true, true, true
}

// Main makes the executable with this path the profile's main one, which pprof
// names in its header; with "" none is, as is right for a whole host.
func (m *Merger) main(path string) {
	all := m.profile.Mapping
	i := slices.IndexFunc(all, func(p *profile.Mapping) bool { return path != "" && p.File == path })
	if i > 0 {
		p := all[i]
		m.profile.Mapping = slices.Insert(slices.Delete(all, i, i+1), 0, p)
	}
	if i >= 0 || len(all) == 0 {
		return
	}
	none := &profile.Mapping{ID: uint64(len(all) + 1)}
	found(none)
	m.profile.Mapping = slices.Insert(all, 0, none)
}

// Finish returns what was added. The Merger must not be used again. main is
// the path of the program when the profile is of one, else "".
func (m *Merger) Finish(main string, start time.Time, d time.Duration, comments []string) exporter.Input {
	m.main(main)
	m.profile.TimeNanos = start.UnixNano()
	m.profile.DurationNanos = int64(d)
	m.profile.Comments = comments
	return exporter.Input{Profile: m.profile, Side: m.side}
}

// Counts returns the sums so far.
func (m *Merger) Counts() Counts { return m.counts }

// Processes returns the processes that have samples, by PID.
func (m *Merger) Processes() map[int]*staccato.Process { return m.processes }

// Unnamed says how often frames of a mapping had no name, and why.
type Unnamed struct {
	Path, BuildID string
	Frames        uint64
	Reason        string
}

// Unnamed returns the executables with unnamed frames, most frames first. Path
// is "" for addresses outside every executable.
func (m *Merger) Unnamed() []Unnamed {
	var list []Unnamed
	for s, n := range m.unnamed {
		u := Unnamed{Frames: n, Reason: "not in an executable file"}
		if s != nil {
			u.Path, u.BuildID, u.Reason = s.Path, s.BuildID, s.Reason
			if m.cfg.Reason != nil && u.Reason == "" {
				u.Reason = m.cfg.Reason(s)
			}
		}
		list = append(list, u)
	}
	slices.SortFunc(list, func(a, b Unnamed) int {
		switch {
		case a.Frames != b.Frames && a.Frames > b.Frames:
			return -1
		case a.Frames != b.Frames:
			return 1
		}
		return strings.Compare(a.Path, b.Path)
	})
	return list
}
