package otlp

import (
	"encoding/binary"

	"github.com/google/pprof/profile"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/staccato-profiler/staccato/exporter"
)

// dictionary builds the tables that all profiles of a request share. Each
// method returns the index of its argument, which it adds when it is new, so
// that the tables hold nothing twice and nothing that is not used.
type dictionary struct {
	side *exporter.Side

	strings     []string
	stringIndex map[string]int32
	functions   table[profilespb.Function]
	mappings    table[profilespb.Mapping]
	locations   table[profilespb.Location]
	attributes  table[profilespb.KeyValueAndUnit]
	stacks      stackTable

	// What pprof's messages became, by their IDs. Different messages may have
	// equal content.
	functionOf, mappingOf, locationOf places

	// key is scratch: the key of the entry that is looked up. Each method
	// first asks for all indices it needs and then builds its key.
	key     []byte
	indices []int32
	few     []int32
	labels  []label

	// Memory for lists that entries keep, see [take].
	integers []int32
	lines    []profilespb.Line
	pointers []*profilespb.Line
}

func newDictionary(side *exporter.Side, p *profile.Profile) *dictionary {
	if side == nil {
		side = &exporter.Side{}
	}
	return &dictionary{
		side:        side,
		strings:     []string{""},
		stringIndex: map[string]int32{"": 0},
		functions:   newTable[profilespb.Function](len(p.Function)),
		mappings:    newTable[profilespb.Mapping](len(p.Mapping)),
		locations:   newTable[profilespb.Location](len(p.Location)),
		attributes:  newTable[profilespb.KeyValueAndUnit](0),
		stacks:      newStackTable(len(p.Sample)),
		functionOf:  newPlaces(p.Function, func(f *profile.Function) uint64 { return f.ID }),
		mappingOf:   newPlaces(p.Mapping, func(m *profile.Mapping) uint64 { return m.ID }),
		locationOf:  newPlaces(p.Location, func(l *profile.Location) uint64 { return l.ID }),
	}
}

// message returns the finished tables.
func (d *dictionary) message() *profilespb.ProfilesDictionary {
	return &profilespb.ProfilesDictionary{
		MappingTable:   d.mappings.entries,
		LocationTable:  d.locations.entries,
		FunctionTable:  d.functions.entries,
		LinkTable:      []*profilespb.Link{{}},
		StringTable:    d.strings,
		AttributeTable: d.attributes.entries,
		StackTable:     d.stacks.entries,
	}
}

func (d *dictionary) string(s string) int32 {
	if i, ok := d.stringIndex[s]; ok {
		return i
	}
	clean := validUTF8(s)
	i, ok := d.stringIndex[clean]
	if !ok {
		i = int32(len(d.strings))
		d.strings = append(d.strings, clean)
		d.stringIndex[clean] = i
	}
	d.stringIndex[s] = i
	return i
}

func (d *dictionary) function(f *profile.Function) int32 {
	if f == nil {
		return 0
	}
	if i, ok := d.functionOf.find(f.ID); ok {
		return i
	}
	name, system, file := d.string(f.Name), d.string(f.SystemName), d.string(f.Filename)
	var i int32
	if name != 0 || system != 0 || file != 0 { // a function must have one of them
		start := max(f.StartLine, 0)
		d.key = appendNumbers(d.key[:0], uint64(name), uint64(system), uint64(file), uint64(start))
		var ok bool
		if i, ok = d.functions.find(d.key); !ok {
			var m *profilespb.Function
			i, m = d.functions.add(d.key)
			m.NameStrindex, m.SystemNameStrindex, m.FilenameStrindex, m.StartLine = name, system, file, start
		}
	}
	d.functionOf.set(f.ID, i)
	return i
}

// mapping returns 0 for a mapping that identifies no executable: neither a
// path nor a build ID nor a hash.
func (d *dictionary) mapping(m *profile.Mapping) int32 {
	if m == nil {
		return 0
	}
	if i, ok := d.mappingOf.find(m.ID); ok {
		return i
	}
	var i int32
	if attributes := d.mappingAttributes(m); len(attributes) > 0 {
		file := d.string(m.File)
		start, limit := m.Start, m.Limit
		if start >= limit { // the range is not known
			start, limit = 0, 0
		}
		d.key = appendNumbers(d.key[:0], start, limit, m.Offset, uint64(file))
		d.key = appendIndices(d.key, attributes)
		var ok bool
		if i, ok = d.mappings.find(d.key); !ok {
			var out *profilespb.Mapping
			i, out = d.mappings.add(d.key)
			out.MemoryStart, out.MemoryLimit, out.FileOffset, out.FilenameStrindex = start, limit, m.Offset, file
			out.AttributeIndices = d.keep(attributes)
		}
	}
	d.mappingOf.set(m.ID, i)
	return i
}

func (d *dictionary) location(l *profile.Location) int32 {
	if i, ok := d.locationOf.find(l.ID); ok {
		return i
	}
	mapping := d.mapping(l.Mapping)
	attributes := d.locationAttributes(l)
	for _, line := range l.Line {
		d.function(line.Function)
	}
	d.key = appendNumbers(d.key[:0], uint64(mapping), l.Address, uint64(len(l.Line)))
	for _, line := range l.Line {
		d.key = appendNumbers(d.key, uint64(d.functionIndex(line.Function)), uint64(max(line.Line, 0)), uint64(max(line.Column, 0)))
	}
	d.key = appendIndices(d.key, attributes)
	if mapping == 0 && l.Address == 0 && len(l.Line) == 0 && len(attributes) == 0 {
		d.key = d.key[:0] // nothing is known: entry 0
	}
	i, ok := d.locations.find(d.key)
	if !ok {
		var m *profilespb.Location
		i, m = d.locations.add(d.key)
		m.MappingIndex, m.Address = mapping, l.Address
		m.Lines = d.newLines(l.Line)
		m.AttributeIndices = d.keep(attributes)
	}
	d.locationOf.set(l.ID, i)
	return i
}

// functionIndex is function for one that is known, without touching the key.
func (d *dictionary) functionIndex(f *profile.Function) int32 {
	if f == nil {
		return 0
	}
	i, _ := d.functionOf.find(f.ID)
	return i
}

func (d *dictionary) newLines(lines []profile.Line) []*profilespb.Line {
	if len(lines) == 0 {
		return nil
	}
	pointers := take(&d.pointers, len(lines))
	messages := take(&d.lines, len(lines))
	for i, line := range lines {
		messages[i].FunctionIndex = d.functionIndex(line.Function)
		messages[i].Line, messages[i].Column = max(line.Line, 0), max(line.Column, 0)
		pointers[i] = &messages[i]
	}
	return pointers
}

// stack takes the locations leaf first, as both formats have them.
func (d *dictionary) stack(locations []*profile.Location) int32 {
	d.indices = d.indices[:0]
	for _, l := range locations {
		d.indices = append(d.indices, d.location(l))
	}
	i, ok := d.stacks.find(d.indices)
	if !ok {
		d.stacks.add(d.keep(d.indices))
	}
	return i
}

// keep copies indices out of scratch memory.
func (d *dictionary) keep(indices []int32) []int32 {
	if len(indices) == 0 {
		return nil
	}
	kept := take(&d.integers, len(indices))
	copy(kept, indices)
	return kept
}

func appendNumbers(key []byte, numbers ...uint64) []byte {
	for _, n := range numbers {
		key = binary.AppendUvarint(key, n)
	}
	return key
}

func appendIndices(key []byte, indices []int32) []byte {
	for _, i := range indices {
		key = binary.AppendUvarint(key, uint64(i))
	}
	return key
}
