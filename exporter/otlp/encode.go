package otlp

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"unsafe"

	"github.com/google/pprof/profile"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"

	"github.com/staccato-profiler/staccato/exporter"
)

// DefaultRequestBytes is the largest request that is sent, before compression:
// a Collector's gRPC receiver takes 4 MiB.
const DefaultRequestBytes = 4_000_000

// scopeName names the software that made the profiles.
const scopeName = "github.com/staccato-profiler/staccato"

// Encoded is a profile as OTLP requests.
type Encoded struct {
	// Requests are complete in themselves: each has its own dictionary. There
	// are none when the profile has no samples.
	Requests []*collectorpb.ExportProfilesServiceRequest
	// TooLarge counts samples that alone would exceed the limit and are left
	// out.
	TooLarge Count
}

// Encode writes a profile as requests of at most limit bytes each (0 means
// [DefaultRequestBytes]), as [google.golang.org/protobuf/proto.Size] measures
// them. Equal inputs give equal requests.
//
// A profile of staccato's own (in.Side is set) becomes one ResourceProfiles per
// process, in the order of their PIDs, and one for samples that have no
// numeric label "pid"; the labels pid, comm and container become attributes of
// the resource. Of the sample types samples/count and cpu/nanoseconds only the
// first is sent: the second is its product with the period.
//
// Any other profile becomes one ResourceProfiles with one OTLP profile per
// sample type, all labels being attributes of the samples.
//
// Values of 0 are not sent; values with equal stack and attributes are added
// up.
func Encode(in exporter.Input, limit int) (Encoded, error) {
	if in.Profile == nil {
		return Encoded{}, fmt.Errorf("encode profile as OTLP: there is no profile")
	}
	if in.Side == nil { // a file that anyone may have written
		if err := in.Profile.CheckValid(); err != nil {
			return Encoded{}, fmt.Errorf("encode profile as OTLP: %w", err)
		}
	}
	e := newEncoder(in)
	types, err := e.sampleTypes()
	if err != nil {
		return Encoded{}, fmt.Errorf("encode profile as OTLP: %w", err)
	}
	for _, s := range in.Profile.Sample {
		e.add(s, types)
	}
	return split(e.request(), cmp.Or(limit, DefaultRequestBytes)), nil
}

// encoder turns one pprof profile into one request of any size.
type encoder struct {
	in         exporter.Input
	dictionary *dictionary
	resources  map[resourceKey]*resource
	merged     map[identity]*profilespb.Sample
	lists      map[string]int32 // numbers of lists of attributes
	same       map[labelMaps]labelled

	// Memory for what the request keeps, see [take].
	samples []profilespb.Sample
	values  []int64
}

// resourceKey tells resources apart: by process, when samples say theirs.
type resourceKey struct {
	pid   int64
	known bool
}

// resource collects the profiles of a process.
type resource struct {
	attributes []*commonpb.KeyValue
	// profiles has one entry per sample type, nil until it has a sample.
	profiles []*profilespb.Profile
}

// identity tells the samples of a profile apart.
type identity struct {
	profile    *profilespb.Profile
	stack      int32
	attributes int32 // number of the list of attributes
}

func newEncoder(in exporter.Input) *encoder {
	return &encoder{
		in:         in,
		dictionary: newDictionary(in.Side, in.Profile),
		resources:  make(map[resourceKey]*resource),
		merged:     make(map[identity]*profilespb.Sample, len(in.Profile.Sample)),
		lists:      make(map[string]int32),
		same:       make(map[labelMaps]labelled),
	}
}

// sampleType is a sample type of the profile and the period that goes with it.
type sampleType struct {
	value, period *profile.ValueType
	every         int64
	sent          bool
}

func (e *encoder) sampleTypes() ([]sampleType, error) {
	p := e.in.Profile
	types := make([]sampleType, len(p.SampleType))
	for i, t := range p.SampleType {
		if t == nil || t.Type == "" {
			return nil, fmt.Errorf("sample type %d has no name", i)
		}
		period, every := periodOf(p, t)
		types[i] = sampleType{t, period, every, e.in.Side == nil || !isProduct(p, t)}
	}
	return types, nil
}

// isProduct says whether t is the period's own type, beside samples/count:
// then its values are the counts multiplied by the period.
func isProduct(p *profile.Profile, t *profile.ValueType) bool {
	if p.PeriodType == nil || p.PeriodType.Type != t.Type || p.PeriodType.Unit != t.Unit || p.Period <= 0 {
		return false
	}
	return slices.ContainsFunc(p.SampleType, func(o *profile.ValueType) bool {
		return o != nil && o.Type == "samples" && o.Unit == "count"
	})
}

