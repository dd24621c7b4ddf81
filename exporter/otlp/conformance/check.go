// Package conformance checks OTLP profiles requests against the rules of the
// format, and against what known consumers demand beyond them. It shares no
// code with the encoder.
//
// The rules of the format are in opentelemetry-proto 1.11.0, file
// opentelemetry/proto/profiles/v1development/profiles.proto; those of
// attributes in OpenTelemetry's semantic conventions 1.43.0. Where the format
// only recommends something (no duplicates, nothing unused), Check demands it.
package conformance

import (
	"fmt"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// maxErrors bounds what Check returns: one mistake of an encoder is usually
// made thousands of times.
const maxErrors = 100

// Check returns every rule that the request breaks.
func Check(request *collectorpb.ExportProfilesServiceRequest) []error {
	c := &checker{dictionary: request.GetDictionary()}
	if c.dictionary == nil {
		c.fail("there is no dictionary")
		return c.errors
	}
	if !c.checkFirstEntries() {
		return c.errors
	}
	c.used = newUsage(c.dictionary)
	c.checkProfiles(request.ResourceProfiles)
	c.checkTables()
	c.checkDuplicates()
	c.checkUnused()
	return c.errors
}

type checker struct {
	dictionary *profilespb.ProfilesDictionary
	used       usage
	errors     []error
}

func (c *checker) fail(format string, args ...any) {
	if len(c.errors) < maxErrors {
		c.errors = append(c.errors, fmt.Errorf(format, args...))
	}
}

// checkFirstEntries says whether every table has its entry 0; it must be zero.
func (c *checker) checkFirstEntries() bool {
	d := c.dictionary
	firsts := map[string]proto.Message{
		"mapping_table":   first(d.MappingTable),
		"location_table":  first(d.LocationTable),
		"function_table":  first(d.FunctionTable),
		"link_table":      first(d.LinkTable),
		"attribute_table": first(d.AttributeTable),
		"stack_table":     first(d.StackTable),
	}
	complete := true
	for name, m := range firsts {
		switch {
		case m == nil:
			c.fail("%s is empty", name)
			complete = false
		case proto.Size(m) != 0: // a link with IDs of zero bytes is not zero
			c.fail("%s[0] is not zero: %v", name, m)
		}
	}
	switch {
	case len(d.StringTable) == 0:
		c.fail("string_table is empty")
		complete = false
	case d.StringTable[0] != "":
		c.fail("string_table[0] is %q", d.StringTable[0])
	}
	return complete
}

func first[M proto.Message](table []M) proto.Message {
	if len(table) == 0 {
		return nil
	}
	return table[0]
}

func (c *checker) checkProfiles(resources []*profilespb.ResourceProfiles) {
	if len(resources) == 0 {
		c.fail("there are no resource profiles")
	}
	for i, r := range resources {
		at := fmt.Sprintf("resource_profiles[%d]", i)
		if r.Resource == nil {
			c.fail("%s has no resource", at)
		}
		c.checkInline(at+".resource", r.GetResource().GetAttributes())
		if len(r.ScopeProfiles) == 0 {
			c.fail("%s has no scope profiles", at)
		}
		for _, s := range r.ScopeProfiles {
			if s.GetScope().GetName() == "" {
				c.fail("%s has a scope without a name", at)
			}
			c.checkInline(at+".scope", s.GetScope().GetAttributes())
			if len(s.Profiles) == 0 {
				c.fail("%s has a scope without profiles", at)
			}
			for k, p := range s.Profiles {
				c.checkProfile(fmt.Sprintf("%s.profiles[%d]", at, k), p)
			}
		}
	}
}

// checkInline checks attributes that must be written in full: receivers of
// before 2026 do not follow references from resources and scopes.
func (c *checker) checkInline(at string, attributes []*commonpb.KeyValue) {
	seen := map[string]bool{}
	for _, a := range attributes {
		if a.KeyStrindex != 0 {
			c.fail("%s refers to the string table for a key", at)
		}
		if a.Key == "" {
			c.fail("%s has an attribute without a key", at)
		}
		if seen[a.Key] {
			c.fail("%s has the key %q twice", at, a.Key)
		}
		seen[a.Key] = true
		c.checkValue(at+": "+a.Key, a.Value)
	}
}

func (c *checker) checkValue(at string, value *commonpb.AnyValue) {
	switch v := value.GetValue().(type) {
	case *commonpb.AnyValue_StringValueStrindex:
		c.fail("%s refers to the string table for a value", at)
	case *commonpb.AnyValue_ArrayValue:
		for _, element := range v.ArrayValue.GetValues() {
			c.checkValue(at, element)
		}
	}
}
