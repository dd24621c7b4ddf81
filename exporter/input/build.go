package input

import (
	"github.com/google/pprof/profile"
)

// builder makes a profile out of stacks of names.
type builder struct {
	p         *profile.Profile
	mappings  map[string]*profile.Mapping
	functions map[string]*profile.Function
	locations map[frame]*profile.Location
}

// frame is one entry of a stack as text has it.
type frame struct {
	function, file string // of the executable
	address        uint64
}

func newBuilder(types ...*profile.ValueType) *builder {
	return &builder{
		p:         &profile.Profile{SampleType: types},
		mappings:  make(map[string]*profile.Mapping),
		functions: make(map[string]*profile.Function),
		locations: make(map[frame]*profile.Location),
	}
}

func (b *builder) mapping(file string) *profile.Mapping {
	if file == "" {
		return nil
	}
	m := b.mappings[file]
	if m == nil {
		m = &profile.Mapping{ID: uint64(len(b.p.Mapping) + 1), File: file, HasFunctions: true}
		b.mappings[file] = m
		b.p.Mapping = append(b.p.Mapping, m)
	}
	return m
}

func (b *builder) function(name string) *profile.Function {
	f := b.functions[name]
	if f == nil {
		f = &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: name, SystemName: name}
		b.functions[name] = f
		b.p.Function = append(b.p.Function, f)
	}
	return f
}

func (b *builder) location(f frame) *profile.Location {
	l := b.locations[f]
	if l == nil {
		l = &profile.Location{ID: uint64(len(b.p.Location) + 1), Mapping: b.mapping(f.file), Address: f.address}
		if f.function != "" {
			l.Line = []profile.Line{{Function: b.function(f.function)}}
		}
		b.locations[f] = l
		b.p.Location = append(b.p.Location, l)
	}
	return l
}
