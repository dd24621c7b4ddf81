package otlp

import (
	collectorpb "go.opentelemetry.io/proto/otlp/collector/profiles/v1development"
)

// Count says how much of something was sent, or was not.
type Count struct {
	// Profiles are OTLP profiles: one per process and sample type, and one
	// more for each request that it had to be divided over.
	Profiles int64
	// Records are OTLP samples: one per distinct stack, attributes and
	// profile.
	Records int64
	// Samples is the sum of all values of type samples/count: how many
	// samples of the profiler these were. Other sample types add nothing.
	Samples int64
}

func (c *Count) add(d Count) {
	c.Profiles += d.Profiles
	c.Records += d.Records
	c.Samples += d.Samples
}

func (c Count) negative() Count { return Count{-c.Profiles, -c.Records, -c.Samples} }

// count says what a request carries.
func count(request *collectorpb.ExportProfilesServiceRequest) Count {
	var c Count
	text := request.GetDictionary().GetStringTable()
	for _, resource := range request.ResourceProfiles {
		for _, scope := range resource.ScopeProfiles {
			for _, p := range scope.Profiles {
				c.Profiles++
				c.Records += int64(len(p.Samples))
				if text[p.SampleType.TypeStrindex] != "samples" || text[p.SampleType.UnitStrindex] != "count" {
					continue
				}
				for _, s := range p.Samples {
					for _, v := range s.Values {
						c.Samples += v
					}
				}
			}
		}
	}
	return c
}
