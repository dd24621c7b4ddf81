package otlp

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/otlp/conformance"
)

// encode encodes and checks that all requests follow the rules.
func encode(t testing.TB, in exporter.Input, limit int) Encoded {
	t.Helper()
	encoded, err := Encode(in, limit)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range encoded.Requests {
		for _, err := range conformance.Check(r) {
			t.Errorf("request %d: %v", i, err)
		}
		if _, err := proto.Marshal(r); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	return encoded
}

func TestEncodeConforms(t *testing.T) {
	inputs := map[string]exporter.Input{"own": ownProfile(), "large": largeProfile(500, 30)}
	for name, p := range goProfiles(t) {
		inputs["go "+name] = exporter.Input{Profile: p}
	}
	for name, in := range inputs {
		t.Run(name, func(t *testing.T) {
			encoded := encode(t, in, 0)
			if len(encoded.Requests) == 0 && len(in.Profile.Sample) > 0 {
				t.Fatal("no requests")
			}
			again, err := Encode(in, 0)
			if err != nil {
				t.Fatal(err)
			}
			for i := range encoded.Requests {
				if !proto.Equal(encoded.Requests[i], again.Requests[i]) {
					t.Error("encoding again gives another request")
				}
			}
			if got, want := totals(encoded.Requests...), totalsOf(in); !maps.Equal(got, want) {
				t.Errorf("totals are %v, the profile has %v", got, want)
			}
		})
	}
}

func TestEncodeNothing(t *testing.T) {
	for name, p := range map[string]*profile.Profile{
		"empty":       {},
		"no samples":  {SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}}},
		"only zeroes": {SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}}, Sample: []*profile.Sample{{Value: []int64{0}}}},
	} {
		if got := encode(t, exporter.Input{Profile: p}, 0); len(got.Requests) != 0 || got.TooLarge != (Count{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestEncodeInvalid(t *testing.T) {
	count := []*profile.ValueType{{Type: "samples", Unit: "count"}}
	for name, test := range map[string]struct {
		profile *profile.Profile
		want    string
	}{
		"no profile":        {nil, "no profile"},
		"nameless type":     {&profile.Profile{SampleType: []*profile.ValueType{{}}}, "sample type 0"},
		"values and types":  {&profile.Profile{SampleType: count, Sample: []*profile.Sample{{Value: []int64{1, 2}}}}, "mismatch"},
		"location is null":  {&profile.Profile{SampleType: count, Sample: []*profile.Sample{{Value: []int64{1}, Location: []*profile.Location{nil}}}}, "nil location"},
		"unlisted location": {&profile.Profile{SampleType: count, Sample: []*profile.Sample{{Value: []int64{1}, Location: []*profile.Location{{Line: []profile.Line{{}}}}}}}, ""},
	} {
		_, err := Encode(exporter.Input{Profile: test.profile}, 0)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// TestEncodeOwn spells out what becomes of each part of a profile.
func TestEncodeOwn(t *testing.T) {
	in := ownProfile()
	before := in.Profile.String()
	encoded := encode(t, in, 0)
	if in.Profile.String() != before {
		t.Error("Encode changed the profile")
	}
	if len(encoded.Requests) != 1 {
		t.Fatalf("%d requests", len(encoded.Requests))
	}
	want := `
resource host.name=h service.name=from host
  samples/count period 10000000 cpu/nanoseconds
    10 {} [lost: table full]{}
resource process.pid=7 process.executable.name=sh container.id=c0ffee host.name=h service.name=from host
  samples/count period 10000000 cpu/nanoseconds
    15 {thread.id=8 thread.name=sh} ns::inner(int):4:7<main:12@/usr/bin/app{profile.frame.type=native}
resource process.pid=42 process.executable.path=/usr/bin/app service.name=app process.executable.name=app container.id=c0ffee host.name=h
  samples/count period 10000000 cpu/nanoseconds
    30 {thread.id=43 thread.name=worker} ksys_read@[kernel.kallsyms]{profile.frame.type=kernel} ns::inner(int):4:7<main:12@/usr/bin/app{profile.frame.type=native}
    5 {thread.id=43 thread.name=main} 0x42@/memfd:code (deleted){profile.frame.type=native} ns::inner(int):4:7<main:12@/usr/bin/app{profile.frame.type=native}
mapping /usr/bin/app 0x1000-0x9000+0x1000 {process.executable.build_id.gnu=0a0b0c process.executable.build_id.htlhash=00112233445566778899aabbccddeeff pprof.mapping.has_functions=true pprof.mapping.has_inline_frames=true}
mapping [kernel.kallsyms] 0xffff800000000000-0xffffffffffffffff+0x0 {process.executable.build_id.htlhash=` + pathHash("[kernel.kallsyms]") + ` pprof.mapping.has_functions=true}
mapping /memfd:code (deleted) 0x0-0x0+0x0 {process.executable.build_id.htlhash=` + pathHash("/memfd:code (deleted)") + `}
`
	got := "\n" + describe(encoded.Requests[0])
	if gotLines, wantLines := sortMappings(got), sortMappings(want); gotLines != wantLines {
		t.Errorf("got%s\nwant%s", gotLines, wantLines)
	}
	if got, want := count(encoded.Requests[0]), (Count{Profiles: 3, Records: 4, Samples: 60}); got != want {
		t.Errorf("count is %+v, want %+v", got, want)
	}
}

// sortMappings makes the order of a description's last lines not matter.
func sortMappings(s string) string {
	at := strings.Index(s, "\nmapping ")
	lines := strings.Split(strings.TrimSpace(s[at:]), "\n")
	slices.Sort(lines)
	return s[:at] + "\n" + strings.Join(lines, "\n")
}

func TestEncodeForeignLabels(t *testing.T) {
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "a", Unit: "count"}, {Type: "b", Unit: "bytes"}},
		Sample: []*profile.Sample{{
			Value:    []int64{1, 2},
			Label:    map[string][]string{"one": {"x"}, "two": {"x", "y"}, "both": {"s"}, "": {"no key"}, "\xff": {"\xfe"}, "none": {}},
			NumLabel: map[string][]int64{"size": {8}, "pid": {4}, "both": {1}, "several": {1, 2}},
			NumUnit:  map[string][]string{"size": {"bytes"}, "several": {"seconds", "seconds"}},
		}},
	}
	encoded := encode(t, exporter.Input{Profile: p}, 0)
	const attributes = `{both=[s 1] one=x pid=4 several=[1 2]s size=8By two=[x y] ` + "\uFFFD=\uFFFD" + `}`
	want := `resource
  a/count period 1 a/count
    1 ` + attributes + `
  b/bytes period 1 b/bytes
    2 ` + attributes + `
`
	if got := describe(encoded.Requests[0]); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestPeriods(t *testing.T) {
	type vt = profile.ValueType
	for name, test := range map[string]struct {
		period *vt
		every  int64
		sample vt
		want   string
	}{
		"cpu":               {&vt{Type: "cpu", Unit: "nanoseconds"}, 1e7, vt{Type: "samples", Unit: "count"}, "cpu/nanoseconds 10000000"},
		"heap":              {&vt{Type: "space", Unit: "bytes"}, 524288, vt{Type: "inuse_space", Unit: "bytes"}, "space/bytes 524288"},
		"no period type":    {nil, 0, vt{Type: "goroutine", Unit: "count"}, "goroutine/count 1"},
		"nameless type":     {&vt{}, 5, vt{Type: "goroutine", Unit: "count"}, "goroutine/count 1"},
		"period 0":          {&vt{Type: "x", Unit: "y"}, 0, vt{Type: "goroutine", Unit: "count"}, "goroutine/count 1"},
		"negative period":   {&vt{Type: "x", Unit: "y"}, -1, vt{Type: "goroutine", Unit: "count"}, "goroutine/count 1"},
		"off-CPU":           {nil, 0, vt{Type: "off_cpu", Unit: "nanoseconds"}, "off_cpu/nanoseconds 0"},
		"off-CPU with type": {&vt{Type: "context_switch", Unit: "count"}, 1000, vt{Type: "off_cpu", Unit: "nanoseconds"}, "off_cpu/nanoseconds 0"},
	} {
		p := &profile.Profile{PeriodType: test.period, Period: test.every, SampleType: []*vt{&test.sample}, Sample: []*profile.Sample{{Value: []int64{1}}}}
		r := encode(t, exporter.Input{Profile: p}, 0).Requests[0]
		out := r.ResourceProfiles[0].ScopeProfiles[0].Profiles[0]
		text := r.Dictionary.StringTable
		if got := fmt.Sprintf("%s/%s %d", text[out.PeriodType.TypeStrindex], text[out.PeriodType.UnitStrindex], out.Period); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

// totals adds up the values of each sample type.
func totals(requests ...*collectorpb.ExportProfilesServiceRequest) map[string]int64 {
	sum := map[string]int64{}
	for _, r := range requests {
		for _, rec := range recordsOf(r) {
			sum[r.Dictionary.StringTable[rec.profile.SampleType.TypeStrindex]] += rec.sample.Values[0]
		}
	}
	return sum
}

// totalsOf is totals for a pprof profile, of those types that are sent and
// have any value.
func totalsOf(in exporter.Input) map[string]int64 {
	sum := map[string]int64{}
	for i, t := range in.Profile.SampleType {
		if in.Side != nil && t.Type == "cpu" {
			continue
		}
		for _, s := range in.Profile.Sample {
			if s.Value[i] != 0 {
				sum[t.Type] += s.Value[i]
			}
		}
	}
	return sum
}

// describe writes a request in a few lines, following all references.
func describe(r *collectorpb.ExportProfilesServiceRequest) string {
	d := r.Dictionary
	var b strings.Builder
	attributes := func(indices []int32) string {
		var list []string
		for _, i := range indices {
			a := d.AttributeTable[i]
			list = append(list, d.StringTable[a.KeyStrindex]+"="+valueText(a.Value)+d.StringTable[a.UnitStrindex])
		}
		return "{" + strings.Join(list, " ") + "}"
	}
	valueType := func(t *profilespb.ValueType) string {
		return d.StringTable[t.TypeStrindex] + "/" + d.StringTable[t.UnitStrindex]
	}
	for _, resource := range r.ResourceProfiles {
		b.WriteString("resource")
		for _, a := range resource.Resource.Attributes {
			fmt.Fprintf(&b, " %s=%s", a.Key, valueText(a.Value))
		}
		b.WriteString("\n")
		for _, p := range resource.ScopeProfiles[0].Profiles {
			fmt.Fprintf(&b, "  %s period %d %s\n", valueType(p.SampleType), p.Period, valueType(p.PeriodType))
			for _, s := range p.Samples {
				fmt.Fprintf(&b, "    %d %s", s.Values[0], attributes(s.AttributeIndices))
				for _, l := range d.StackTable[s.StackIndex].LocationIndices {
					b.WriteString(" " + frameText(d, d.LocationTable[l]) + attributes(d.LocationTable[l].AttributeIndices))
				}
				b.WriteString("\n")
			}
		}
	}
	for _, m := range d.MappingTable[1:] {
		fmt.Fprintf(&b, "mapping %s %#x-%#x+%#x %s\n", d.StringTable[m.FilenameStrindex], m.MemoryStart, m.MemoryLimit, m.FileOffset, attributes(m.AttributeIndices))
	}
	return b.String()
}

func frameText(d *profilespb.ProfilesDictionary, l *profilespb.Location) string {
	var lines []string
	for _, line := range l.Lines {
		s := d.StringTable[d.FunctionTable[line.FunctionIndex].NameStrindex]
		if line.Line != 0 {
			s += fmt.Sprint(":", line.Line)
		}
		if line.Column != 0 {
			s += fmt.Sprint(":", line.Column)
		}
		lines = append(lines, s)
	}
	if len(lines) == 0 {
		lines = append(lines, fmt.Sprintf("%#x", l.Address))
	}
	text := strings.Join(lines, "<")
	if l.MappingIndex != 0 {
		text += "@" + d.StringTable[d.MappingTable[l.MappingIndex].FilenameStrindex]
	}
	return text
}

func valueText(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case *commonpb.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *commonpb.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	case *commonpb.AnyValue_ArrayValue:
		var list []string
		for _, e := range v.ArrayValue.Values {
			list = append(list, valueText(e))
		}
		return fmt.Sprint(list)
	}
	return fmt.Sprintf("%v", v)
}
