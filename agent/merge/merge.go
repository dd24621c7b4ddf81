// Package merge adds samples up to a pprof profile.
package merge

import (
	"cmp"
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
	samples   sampleIndex
	mappings  map[*staccato.Mapping]*mapping
	elsewhere map[locationKey]*location // in no mapping
	known     map[*staccato.Function]*profile.Function
	functions map[staccato.Function]*profile.Function // equal ones are one
	processes map[int]*staccato.Process
	counts    Counts
	labels    map[labelKey]*labels
	complete  map[string]*Completeness // by name of the process
	generated map[string]*unnamed      // by program
	stack     []*location
	without   []*unnamed
	byFrame   []*location // of the current read, by Frame.Index
}

// labelKey is what the labels of a sample are made of.
type labelKey struct {
	pid, tid                int
	comm, thread, container string
}

// labels are shared by all samples that have the same.
type labels struct {
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

// mapping is an executable and what was seen of it.
type mapping struct {
	*profile.Mapping
	source    *staccato.Mapping
	unnamed   *unnamed                // nil: all has names
	locations [2]map[uint64]*location // by address; the second: return addresses
}

// locationKey is what makes two frames outside of executables the same, over
// several reads.
type locationKey struct {
	address uint64
	ret     bool
	process *staccato.Process // for addresses that mean something only there
	marker  string
	// mapping and function are set where an address holds another function than
	// before.
	mapping  *mapping
	function string
}

type location struct {
	profile.Location
	lines   [1]profile.Line // memory for Line: most have one
	mapping *mapping
	name    string // the linker's, of the innermost function
	named   bool
	user    bool   // of a stack's user part, or instead of one
	lost    bool   // stands for samples without a stack
	cause   string // stands for the rest of a stack that is not whole
}

// New returns an empty Merger.
func New(cfg Config) *Merger {
	m := &Merger{
		cfg:       cfg,
		samples:   make(sampleIndex),
		mappings:  make(map[*staccato.Mapping]*mapping),
		generated: make(map[string]*unnamed),
		elsewhere: make(map[locationKey]*location),
		known:     make(map[*staccato.Function]*profile.Function),
		functions: make(map[staccato.Function]*profile.Function),
		processes: make(map[int]*staccato.Process),
		labels:    make(map[labelKey]*labels),
		complete:  make(map[string]*Completeness),
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
	m.byFrame = make([]*location, len(frames))
	for i := range samples {
		s := &samples[i]
		stack := m.stack[:0]
		for _, f := range s.Stack {
			l := m.byFrame[f.Index]
			if l == nil {
				l = m.location(f, s.Process)
				m.byFrame[f.Index] = l
			}
			stack = append(stack, l)
		}
		m.stack = stack
		m.add(s, stack)
	}
	m.byFrame = nil
}

func isMarker(f *staccato.Frame) bool {
	return (f.Kind == staccato.KindLost || f.Kind == staccato.KindIdle) && len(f.Lines) > 0
}

func (m *Merger) add(s *staccato.Sample, stack []*location) {
	labels := m.label(s)
	sample, known := m.samples.find(labels, stack)
	if !known {
		sample.Label, sample.NumLabel = labels.text, labels.numbers
		m.profile.Sample = append(m.profile.Sample, sample)
	}
	sample.Value[0] += s.Count
	sample.Value[1] += s.Count * m.cfg.Period
	m.count(s, stack)
}

func (m *Merger) label(s *staccato.Sample) *labels {
	k := labelKey{s.Process.PID, s.Thread.TID, s.Process.Name, s.Thread.Name, s.Process.Container}
	if l, ok := m.labels[k]; ok {
		return l
	}
	l := &labels{text: make(map[string][]string), numbers: make(map[string][]int64)}
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
	complete, named, user, why := true, true, false, ""
	without := m.without[:0]
	for _, l := range stack {
		user = user || l.user
		switch {
		case l.named:
		case l.lost:
			return // not a sample with a stack
		case l.cause != "":
			complete, why = false, l.cause
			m.counts.Truncated[l.cause] += uint64(s.Count)
		default:
			named = false
			if u := m.unnamedIn(l.mapping, s.Process); !slices.Contains(without, u) {
				without = append(without, u)
				u.Samples += uint64(s.Count)
			}
		}
	}
	m.without = without
	m.counts.Samples += s.Count
	if complete {
		m.counts.Complete += s.Count
	}
	if named {
		m.counts.Named += s.Count
	}
	if user {
		m.completeness(s.Process.Name, s.Process.PID).add(s.Count, why)
	}
}

func (m *Merger) location(f *staccato.Frame, p *staccato.Process) *location {
	if isMarker(f) || f.Mapping == nil {
		k := locationKey{address: f.Address, ret: f.Return, process: p}
		if isMarker(f) {
			k = locationKey{marker: f.Lines[0].Function.Name}
		}
		l := m.elsewhere[k]
		if l == nil {
			l = m.newLocation(f, m.mapping(nil))
			m.elsewhere[k] = l
		}
		return l
	}
	in := m.mapping(f.Mapping)
	known := in.locations[0]
	if f.Return {
		known = in.locations[1]
	}
	l := known[f.Address]
	if l == nil {
		l = m.newLocation(f, in)
		known[f.Address] = l
	}
	if changes(f) && nameOf(f) != l.name {
		k := locationKey{mapping: in, address: f.Address, ret: f.Return, function: nameOf(f)}
		if l = m.elsewhere[k]; l == nil {
			l = m.newLocation(f, in)
			m.elsewhere[k] = l
		}
	}
	return l
}

// changes says that an address like the frame's may hold another function
// later.
func changes(f *staccato.Frame) bool {
	return f.Kind == staccato.KindKernel || f.Mapping.Generated != nil
}

func nameOf(f *staccato.Frame) string {
	if len(f.Lines) == 0 {
		return ""
	}
	return f.Lines[0].Function.SystemName
}

func (m *Merger) newLocation(f *staccato.Frame, in *mapping) *location {
	l := &location{
		Location: profile.Location{ID: uint64(len(m.profile.Location) + 1), Mapping: in.Mapping},
		mapping:  in,
		name:     nameOf(f),
		named:    len(f.Lines) > 0,
		user:     f.Kind != staccato.KindKernel && f.Kind != staccato.KindIdle,
	}
	if isMarker(f) {
		l.mark(f.Lines[0].Function.Name)
	} else {
		// As runtime/pprof and pprof's own readers have it: the address of
		// the call, not of the instruction after it.
		l.Address = f.Lookup()
	}
	m.setLines(l, f.Lines)
	m.side.Kinds.Set(l.ID, f.Kind)
	m.profile.Location = append(m.profile.Location, &l.Location)
	return l
}

func (m *Merger) setLines(l *location, lines []staccato.Line) {
	l.Line = l.lines[:0]
	for _, line := range lines {
		l.Line = append(l.Line, profile.Line{Function: m.function(line.Function), Line: line.Line, Column: line.Column})
	}
}

// mark makes a location one that stands for what is missing. Others, such as
// "[idle]", are like named frames.
func (l *location) mark(text string) {
	if cause, ok := strings.CutPrefix(text, "[truncated: "); ok {
		l.named, l.cause = false, strings.TrimSuffix(cause, "]")
		l.user = l.user && cause != "kernel stack]"
	} else if strings.HasPrefix(text, "[lost: ") {
		l.named, l.lost = false, true
	}
}

func (m *Merger) function(f *staccato.Function) *profile.Function {
	if p := m.known[f]; p != nil {
		return p
	}
	p := m.functions[*f]
	if p == nil {
		p = &profile.Function{
			ID: uint64(len(m.profile.Function) + 1), Name: f.Name, SystemName: f.SystemName,
			Filename: f.File, StartLine: f.StartLine,
		}
		m.profile.Function = append(m.profile.Function, p)
		m.functions[*f] = p
	}
	m.known[f] = p
	return p
}

// mapping returns what is known of a mapping; nil stands for addresses in none.
func (m *Merger) mapping(s *staccato.Mapping) *mapping {
	if p := m.mappings[s]; p != nil {
		return p
	}
	p := &mapping{source: s, locations: [2]map[uint64]*location{make(map[uint64]*location), make(map[uint64]*location)}}
	m.mappings[s] = p
	if s == nil {
		return p
	}
	p.Mapping = &profile.Mapping{
		ID: uint64(len(m.profile.Mapping) + 1), File: s.Path, BuildID: s.BuildID,
		Start: s.Start, Limit: s.Limit, Offset: s.Offset,
	}
	found(p.Mapping)
	if s.Hash != "" {
		m.side.Hashes[p.ID] = s.Hash
	}
	m.profile.Mapping = append(m.profile.Mapping, p.Mapping)
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

// Completeness returns how whole the stacks of processes are, by name: first those
// names of which most stacks are not.
func (m *Merger) Completeness() []Completeness {
	list := make([]Completeness, 0, len(m.complete))
	for _, c := range m.complete {
		list = append(list, *c)
	}
	slices.SortFunc(list, worse)
	return list
}

// Processes returns the processes that have samples, by PID.
func (m *Merger) Processes() map[int]*staccato.Process { return m.processes }

// Unnamed says in how many samples frames had no name, and why.
type Unnamed struct {
	// Path and BuildID are the executable's; "" for addresses outside of every
	// executable.
	Path, BuildID string
	// Program is set for code that a program generated: its own file.
	Program string
	Samples uint64
	Reason  string
}

// unnamed is where unnamed frames are counted, and a mapping that has some.
type unnamed struct {
	Unnamed
	mapping *staccato.Mapping
}

// unnamedIn returns where to count unnamed frames in a mapping. Generated code is
// one for all processes of a program.
func (m *Merger) unnamedIn(in *mapping, p *staccato.Process) *unnamed {
	if in.unnamed != nil {
		return in.unnamed
	}
	u := &unnamed{mapping: in.source}
	switch {
	case in.source == nil:
	case in.source.Generated == nil:
		u.Path, u.BuildID = in.source.Path, in.source.BuildID
	default:
		program := cmp.Or(p.Executable, p.Name)
		if known := m.generated[program]; known != nil {
			u = known
		}
		u.Program = program
		m.generated[program] = u
	}
	in.unnamed = u
	return u
}

// Unnamed returns what has frames without names, most samples first.
func (m *Merger) Unnamed() []Unnamed {
	all := make(map[*unnamed]bool)
	for _, in := range m.mappings {
		if in.unnamed != nil && in.unnamed.Samples > 0 {
			all[in.unnamed] = true
		}
	}
	var list []Unnamed
	for u := range all {
		each := u.Unnamed
		if each.Reason = "not in an executable file"; u.mapping != nil {
			if each.Reason = u.mapping.Reason; each.Reason == "" && m.cfg.Reason != nil {
				each.Reason = m.cfg.Reason(u.mapping)
			}
		}
		list = append(list, each)
	}
	slices.SortFunc(list, func(a, b Unnamed) int {
		return cmp.Or(-cmp.Compare(a.Samples, b.Samples), strings.Compare(a.Path, b.Path), strings.Compare(a.Program, b.Program))
	})
	return list
}
