package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"

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

// Name returns the lines of each address in the ELF file at path, none where
// nothing is known, and why not more is known, "" when there is nothing to say.
// The addresses are ELF virtual addresses.
func (o *Offline) Name(ctx context.Context, path string, addresses []uint64) (lines [][]staccato.Line, reason string, err error) {
	e, err := process.OpenFile(path)
	if err != nil {
		return nil, "", err
	}
	defer e.Close()
	return o.name(ctx, e, addresses)
}

func (o *Offline) name(ctx context.Context, e *process.Executable, addresses []uint64) ([][]staccato.Line, string, error) {
	o.symbolizer.Lookup(e.Mapping, nil, nil) // so that reading begins
	if err := o.symbolizer.Wait(ctx); err != nil {
		return nil, "", err
	}
	// In order of addresses, what is needed next is near.
	order := make([]int, len(addresses))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(addresses[a], addresses[b]) })
	sorted := make([]uint64, len(addresses))
	for i, from := range order {
		sorted[i] = addresses[from]
	}
	lines := make([][]staccato.Line, len(addresses))
	o.symbolizer.Lookup(e.Mapping, sorted, func(i int, l []staccato.Line) { lines[order[i]] = l })
	return lines, o.symbolizer.Reason(e.Mapping), nil
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
		lines, reason, err := o.nameMapping(ctx, m, locations)
		if ctx.Err() != nil {
			return named, nil, err
		}
		if err != nil {
			reason = err.Error()
		}
		left := StillUnnamed{Path: m.File, BuildID: m.BuildID, Reason: reason}
		for i, l := range locations {
			if lines == nil || len(lines[i]) == 0 {
				left.Locations++
				continue
			}
			for _, line := range lines[i] {
				l.Line = append(l.Line, profile.Line{Function: functions.of(line.Function), Line: line.Line, Column: line.Column})
			}
			named++
		}
		if left.Locations > 0 {
			unnamed = append(unnamed, left)
			continue
		}
		m.HasFunctions, m.HasFilenames, m.HasLineNumbers, m.HasInlineFrames = true, true, true, true
	}
	return named, unnamed, nil
}

// nameMapping returns the lines of locations in a mapping.
func (o *Offline) nameMapping(ctx context.Context, m *profile.Mapping, locations []*profile.Location) ([][]staccato.Line, string, error) {
	if m.BuildID == "" {
		return nil, "the profile has no build ID for it", nil
	}
	e, err := process.OpenFile(m.File)
	if err != nil {
		return nil, "", err
	}
	defer e.Close()
	if m.BuildID != e.Mapping.BuildID && m.BuildID != e.Mapping.GoBuildID {
		return nil, "", fmt.Errorf("%s has another build ID", m.File)
	}
	addresses := make([]uint64, len(locations))
	for i, l := range locations {
		addresses[i] = e.Address(l.Address - m.Start + m.Offset)
	}
	return o.name(ctx, e, addresses)
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
