// Package report computes what is said about a profile: functions with their
// own and their total values, callers and callees, the call tree, source lines,
// and what changed between two profiles. It prints nothing.
//
// Filters and figures are those of go tool pprof: where both say something
// about a function, they say the same number.
package report

import (
	"fmt"

	"github.com/google/pprof/profile"
)

// Report is a profile that has been filtered, looked at by one of its values.
type Report struct {
	// Profile is what the filters left.
	Profile *profile.Profile
	// Value is which of the samples' values counts.
	Value Value
	// All is the sum of all values, before any filter, without their signs: what
	// shares refer to. For the difference of two profiles that pprof made, it is
	// the sum of the first.
	All int64
	// Unmatched are the filters that no frame or label matched.
	Unmatched []string
}

// Value is one of the values that each sample has.
type Value struct {
	Index      int
	Type, Unit string
}

// New makes a report, and changes p: filters apply to it. The value is chosen by
// name or number as with pprof's -sample_index; empty is the profile's default.
func New(p *profile.Profile, value string, filters *Filters) (*Report, error) {
	v, err := chooseValue(p, value)
	if err != nil {
		return nil, err
	}
	// Frames that the program that made the profile does not want to be seen.
	if err := p.RemoveUninteresting(); err != nil {
		return nil, fmt.Errorf("drop frames as the profile asks for: %w", err)
	}
	r := &Report{Profile: p, Value: v, All: sumAll(p, v.Index)}
	if filters != nil {
		r.Unmatched = filters.apply(p)
	}
	return r, nil
}

func chooseValue(p *profile.Profile, name string) (Value, error) {
	if len(p.SampleType) == 0 {
		return Value{}, fmt.Errorf("the profile has no sample types")
	}
	index, err := p.SampleIndexByName(name)
	if err != nil {
		return Value{}, &ValueError{Name: name, Types: p.SampleType}
	}
	return Value{Index: index, Type: p.SampleType[index].Type, Unit: p.SampleType[index].Unit}, nil
}

// ValueError says that a profile has no value of this name.
type ValueError struct {
	Name  string
	Types []*profile.ValueType
}

func (e *ValueError) Error() string {
	text := fmt.Sprintf("the profile has no value %q: there are", e.Name)
	for i, t := range e.Types {
		if i > 0 {
			text += ","
		}
		text += " " + t.Type
	}
	return text
}

// sumAll is what pprof calls the total.
func sumAll(p *profile.Profile, index int) int64 {
	var all, base int64
	for _, s := range p.Sample {
		v := abs(s.Value[index])
		all += v
		if s.DiffBaseSample() {
			base += v
		}
	}
	if base > 0 {
		return base
	}
	return all
}

// Sum is the sum of what the filters left, with signs.
func (r *Report) Sum() int64 {
	var sum int64
	for _, s := range r.Profile.Sample {
		sum += s.Value[r.Value.Index]
	}
	return sum
}

// KeepValue takes all values but the report's from its profile, for formats
// that hold only one.
func (r *Report) KeepValue() {
	i := r.Value.Index
	p := r.Profile
	p.SampleType = p.SampleType[i : i+1]
	for _, s := range p.Sample {
		s.Value = s.Value[i : i+1]
	}
	p.DefaultSampleType = ""
	r.Value.Index = 0
}

func abs(v int64) int64 {
	if v < 0 {
		return -v
	}
	return v
}
