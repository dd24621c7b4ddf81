package otlp

import (
	"maps"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/staccato-profiler/staccato/exporter"
)

func TestSplit(t *testing.T) {
	in := largeProfile(8000, 40)
	for _, limit := range []int{200_000, 1_000_000} {
		encoded := encode(t, in, limit)
		whole, err := Encode(in, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		size := proto.Size(whole.Requests[0])
		if size > limit && len(encoded.Requests) < 2 {
			t.Errorf("%d bytes were not divided by %d", size, limit)
		}
		for i, r := range encoded.Requests {
			if n := proto.Size(r); n > limit {
				t.Errorf("request %d has %d bytes of %d", i, n, limit)
			}
		}
		if got, want := totals(encoded.Requests...), totalsOf(in); !maps.Equal(got, want) {
			t.Errorf("limit %d: totals are %v, want %v", limit, got, want)
		}
		t.Logf("%d bytes in %d requests of at most %d", size, len(encoded.Requests), limit)
	}
}

// TestSplitKeepsContent compares every sample, with all it refers to, before
// and after.
func TestSplitKeepsContent(t *testing.T) {
	inputs := map[string]exporter.Input{"own": ownProfile(), "large": largeProfile(50, 10)}
	for name, p := range goProfiles(t) {
		inputs["go "+name] = exporter.Input{Profile: p}
	}
	for name, in := range inputs {
		whole, err := Encode(in, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		if len(whole.Requests) == 0 {
			continue
		}
		want := map[string]bool{}
		limit := 0 // so that each sample fits
		for _, r := range recordsOf(whole.Requests[0]) {
			alone := subset(whole.Requests[0], []record{r})
			want[describe(alone)] = true
			limit = max(limit, proto.Size(alone))
		}
		parts := encode(t, in, limit)
		if len(parts.Requests) < 2 || parts.TooLarge.Records > 0 {
			t.Errorf("%s: %d parts, %d records too large", name, len(parts.Requests), parts.TooLarge.Records)
		}
		got := map[string]bool{}
		for _, part := range parts.Requests {
			for _, r := range recordsOf(part) {
				got[describe(subset(part, []record{r}))] = true
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("%s: %d different samples after the split, %d before", name, len(got), len(want))
		}
	}
}

func TestSplitTooLarge(t *testing.T) {
	in := ownProfile()
	encoded := encode(t, in, 10)
	if want := (Count{Profiles: 4, Records: 4, Samples: 60}); len(encoded.Requests) != 0 || encoded.TooLarge != want {
		t.Errorf("%d requests and %+v too large, want none and %+v", len(encoded.Requests), encoded.TooLarge, want)
	}
	// One long stack among small ones: just that one is lost.
	large := largeProfile(2000, 3)
	large.Profile.Sample[700].Location = large.Profile.Location
	encoded = encode(t, large, 50_000)
	if want := (Count{Profiles: 1, Records: 1, Samples: 1}); encoded.TooLarge != want {
		t.Errorf("%+v too large, want %+v", encoded.TooLarge, want)
	}
	if got := totals(encoded.Requests...)["samples"]; got != 1999 {
		t.Errorf("%d samples sent", got)
	}
}
