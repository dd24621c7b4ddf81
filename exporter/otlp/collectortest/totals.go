package collectortest

import (
	"encoding/binary"
	"fmt"

	"github.com/google/pprof/profile"
	profilespb "go.opentelemetry.io/proto/otlp/profiles/v1development"
	"google.golang.org/protobuf/proto"
)

// Totals says what is in profiles, whatever their format.
type Totals struct {
	// Samples is the sum of all values of sample type samples/count.
	Samples int64
	// Functions is that sum over the samples in whose stack a function is, by
	// its name.
	Functions map[string]int64
}

// add adds a sample whose stack has these functions, each perhaps often.
func (t *Totals) add(samples int64, functions []string) {
	t.Samples += samples
	seen := map[string]bool{}
	for _, name := range functions {
		if !seen[name] {
			seen[name] = true
			t.Functions[name] += samples
		}
	}
}

// OfProfile returns the totals of pprof profiles.
func OfProfile(profiles ...*profile.Profile) Totals {
	t := Totals{Functions: map[string]int64{}}
	for _, p := range profiles {
		for i, kind := range p.SampleType {
			if kind.Type != "samples" || kind.Unit != "count" {
				continue
			}
			for _, s := range p.Sample {
				var names []string
				for _, l := range s.Location {
					for _, line := range l.Line {
						names = append(names, line.Function.Name)
					}
				}
				t.add(s.Value[i], names)
			}
		}
	}
	return t
}

// ofFile returns the totals of what the Collector's file exporter wrote:
// messages of type ProfilesData, each after its length in 4 bytes, big-endian.
// The last one may be cut off, since the file is being written.
func ofFile(data []byte) (Totals, error) {
	t := Totals{Functions: map[string]int64{}}
	for len(data) >= 4 {
		size := int(binary.BigEndian.Uint32(data))
		if len(data)-4 < size {
			break
		}
		var message profilespb.ProfilesData
		if err := proto.Unmarshal(data[4:4+size], &message); err != nil {
			return t, fmt.Errorf("decode profiles: %w", err)
		}
		if err := t.addMessage(&message); err != nil {
			return t, err
		}
		data = data[4+size:]
	}
	return t, nil
}

func (t *Totals) addMessage(message *profilespb.ProfilesData) error {
	d := message.GetDictionary()
	for _, resource := range message.ResourceProfiles {
		for _, scope := range resource.ScopeProfiles {
			for _, p := range scope.Profiles {
				if d.StringTable[p.SampleType.TypeStrindex] != "samples" {
					continue
				}
				for _, s := range p.Samples {
					if len(s.Values) != 1 {
						return fmt.Errorf("sample has %d values", len(s.Values))
					}
					t.add(s.Values[0], functionsOf(d, d.StackTable[s.StackIndex]))
				}
			}
		}
	}
	return nil
}

func functionsOf(d *profilespb.ProfilesDictionary, stack *profilespb.Stack) []string {
	var names []string
	for _, l := range stack.LocationIndices {
		for _, line := range d.LocationTable[l].Lines {
			names = append(names, d.StringTable[d.FunctionTable[line.FunctionIndex].NameStrindex])
		}
	}
	return names
}
