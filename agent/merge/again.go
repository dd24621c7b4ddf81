package merge

import (
	"slices"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
)

// NameAgain names the frames in files once more: by now more may be known than
// when they were first seen. It is for the end: only Finish may come after it,
// and what returns counts.
func (m *Merger) NameAgain() {
	if m.cfg.Name == nil {
		return
	}
	var frames []*staccato.Frame
	var of []*location
	byID := make([]*location, len(m.profile.Location)+1)
	for _, l := range m.elsewhere {
		byID[l.ID] = l
	}
	for file, in := range m.mappings {
		if in.unnamed != nil {
			in.unnamed.Samples = 0
		}
		for i, known := range in.locations {
			for address, l := range known {
				byID[l.ID] = l
				if file.File != nil {
					frames = append(frames, &staccato.Frame{Kind: m.side.Kinds.Of(l.ID), Mapping: file, Address: address, Return: i == 1})
					of = append(of, l)
				}
			}
		}
	}
	m.cfg.Name(frames)
	for i, f := range frames {
		if len(f.Lines) == 0 {
			continue // the names that it had were good
		}
		l := of[i]
		l.named = true
		m.setLines(l, f.Lines)
		m.side.Kinds.Set(l.ID, f.Kind)
	}
	m.dropFunctions()
	m.counts.Named = 0
	for _, s := range m.profile.Sample {
		m.countNames(s, byID)
	}
}

// countNames counts where a sample has frames without names, or that it has none.
func (m *Merger) countNames(s *profile.Sample, byID []*location) {
	named := true
	without := m.without[:0]
	for _, in := range s.Location {
		switch l := byID[in.ID]; {
		case l.named, l.cause != "":
		case l.lost:
			return
		default:
			named = false
			// It was counted before, too.
			if u := l.mapping.unnamed; !slices.Contains(without, u) {
				without = append(without, u)
				u.Samples += uint64(s.Value[0])
			}
		}
	}
	m.without = without
	if named {
		m.counts.Named += s.Value[0]
	}
}

// dropFunctions drops functions that no location has any more, and numbers the
// others anew.
func (m *Merger) dropFunctions() {
	used := make(map[*profile.Function]bool, len(m.profile.Function))
	for _, l := range m.profile.Location {
		for _, line := range l.Line {
			used[line.Function] = true
		}
	}
	kept := m.profile.Function[:0]
	for _, f := range m.profile.Function {
		if used[f] {
			f.ID = uint64(len(kept) + 1)
			kept = append(kept, f)
		}
	}
	clear(m.profile.Function[len(kept):])
	m.profile.Function = kept
}
