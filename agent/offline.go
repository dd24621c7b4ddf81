package agent

import (
	"context"
	"fmt"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/agent/process"
	"github.com/staccato-profiler/staccato/symbolizer"
)

// Offline names addresses of executables without profiling.
type Offline struct {
	symbolizer *symbolizer.Symbolizer
}

// NewOffline returns an Offline that has read nothing yet. Of config, Wait has
// no meaning: what must be read is waited for.
func NewOffline(config NamesConfig) *Offline {
	return &Offline{symbolizer.New(config.symbolizer())}
}

// Name calls each with the lines of each address in the ELF file at path, in
// order, none where nothing is known; lines are valid until it returns. The
// addresses are ELF virtual addresses. The reason is why not more is known, ""
// when there is nothing to say.
func (o *Offline) Name(ctx context.Context, path string, addresses []uint64, each func(int, []staccato.Line)) (reason string, err error) {
	e, err := process.OpenFile(path)
	if err != nil {
		return "", err
	}
	defer e.Close()
	return o.name(ctx, e, addresses, each)
}

func (o *Offline) name(ctx context.Context, e *process.Executable, addresses []uint64, each func(int, []staccato.Line)) (string, error) {
	o.symbolizer.Lookup(e.Mapping, nil, nil) // so that reading begins
	if err := o.symbolizer.Wait(ctx); err != nil {
		return "", err
	}
	o.symbolizer.Lookup(e.Mapping, addresses, each)
	return o.symbolizer.Reason(e.Mapping), nil
}

// Unkept is why what was read cannot be kept for the next time, nil when it
// can.
func (o *Offline) Unkept() error { return o.symbolizer.Stats().Unkept }

// StillUnnamed says how many locations of an executable have no name, and why.
type StillUnnamed struct {
	Path, BuildID string
	Locations     int
	Reason        string
}

// NameProfile names the locations of a pprof profile that have no lines, by the
// executables at the paths of its mappings, as far as their build IDs are those
// of the profile. It returns how many it has named, and what frames are still
// without a name.
func (o *Offline) NameProfile(ctx context.Context, p *profile.Profile) (named int, unnamed []StillUnnamed, err error) {
	nameless := make(map[*profile.Mapping][]*profile.Location)
	for _, l := range p.Location {
		if len(l.Line) == 0 && l.Mapping != nil {
			nameless[l.Mapping] = append(nameless[l.Mapping], l)
		}
	}
	functions := profileFunctions{p: p, known: make(map[staccato.Function]*profile.Function)}
	for _, m := range p.Mapping {
		locations := nameless[m]
		if len(locations) == 0 {
			continue
		}
		before := named
		reason, err := o.nameMapping(ctx, m, locations, func(i int, lines []staccato.Line) {
			for _, line := range lines {
				locations[i].Line = append(locations[i].Line, profile.Line{Function: functions.of(line.Function), Line: line.Line, Column: line.Column})
			}
			if len(lines) > 0 {
				named++
			}
		})
		if ctx.Err() != nil {
			return named, nil, err
		}
		if err != nil {
			reason = err.Error()
		}
		left := StillUnnamed{Path: m.File, BuildID: m.BuildID, Reason: reason, Locations: len(locations) - (named - before)}
		if left.Locations > 0 {
			unnamed = append(unnamed, left)
			continue
		}
		m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames = true, true, true, true
	}
	return named, unnamed, nil
}

// nameMapping calls each with the lines of locations in a mapping.
func (o *Offline) nameMapping(ctx context.Context, m *profile.Mapping, locations []*profile.Location, each func(int, []staccato.Line)) (reason string, err error) {
	if m.BuildID == "" {
		return "the profile has no build ID for it", nil
	}
	e, err := process.OpenFile(m.File)
	if err != nil {
		return "", err
	}
	defer e.Close()
	if m.BuildID != e.Mapping.BuildID && m.BuildID != e.Mapping.GoBuildID {
		return "", fmt.Errorf("%s has another build ID", m.File)
	}
	addresses := make([]uint64, len(locations))
	for i, l := range locations {
		addresses[i] = e.Address(l.Address - m.Start + m.Offset)
	}
	return o.name(ctx, e, addresses, each)
}

// profileFunctions adds functions to a profile, each once.
type profileFunctions struct {
	p     *profile.Profile
	known map[staccato.Function]*profile.Function
	last  uint64 // the greatest ID
}

func (f *profileFunctions) of(s *staccato.Function) *profile.Function {
	if known := f.known[*s]; known != nil {
		return known
	}
	if f.last == 0 {
		for _, other := range f.p.Function {
			f.last = max(f.last, other.ID)
		}
	}
	f.last++
	added := &profile.Function{ID: f.last, Name: s.Name, SystemName: s.SystemName, Filename: s.File, StartLine: s.StartLine}
	f.known[*s] = added
	f.p.Function = append(f.p.Function, added)
	return added
}
