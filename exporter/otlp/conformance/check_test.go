package conformance_test

import (
	"strings"
	"testing"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/staccato-profiler/staccato/exporter/otlp/conformance"
)

func text(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

// good is a request of one sample that breaks no rule.
func good() *collectorpb.ExportProfilesServiceRequest {
	return &collectorpb.ExportProfilesServiceRequest{
		Dictionary: &profilespb.ProfilesDictionary{
			StringTable:    []string{"", "samples", "count", "cpu", "nanoseconds", "main", "/bin/true", "process.executable.build_id.gnu", "thread.name"},
			MappingTable:   []*profilespb.Mapping{{}, {MemoryStart: 1, MemoryLimit: 2, FilenameStrindex: 6, AttributeIndices: []int32{1}}},
			FunctionTable:  []*profilespb.Function{{}, {NameStrindex: 5}},
			LocationTable:  []*profilespb.Location{{}, {MappingIndex: 1, Address: 1, Lines: []*profilespb.Line{{FunctionIndex: 1, Line: 3}}}},
			StackTable:     []*profilespb.Stack{{}, {LocationIndices: []int32{1}}},
			LinkTable:      []*profilespb.Link{{}},
			AttributeTable: []*profilespb.KeyValueAndUnit{{}, {KeyStrindex: 7, Value: text("ab")}, {KeyStrindex: 8, Value: text("worker")}},
		},
		ResourceProfiles: []*profilespb.ResourceProfiles{{
			Resource: &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "host.name", Value: text("h")}}},
			ScopeProfiles: []*profilespb.ScopeProfiles{{
				Scope: &commonpb.InstrumentationScope{Name: "test"},
				Profiles: []*profilespb.Profile{{
					SampleType: &profilespb.ValueType{TypeStrindex: 1, UnitStrindex: 2},
					PeriodType: &profilespb.ValueType{TypeStrindex: 3, UnitStrindex: 4},
					Period:     10, TimeUnixNano: 100, DurationNano: 100,
					Samples: []*profilespb.Sample{{StackIndex: 1, AttributeIndices: []int32{2}, Values: []int64{1}}},
				}},
			}},
		}},
	}
}

func TestCheck(t *testing.T) {
	if errs := conformance.Check(good()); len(errs) > 0 {
		t.Fatalf("a good request: %v", errs)
	}
	type request = collectorpb.ExportProfilesServiceRequest
	profileOf := func(r *request) *profilespb.Profile { return r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0] }
	for name, test := range map[string]struct {
		spoil func(*request)
		want  string
	}{
		"no dictionary":      {func(r *request) { r.Dictionary = nil }, "no dictionary"},
		"no zero link":       {func(r *request) { r.Dictionary.LinkTable = nil }, "link_table is empty"},
		"zero link of bytes": {func(r *request) { r.Dictionary.LinkTable[0].TraceId = make([]byte, 16) }, "link_table[0] is not zero"},
		"first mapping":      {func(r *request) { r.Dictionary.MappingTable[0].FileOffset = 1 }, "mapping_table[0] is not zero"},
		"first string":       {func(r *request) { r.Dictionary.StringTable[0] = "x" }, `string_table[0] is "x"`},
		"stack out of range": {func(r *request) { profileOf(r).Samples[0].StackIndex = 2 }, "stack_index is 2"},
		"negative location":  {func(r *request) { r.Dictionary.StackTable[1].LocationIndices[0] = -1 }, "is -1 of a table"},
		"duplicate string":   {func(r *request) { r.Dictionary.StringTable[5] = "cpu" }, "duplicate"},
		"unused function":    {func(r *request) { r.Dictionary.LocationTable[1].Lines = nil }, "function_table[1] is not used"},
		"nameless function":  {func(r *request) { r.Dictionary.FunctionTable[1].NameStrindex = 0 }, "has no name"},
		"no build ID":        {func(r *request) { r.Dictionary.StringTable[7] = "other" }, "has no build ID"},
		"mapping range":      {func(r *request) { r.Dictionary.MappingTable[1].MemoryLimit = 1 }, "[0x1, 0x1)"},
		"key twice":          {func(r *request) { profileOf(r).Samples[0].AttributeIndices = []int32{2, 2} }, "twice"},
		"reference in key":   {func(r *request) { r.ResourceProfiles[0].Resource.Attributes[0].KeyStrindex = 1 }, "string table for a key"},
		"reference in value": {func(r *request) {
			r.ResourceProfiles[0].Resource.Attributes[0].Value = &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValueStrindex{StringValueStrindex: 1}}
		}, "string table for a value"},
		"period 0":            {func(r *request) { profileOf(r).Period = 0 }, "period 0"},
		"no period type":      {func(r *request) { profileOf(r).PeriodType = nil }, "period_type is missing"},
		"off-CPU with period": {func(r *request) { r.Dictionary.StringTable[1] = "off_cpu" }, "off-CPU"},
		"two values":          {func(r *request) { profileOf(r).Samples[0].Values = []int64{1, 2} }, "2 values without timestamps"},
		"two shapes": {func(r *request) {
			p := profileOf(r)
			p.Samples = append(p.Samples, &profilespb.Sample{StackIndex: 1, TimestampsUnixNano: []uint64{100}})
		}, "another shape"},
		"timestamp outside": {func(r *request) { profileOf(r).Samples[0].TimestampsUnixNano = []uint64{200} }, "outside"},
		"same identity": {func(r *request) {
			p := profileOf(r)
			p.Samples = append(p.Samples, &profilespb.Sample{StackIndex: 1, AttributeIndices: []int32{2}, Values: []int64{1}})
		}, "identity of an earlier"},
		"negative line":    {func(r *request) { r.Dictionary.LocationTable[1].Lines[0].Line = -1 }, "line -1"},
		"no profiles":      {func(r *request) { r.ResourceProfiles[0].ScopeProfiles[0].Profiles = nil }, "without profiles"},
		"half a payload":   {func(r *request) { profileOf(r).OriginalPayloadFormat = "pprof" }, "original_payload"},
		"short profile ID": {func(r *request) { profileOf(r).ProfileId = []byte{1} }, "profile_id of 1"},
		"unknown frame type": {func(r *request) {
			r.Dictionary.StringTable[8] = "profile.frame.type"
			r.Dictionary.LocationTable[1].AttributeIndices = []int32{2}
		}, "has frame type"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good()
			test.spoil(r)
			for _, err := range conformance.Check(r) {
				if strings.Contains(err.Error(), test.want) {
					return
				}
			}
			t.Errorf("got %v, want an error with %q", conformance.Check(r), test.want)
		})
	}
}
