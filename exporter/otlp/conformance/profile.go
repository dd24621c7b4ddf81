package conformance

import (
	"fmt"

	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
)

func (c *checker) checkProfile(at string, p *profilespb.Profile) {
	if len(p.Samples) == 0 {
		c.fail("%s has no samples", at)
	}
	if n := len(p.ProfileId); n != 0 && n != 16 {
		c.fail("%s has a profile_id of %d bytes", at, n)
	}
	if (p.OriginalPayloadFormat == "") != (len(p.OriginalPayload) == 0) {
		c.fail("%s has one of original_payload and its format", at)
	}
	c.checkPeriod(at, p)
	c.attributes(at, p.AttributeIndices)
	c.checkSamples(at, p)
}

// checkPeriod checks what profile stores demand: they name a profile after
// its period type and multiply counts by the period.
func (c *checker) checkPeriod(at string, p *profilespb.Profile) {
	kind, unit := c.valueType(at+".sample_type", p.SampleType)
	periodKind, periodUnit := c.valueType(at+".period_type", p.PeriodType)
	if kind == "off_cpu" {
		if periodKind != kind || periodUnit != unit || p.Period != 0 {
			c.fail("%s is off-CPU time and must have its own type as period type, and period 0", at)
		}
		return
	}
	if p.Period <= 0 {
		c.fail("%s has period %d", at, p.Period)
	}
	if kind == "samples" && periodKind == "cpu" && periodUnit != "nanoseconds" {
		c.fail("%s has period type cpu/%s", at, periodUnit)
	}
}

func (c *checker) valueType(at string, t *profilespb.ValueType) (kind, unit string) {
	if t == nil {
		c.fail("%s is missing", at)
		return "", ""
	}
	kind, unit = c.text(at, t.TypeStrindex), c.text(at, t.UnitStrindex)
	if kind == "" {
		c.fail("%s has no name", at)
	}
	return kind, unit
}

// shape is what of a sample is set: all samples of a profile must have the
// same.
type shape struct{ values, timestamps bool }

func (c *checker) checkSamples(at string, p *profilespb.Profile) {
	var shapeOfFirst shape
	seen := map[string]bool{}
	for i, s := range p.Samples {
		at := fmt.Sprintf("%s.samples[%d]", at, i)
		this := shape{len(s.Values) > 0, len(s.TimestampsUnixNano) > 0}
		if i == 0 {
			shapeOfFirst = this
		}
		switch {
		case this == shape{}:
			c.fail("%s has neither values nor timestamps", at)
		case this != shapeOfFirst:
			c.fail("%s has another shape than the first sample", at)
		case this.values && this.timestamps && len(s.Values) != len(s.TimestampsUnixNano):
			c.fail("%s has %d values and %d timestamps", at, len(s.Values), len(s.TimestampsUnixNano))
		case this.values && !this.timestamps && len(s.Values) != 1:
			c.fail("%s has %d values without timestamps", at, len(s.Values))
		}
		for _, t := range s.TimestampsUnixNano {
			if t < p.TimeUnixNano || t >= p.TimeUnixNano+p.DurationNano {
				c.fail("%s has a timestamp outside of the profile", at)
			}
		}
		c.inRange(at+".stack_index", s.StackIndex, c.used.stacks)
		c.inRange(at+".link_index", s.LinkIndex, c.used.links)
		c.attributes(at, s.AttributeIndices)
		identity := fmt.Sprint(s.StackIndex, s.LinkIndex, sorted(s.AttributeIndices))
		if seen[identity] {
			c.fail("%s has the identity of an earlier sample", at)
		}
		seen[identity] = true
	}
}
