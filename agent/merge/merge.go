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
	scratch   []byte
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

// Add adds the samples of one read.
func (m *Merger) Add(samples []staccato.Sample) {
	m.nameNew(samples)
	byFrame := make(map[*staccato.Frame]*location)
	var stack []*location
	for i := range samples {
		s := &samples[i]
		stack = stack[:0]
		for _, f := range s.Stack {
			l := byFrame[f]
			if l == nil {
				l = m.location(f, s.Process)
				byFrame[f] = l
			}
			stack = append(stack, l)
		}
		m.add(s, stack)
	}
}

// nameNew has all frames named that were not seen before.
func (m *Merger) nameNew(samples []staccato.Sample) {
	if m.cfg.Name == nil {
		return
	}
	var fresh []*staccato.Frame
	seen := make(map[*staccato.Frame]bool)
	for _, s := range samples {
		for _, f := range s.Stack {
			if seen[f] {
				continue
			}
			seen[f] = true
			if len(f.Lines) == 0 && m.locations[key(f, s.Process)] == nil {
				fresh = append(fresh, f)
			}
		}
	}
	m.cfg.Name(fresh)
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
	id := m.identify(s, stack)
	sample := m.samples[string(id)]
	if sample == nil {
		sample = &profile.Sample{Value: []int64{0, 0}}
		for _, l := range stack {
			sample.Location = append(sample.Location, l.Location)
		}
		label(sample, s)
		m.samples[string(id)] = sample
		m.profile.Sample = append(m.profile.Sample, sample)
		if s.Process.PID != 0 {
			m.processes[s.Process.PID] = s.Process
		}
	}
	sample.Value[0] += s.Count
	sample.Value[1] += s.Count * m.cfg.Period
	m.count(s, stack)
}

// identify packs everything that makes a sample different from others.
func (m *Merger) identify(s *staccato.Sample, stack []*location) []byte {
	b := m.scratch[:0]
	for _, l := range stack {
		b = binary.AppendUvarint(b, l.ID)
	}
	b = append(b, 0) // no location has ID 0
	b = binary.AppendUvarint(b, uint64(s.Process.PID))
	b = binary.AppendUvarint(b, uint64(s.Thread.TID))
	b = append(append(b, s.Process.Name...), 0)
	b = append(append(b, s.Thread.Name...), 0)
	b = append(b, s.Process.Container...)
	m.scratch = b
	return b
}

func label(sample *profile.Sample, s *staccato.Sample) {
	text := func(key, value string) {
		if value != "" {
			if sample.Label == nil {
				sample.Label = make(map[string][]string)
			}
			sample.Label[key] = []string{value}
		}
	}
	number := func(key string, value int) {
		if value != 0 {
			if sample.NumLabel == nil {
				sample.NumLabel = make(map[string][]int64)
			}
			sample.NumLabel[key] = []int64{int64(value)}
		}
	}
	number(staccato.LabelPID, s.Process.PID)
	number(staccato.LabelTID, s.Thread.TID)
	text(staccato.LabelComm, s.Process.Name)
	text(staccato.LabelThreadComm, s.Thread.Name)
	text(staccato.LabelContainer, s.Process.Container)
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
