package otlp

import (
	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// split divides a request into several of at most limit bytes. Requests share
// nothing: each part gets a dictionary with just what its samples use.
func split(request *collectorpb.ExportProfilesServiceRequest, limit int) Encoded {
	if len(request.ResourceProfiles) == 0 {
		return Encoded{}
	}
	size := proto.Size(request)
	if size <= limit {
		return Encoded{Requests: []*collectorpb.ExportProfilesServiceRequest{request}}
	}
	records := recordsOf(request)
	var out Encoded
	// Parts of equally many samples are rarely of equal size, and each repeats
	// what it shares with others: halving the ones that are still too large
	// ends soon, and is exact.
	parts := min(size/limit+1, len(records))
	for i := range parts {
		from, to := i*len(records)/parts, (i+1)*len(records)/parts
		out.divide(request, records[from:to], limit)
	}
	return out
}

// divide appends requests for the records, all of which are of request.
func (out *Encoded) divide(request *collectorpb.ExportProfilesServiceRequest, records []record, limit int) {
	part := subset(request, records)
	switch {
	case proto.Size(part) <= limit:
		out.Requests = append(out.Requests, part)
	case len(records) == 1:
		out.TooLarge.add(count(part))
	default:
		half := len(records) / 2
		out.divide(request, records[:half], limit)
		out.divide(request, records[half:], limit)
	}
}

// record is a sample and where it is.
type record struct {
	resource *profilespb.ResourceProfiles
	scope    *profilespb.ScopeProfiles
	profile  *profilespb.Profile
	sample   *profilespb.Sample
}

func recordsOf(request *collectorpb.ExportProfilesServiceRequest) []record {
	var records []record
	for _, resource := range request.ResourceProfiles {
		for _, scope := range resource.ScopeProfiles {
			for _, p := range scope.Profiles {
				for _, s := range p.Samples {
					records = append(records, record{resource, scope, p, s})
				}
			}
		}
	}
	return records
}

// subset returns a request of some of another's records, which must be in
// order. It shares what needs no change with the other.
func subset(request *collectorpb.ExportProfilesServiceRequest, records []record) *collectorpb.ExportProfilesServiceRequest {
	r := newRenumbering(request.Dictionary)
	part := &collectorpb.ExportProfilesServiceRequest{}
	var last record
	var resource *profilespb.ResourceProfiles
	var scope *profilespb.ScopeProfiles
	var p *profilespb.Profile
	for _, from := range records {
		if from.resource != last.resource {
			resource = &profilespb.ResourceProfiles{Resource: from.resource.Resource, SchemaUrl: from.resource.SchemaUrl}
			part.ResourceProfiles = append(part.ResourceProfiles, resource)
		}
		if from.scope != last.scope {
			scope = &profilespb.ScopeProfiles{Scope: from.scope.Scope, SchemaUrl: from.scope.SchemaUrl}
			resource.ScopeProfiles = append(resource.ScopeProfiles, scope)
		}
		if from.profile != last.profile {
			p = r.profile(from.profile)
			scope.Profiles = append(scope.Profiles, p)
		}
		p.Samples = append(p.Samples, r.sample(from.sample))
		last = from
	}
	part.Dictionary = r.to
	return part
}
