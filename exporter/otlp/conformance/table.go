package conformance

import (
	"fmt"
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// usage says which entries of the tables something refers to.
type usage struct {
	mappings, locations, functions, links, strings, attributes, stacks []bool
}

func newUsage(d *profilespb.ProfilesDictionary) usage {
	return usage{
		mappings:   make([]bool, len(d.MappingTable)),
		locations:  make([]bool, len(d.LocationTable)),
		functions:  make([]bool, len(d.FunctionTable)),
		links:      make([]bool, len(d.LinkTable)),
		strings:    make([]bool, len(d.StringTable)),
		attributes: make([]bool, len(d.AttributeTable)),
		stacks:     make([]bool, len(d.StackTable)),
	}
}

// inRange says whether index is an entry, which is used from now on.
func (c *checker) inRange(at string, index int32, table []bool) bool {
	if index < 0 || int(index) >= len(table) {
		c.fail("%s is %d of a table of %d", at, index, len(table))
		return false
	}
	table[index] = true
	return true
}

func (c *checker) text(at string, index int32) string {
	if !c.inRange(at, index, c.used.strings) {
		return ""
	}
	return c.dictionary.StringTable[index]
}

// attributes checks a list of attributes and returns them by key.
func (c *checker) attributes(at string, indices []int32) map[string]*commonpb.AnyValue {
	list := map[string]*commonpb.AnyValue{}
	for _, i := range indices {
		if i == 0 {
			c.fail("%s refers to attribute 0, which is none", at)
			continue
		}
		if !c.inRange(at+".attribute_indices", i, c.used.attributes) {
			continue
		}
		a := c.dictionary.AttributeTable[i]
		key := c.text(at+": key", a.KeyStrindex)
		if _, ok := list[key]; ok {
			c.fail("%s has the key %q twice", at, key)
		}
		list[key] = a.Value
	}
	return list
}

func (c *checker) checkTables() {
	d := c.dictionary
	for i, a := range d.AttributeTable[1:] {
		at := fmt.Sprintf("attribute_table[%d]", i+1)
		if c.text(at, a.KeyStrindex) == "" {
			c.fail("%s has no key", at)
		}
		if a.Value == nil {
			c.fail("%s has no value", at)
		}
		c.checkValue(at, a.Value)
		c.text(at+".unit", a.UnitStrindex)
	}
	for i, f := range d.FunctionTable[1:] {
		at := fmt.Sprintf("function_table[%d]", i+1)
		if c.text(at, f.NameStrindex)+c.text(at, f.SystemNameStrindex)+c.text(at, f.FilenameStrindex) == "" {
			c.fail("%s has no name, system name or file", at)
		}
		if f.StartLine < 0 {
			c.fail("%s starts at line %d", at, f.StartLine)
		}
	}
	for i, m := range d.MappingTable[1:] {
		c.checkMapping(fmt.Sprintf("mapping_table[%d]", i+1), m)
	}
	for i, l := range d.LocationTable[1:] {
		c.checkLocation(fmt.Sprintf("location_table[%d]", i+1), l)
	}
	for i, s := range d.StackTable[1:] {
		for _, l := range s.LocationIndices {
			c.inRange(fmt.Sprintf("stack_table[%d]", i+1), l, c.used.locations)
		}
	}
	for i, l := range d.LinkTable[1:] {
		if len(l.TraceId) != 16 || len(l.SpanId) != 8 {
			c.fail("link_table[%d] has IDs of %d and %d bytes", i+1, len(l.TraceId), len(l.SpanId))
		}
	}
}

func (c *checker) checkMapping(at string, m *profilespb.Mapping) {
	if m.MemoryStart >= m.MemoryLimit && (m.MemoryStart != 0 || m.MemoryLimit != 0) {
		c.fail("%s is [%#x, %#x)", at, m.MemoryStart, m.MemoryLimit)
	}
	c.text(at+".filename", m.FilenameStrindex)
	buildID := ""
	for key, value := range c.attributes(at, m.AttributeIndices) {
		if strings.HasPrefix(key, "process.executable.build_id.") {
			buildID += value.GetStringValue()
		}
	}
	if buildID == "" {
		c.fail("%s has no build ID", at)
	}
}

// frameTypes are the values that profile.frame.type may have.
var frameTypes = strings.Fields("kernel native go rust cpython jvm v8js ruby php perl dotnet beam luajit")

func (c *checker) checkLocation(at string, l *profilespb.Location) {
	c.inRange(at+".mapping_index", l.MappingIndex, c.used.mappings)
	for _, line := range l.Lines {
		c.inRange(at+".function_index", line.FunctionIndex, c.used.functions)
		if line.Line < 0 || line.Column < 0 {
			c.fail("%s has line %d column %d", at, line.Line, line.Column)
		}
	}
	if kind, ok := c.attributes(at, l.AttributeIndices)["profile.frame.type"]; ok && !slices.Contains(frameTypes, kind.GetStringValue()) {
		c.fail("%s has frame type %v", at, kind)
	}
}

func (c *checker) checkDuplicates() {
	d := c.dictionary
	seen := map[string]bool{}
	for i, s := range d.StringTable {
		if seen[s] {
			c.fail("string_table[%d] is a duplicate: %q", i, s)
		}
		seen[s] = true
	}
	duplicates(c, "mapping_table", d.MappingTable)
	duplicates(c, "location_table", d.LocationTable)
	duplicates(c, "function_table", d.FunctionTable)
	duplicates(c, "link_table", d.LinkTable)
	duplicates(c, "attribute_table", d.AttributeTable)
	duplicates(c, "stack_table", d.StackTable)
}

func duplicates[M proto.Message](c *checker, name string, table []M) {
	seen := map[string]bool{}
	for i, m := range table {
		content, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			c.fail("%s[%d]: %w", name, i, err)
		}
		if seen[string(content)] {
			c.fail("%s[%d] is a duplicate: %v", name, i, m)
		}
		seen[string(content)] = true
	}
}

func (c *checker) checkUnused() {
	for name, table := range map[string][]bool{
		"mapping_table": c.used.mappings, "location_table": c.used.locations, "function_table": c.used.functions,
		"link_table": c.used.links, "string_table": c.used.strings, "attribute_table": c.used.attributes,
		"stack_table": c.used.stacks,
	} {
		for i := 1; i < len(table); i++ {
			if !table[i] {
				c.fail("%s[%d] is not used", name, i)
			}
		}
	}
}

func sorted(list []int32) []int32 {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}
