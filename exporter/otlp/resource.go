package otlp

import (
	"cmp"
	"slices"

	"github.com/google/pprof/profile"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/staccato-profiler/staccato"
)

// resource returns the resource that a sample belongs to.
func (e *encoder) resource(s *profile.Sample, types int) *resource {
	var key resourceKey
	if e.in.Side != nil {
		if pids := s.NumLabel[staccato.LabelPID]; len(pids) > 0 {
			key = resourceKey{pids[0], true}
		}
	}
	r, ok := e.resources[key]
	if !ok {
		r = &resource{attributes: e.resourceAttributes(key, s), profiles: make([]*profilespb.Profile, types)}
		e.resources[key] = r
	}
	return r
}

// resourceAttributes returns what is known about a process and the host. What
// the side table does not say about the process comes from the labels of its
// first sample.
func (e *encoder) resourceAttributes(key resourceKey, s *profile.Sample) []*commonpb.KeyValue {
	side := e.in.Side
	if side == nil {
		return nil
	}
	var list []*commonpb.KeyValue
	if key.known {
		list = appendAttributes(list, side.Processes[key.pid])
		list = appendAttribute(list, semconv.ProcessPIDKey.Int64(key.pid))
		if comm := s.Label[staccato.LabelComm]; len(comm) > 0 {
			list = appendAttribute(list, semconv.ProcessExecutableName(comm[0]))
		}
		if container := s.Label[staccato.LabelContainer]; len(container) > 0 {
			list = appendAttribute(list, semconv.ContainerID(container[0]))
		}
	}
	return appendAttributes(list, side.Host)
}

// request returns everything that was added as one request, without resources
// when nothing was.
func (e *encoder) request() *collectorpb.ExportProfilesServiceRequest {
	keys := make([]resourceKey, 0, len(e.resources))
	for key := range e.resources {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b resourceKey) int {
		return cmp.Or(compareBool(a.known, b.known), cmp.Compare(a.pid, b.pid))
	})
	request := &collectorpb.ExportProfilesServiceRequest{Dictionary: e.dictionary.message()}
	for _, key := range keys {
		r := e.resources[key]
		request.ResourceProfiles = append(request.ResourceProfiles, &profilespb.ResourceProfiles{
			Resource:  &resourcepb.Resource{Attributes: r.attributes},
			SchemaUrl: semconv.SchemaURL,
			ScopeProfiles: []*profilespb.ScopeProfiles{{
				Scope:     e.scope(),
				SchemaUrl: semconv.SchemaURL,
				Profiles:  slices.DeleteFunc(r.profiles, func(p *profilespb.Profile) bool { return p == nil }),
			}},
		})
	}
	return request
}

func (e *encoder) scope() *commonpb.InstrumentationScope {
	scope := &commonpb.InstrumentationScope{Name: scopeName}
	if name := e.in.Profile.DefaultSampleType; name != "" && e.in.Side == nil {
		scope.Attributes = appendAttribute(nil, semconv.PprofScopeDefaultSampleType(name))
	}
	return scope
}
