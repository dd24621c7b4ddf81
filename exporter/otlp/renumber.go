package otlp

import (
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
)

// renumbering copies entries of one dictionary to another as they are needed.
// Each method takes an index into the old table and returns the one into the
// new table.
type renumbering struct {
	from, to *profilespb.ProfilesDictionary
	// The new index by the old one; 0 where it is not copied yet. Entry 0 is
	// always entry 0.
	strings, functions, mappings, locations, attributes, stacks []int32
}

func newRenumbering(from *profilespb.ProfilesDictionary) *renumbering {
	return &renumbering{
		from: from,
		to: &profilespb.ProfilesDictionary{
			MappingTable:   from.MappingTable[:1:1],
			LocationTable:  from.LocationTable[:1:1],
			FunctionTable:  from.FunctionTable[:1:1],
			LinkTable:      from.LinkTable[:1:1],
			StringTable:    from.StringTable[:1:1],
			AttributeTable: from.AttributeTable[:1:1],
			StackTable:     from.StackTable[:1:1],
		},
		strings:    make([]int32, len(from.StringTable)),
		functions:  make([]int32, len(from.FunctionTable)),
		mappings:   make([]int32, len(from.MappingTable)),
		locations:  make([]int32, len(from.LocationTable)),
		attributes: make([]int32, len(from.AttributeTable)),
		stacks:     make([]int32, len(from.StackTable)),
	}
}

// move gives old its new index and appends what entry makes of the old entry
// to the new table, unless that was done before.
func move[M any](old int32, index []int32, from []M, to *[]M, entry func(M) M) int32 {
	if old == 0 || index[old] != 0 {
		return index[old]
	}
	moved := entry(from[old])
	index[old] = int32(len(*to))
	*to = append(*to, moved)
	return index[old]
}

func (r *renumbering) string(old int32) int32 {
	return move(old, r.strings, r.from.StringTable, &r.to.StringTable, func(s string) string { return s })
}

func (r *renumbering) function(old int32) int32 {
	return move(old, r.functions, r.from.FunctionTable, &r.to.FunctionTable, func(f *profilespb.Function) *profilespb.Function {
		return &profilespb.Function{
			NameStrindex:       r.string(f.NameStrindex),
			SystemNameStrindex: r.string(f.SystemNameStrindex),
			FilenameStrindex:   r.string(f.FilenameStrindex),
			StartLine:          f.StartLine,
		}
	})
}

func (r *renumbering) mapping(old int32) int32 {
	return move(old, r.mappings, r.from.MappingTable, &r.to.MappingTable, func(m *profilespb.Mapping) *profilespb.Mapping {
		return &profilespb.Mapping{
			MemoryStart:      m.MemoryStart,
			MemoryLimit:      m.MemoryLimit,
			FileOffset:       m.FileOffset,
			FilenameStrindex: r.string(m.FilenameStrindex),
			AttributeIndices: r.each(m.AttributeIndices, r.attribute),
		}
	})
}

func (r *renumbering) location(old int32) int32 {
	return move(old, r.locations, r.from.LocationTable, &r.to.LocationTable, func(l *profilespb.Location) *profilespb.Location {
		lines := make([]*profilespb.Line, len(l.Lines))
		for i, line := range l.Lines {
			lines[i] = &profilespb.Line{FunctionIndex: r.function(line.FunctionIndex), Line: line.Line, Column: line.Column}
		}
		return &profilespb.Location{
			MappingIndex:     r.mapping(l.MappingIndex),
			Address:          l.Address,
			Lines:            lines,
			AttributeIndices: r.each(l.AttributeIndices, r.attribute),
		}
	})
}

func (r *renumbering) attribute(old int32) int32 {
	return move(old, r.attributes, r.from.AttributeTable, &r.to.AttributeTable, func(a *profilespb.KeyValueAndUnit) *profilespb.KeyValueAndUnit {
		return &profilespb.KeyValueAndUnit{
			KeyStrindex:  r.string(a.KeyStrindex),
			Value:        a.Value,
			UnitStrindex: r.string(a.UnitStrindex),
		}
	})
}

func (r *renumbering) stack(old int32) int32 {
	return move(old, r.stacks, r.from.StackTable, &r.to.StackTable, func(s *profilespb.Stack) *profilespb.Stack {
		return &profilespb.Stack{LocationIndices: r.each(s.LocationIndices, r.location)}
	})
}

func (r *renumbering) sample(s *profilespb.Sample) *profilespb.Sample {
	return &profilespb.Sample{
		StackIndex:       r.stack(s.StackIndex),
		AttributeIndices: r.each(s.AttributeIndices, r.attribute),
		Values:           s.Values,
	}
}

// profile copies a profile without its samples.
func (r *renumbering) profile(p *profilespb.Profile) *profilespb.Profile {
	return &profilespb.Profile{
		SampleType:       r.valueType(p.SampleType),
		TimeUnixNano:     p.TimeUnixNano,
		DurationNano:     p.DurationNano,
		PeriodType:       r.valueType(p.PeriodType),
		Period:           p.Period,
		AttributeIndices: r.each(p.AttributeIndices, r.attribute),
	}
}

func (r *renumbering) valueType(t *profilespb.ValueType) *profilespb.ValueType {
	return &profilespb.ValueType{TypeStrindex: r.string(t.TypeStrindex), UnitStrindex: r.string(t.UnitStrindex)}
}

func (r *renumbering) each(old []int32, one func(int32) int32) []int32 {
	if len(old) == 0 {
		return nil
	}
	list := make([]int32, len(old))
	for i, o := range old {
		list[i] = one(o)
	}
	return list
}