// periodOf returns the period type and period of a sample type. Profile stores
// name a profile after its period type and refuse one without or with period
// 0; a profile that has none is its own, with each value standing for itself.
// Time off the CPU is the exception: it has no period, and with another one
// than 0 stores would multiply by it.
func periodOf(p *profile.Profile, t *profile.ValueType) (*profile.ValueType, int64) {
	switch {
	case t.Type == "off_cpu":
		return t, 0
	case p.PeriodType == nil || p.PeriodType.Type == "" || p.Period <= 0:
		return t, 1
	}
	return p.PeriodType, p.Period
}

func (e *encoder) valueType(t *profile.ValueType) *profilespb.ValueType {
	return &profilespb.ValueType{TypeStrindex: e.dictionary.string(t.Type), UnitStrindex: e.dictionary.string(t.Unit)}
}

// add adds a sample to the profiles of those types that have a value in it.
func (e *encoder) add(s *profile.Sample, types []sampleType) {
	var l labelled
	var id identity
	for i, value := range s.Value {
		if value == 0 || !types[i].sent {
			continue
		}
		if l.resource == nil { // only now is anything of the sample needed
			l = e.labelled(s, len(types))
			id.stack, id.attributes = e.dictionary.stack(s.Location), l.number
		}
		r := l.resource
		if r.profiles[i] == nil {
			r.profiles[i] = e.newProfile(types[i])
		}
		id.profile = r.profiles[i]
		if same, ok := e.merged[id]; ok {
			same.Values[0] += value
			continue
		}
		sample := &take(&e.samples, 1)[0]
		sample.StackIndex = id.stack
		sample.AttributeIndices = l.attributes
		sample.Values = take(&e.values, 1)
		sample.Values[0] = value
		e.merged[id] = sample
		id.profile.Samples = append(id.profile.Samples, sample)
	}
}

// labelMaps are the very maps of a sample's labels.
type labelMaps struct{ text, numbers unsafe.Pointer }

// labelled is what the labels of a sample become.
type labelled struct {
	resource   *resource
	attributes []int32
	number     int32 // of the list of attributes
}

// labelled finds what a sample's labels become. All samples of a thread share the
// maps of their labels in profiles of staccato's own, and a thread has thousands.
func (e *encoder) labelled(s *profile.Sample, types int) labelled {
	own := e.in.Side != nil
	maps := labelMaps{reflect.ValueOf(s.Label).UnsafePointer(), reflect.ValueOf(s.NumLabel).UnsafePointer()}
	if l, ok := e.same[maps]; own && ok {
		return l
	}
	d := e.dictionary
	l := labelled{resource: e.resource(s, types), attributes: d.keep(d.sampleAttributes(s, own))}
	l.number = e.list(l.attributes)
	if own {
		e.same[maps] = l
	}
	return l
}

// list returns a number for a list of attributes.
func (e *encoder) list(attributes []int32) int32 {
	d := e.dictionary
	d.key = appendIndices(d.key[:0], attributes)
	n, ok := e.lists[string(d.key)]
	if !ok {
		n = int32(len(e.lists))
		e.lists[string(d.key)] = n
	}
	return n
}

func (e *encoder) newProfile(t sampleType) *profilespb.Profile {
	p := e.in.Profile
	return &profilespb.Profile{
		SampleType:       e.valueType(t.value),
		PeriodType:       e.valueType(t.period),
		Period:           t.every,
		TimeUnixNano:     uint64(max(p.TimeNanos, 0)),
		DurationNano:     uint64(max(p.DurationNanos, 0)),
		AttributeIndices: e.profileAttributes(),
	}
}

// profileAttributes are what pprof says about the profile as a whole.
func (e *encoder) profileAttributes() []int32 {
	p, d := e.in.Profile, e.dictionary
	var list []int32
	if len(p.Comments) > 0 {
		comments := make([]*commonpb.AnyValue, len(p.Comments))
		for i, c := range p.Comments {
			comments[i] = stringValue(c)
		}
		list = append(list, d.arrayAttribute(string(semconv.PprofProfileCommentKey), comments, ""))
	}
	if p.DocURL != "" {
		list = append(list, d.stringAttribute(string(semconv.PprofProfileDocURLKey), p.DocURL))
	}
	if p.DropFrames != "" {
		list = append(list, d.stringAttribute(string(semconv.PprofProfileDropFramesKey), p.DropFrames))
	}
	if p.KeepFrames != "" {
		list = append(list, d.stringAttribute(string(semconv.PprofProfileKeepFramesKey), p.KeepFrames))
	}
	return list
}
