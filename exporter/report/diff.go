package report

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/google/pprof/profile"
)

// Scale says how two profiles are made comparable.
type Scale string

const (
	// ByDuration counts per second: values after are multiplied by the ratio of
	// the durations. Shares are of the sum before.
	ByDuration Scale = "duration"
	// ByTotal compares shares of the profile's own sum.
	ByTotal Scale = "total"
	// NotScaled compares values as they are. Shares are of the sum before.
	NotScaled Scale = "none"
)

// Diff is what changed between two profiles.
type Diff struct {
	Before, After *Report
	Scale         Scale
	// Factor is what values after were multiplied by.
	Factor float64
	// AllBefore and AllAfter are the sums of all values before any filter, after
	// it was scaled. Shares refer to AllBefore.
	AllBefore, AllAfter float64
	// Noise says that the noise of changes is known.
	Noise bool
	// Functions are those in either profile, the largest change first.
	Functions []Change
}

// Change is how a function's values changed, in the unit of the profile before.
type Change struct {
	// Function has the name and the executable, of the profile after where it is
	// in that.
	Function
	SelfBefore, SelfAfter, TotalBefore, TotalAfter Amount
}

// Amount is a value with the variance that chance gives it.
type Amount struct {
	Value, Variance float64
}

// New says that the function is only in the profile after.
func (c Change) New() bool { return c.TotalBefore.Value == 0 && c.SelfBefore.Value == 0 }

// Gone says that the function is only in the profile before.
func (c Change) Gone() bool { return c.TotalAfter.Value == 0 && c.SelfAfter.Value == 0 }

// Self is the change of the own value.
func (c Change) Self() float64 { return c.SelfAfter.Value - c.SelfBefore.Value }

// Total is the change of the total.
func (c Change) Total() float64 { return c.TotalAfter.Value - c.TotalBefore.Value }

// Significant says that the own value or the total changed by at least twice the
// standard deviation that chance gives to the difference, or that noise is not
// known.
func (d *Diff) Significant(c Change) bool {
	return d.beyondNoise(c.SelfBefore, c.SelfAfter) || d.beyondNoise(c.TotalBefore, c.TotalAfter)
}

func (d *Diff) beyondNoise(before, after Amount) bool {
	change := math.Abs(after.Value - before.Value)
	return change > 0 && (!d.Noise || change >= 2*d.Sigma(before, after))
}

// Sigma is the standard deviation of a difference by chance, 0 when that is not
// known.
func (d *Diff) Sigma(before, after Amount) float64 {
	return math.Sqrt(before.Variance + after.Variance)
}

// ErrNoDuration says that a profile cannot be scaled by duration.
var ErrNoDuration = errors.New("a profile does not say how long it took")

// Compare compares two reports on the same kind of value. An empty scale is
// ByDuration where both profiles say how long they took, else ByTotal.
func Compare(before, after *Report, scale Scale) (*Diff, error) {
	unitFactor, err := sameKind(before.Value, after.Value)
	if err != nil {
		return nil, err
	}
	d := &Diff{Before: before, After: after, Scale: scale, Factor: unitFactor}
	durations := before.Profile.DurationNanos > 0 && after.Profile.DurationNanos > 0
	if d.Scale == "" {
		d.Scale = ByTotal
		if durations {
			d.Scale = ByDuration
		}
	}
	switch d.Scale {
	case ByDuration:
		if !durations {
			return nil, ErrNoDuration
		}
		d.Factor *= float64(before.Profile.DurationNanos) / float64(after.Profile.DurationNanos)
	case ByTotal:
		if before.All == 0 || after.All == 0 {
			return nil, errors.New("a profile without samples cannot be scaled by its total")
		}
		d.Factor = float64(before.All) / float64(after.All)
	case NotScaled:
	default:
		return nil, fmt.Errorf("no scale %q", scale)
	}
	d.AllBefore, d.AllAfter = float64(before.All), float64(after.All)*d.Factor

	x, y := newTally(before), newTally(after)
	d.Noise = x.weigh != nil && y.weigh != nil
	own, other := x.functions(1, d.Scale), y.functions(d.Factor, d.Scale)
	for key, a := range own {
		c := Change{Function: a.Function, SelfBefore: a.self, TotalBefore: a.total}
		if b, ok := other[key]; ok {
			c.Function, c.SelfAfter, c.TotalAfter = b.Function, b.self, b.total
			delete(other, key)
		}
		d.Functions = append(d.Functions, c)
	}
	for _, b := range other {
		d.Functions = append(d.Functions, Change{Function: b.Function, SelfAfter: b.self, TotalAfter: b.total})
	}
	slices.SortFunc(d.Functions, func(a, b Change) int {
		return cmp.Or(-cmp.Compare(math.Abs(a.Self()), math.Abs(b.Self())),
			-cmp.Compare(math.Abs(a.Total()), math.Abs(b.Total())), compareNames(a.Function, b.Function))
	})
	return d, nil
}

// SortByTotalChange sorts changes by that of the total, the largest first.
func SortByTotalChange(rows []Change) {
	slices.SortFunc(rows, func(a, b Change) int {
		return cmp.Or(-cmp.Compare(math.Abs(a.Total()), math.Abs(b.Total())),
			-cmp.Compare(math.Abs(a.Self()), math.Abs(b.Self())), compareNames(a.Function, b.Function))
	})
}

// sameKind returns what converts values after into the unit before.
func sameKind(before, after Value) (float64, error) {
	if before.Type != after.Type {
		return 0, fmt.Errorf("one profile has %s and the other %s: choose a value that both have", before.Type, after.Type)
	}
	if before.Unit == after.Unit {
		return 1, nil
	}
	if factor, unit := scale(1, after.Unit, before.Unit); unit != "" {
		if _, own := scale(1, before.Unit, before.Unit); own == unit {
			return factor, nil
		}
	}
	return 0, fmt.Errorf("%s is in %s in one profile and in %s in the other", before.Type, before.Unit, after.Unit)
}

// tally adds up values with their variances.
type tally struct {
	r *Report
	// weigh returns how many observations stand behind a sample; nil when nothing
	// says that.
	weigh func(*profile.Sample) float64
	// all is the sum of all samples' variances.
	all float64
}

// amounts are a function's values in one profile.
type amounts struct {
	Function
	self, total Amount
}

func newTally(r *Report) *tally {
	t := &tally{r: r}
	p, i := r.Profile, r.Value.Index
	for k, valueType := range p.SampleType {
		if valueType.Type == "samples" {
			t.weigh = func(s *profile.Sample) float64 { return float64(s.Value[k]) }
		}
	}
	// Each observation stands for one period: so it is in heap profiles.
	if kind := p.PeriodType; t.weigh == nil && kind != nil && p.Period > 1 && kind.Unit == p.SampleType[i].Unit {
		t.weigh = func(s *profile.Sample) float64 { return float64(s.Value[i]) / float64(p.Period) }
	}
	if t.weigh != nil {
		for _, s := range p.Sample {
			t.all += t.variance(s)
		}
	}
	return t
}

// variance is that of a sample's value, whose observations come by chance like
// calls to a switchboard: as large as their number.
func (t *tally) variance(s *profile.Sample) float64 {
	if t.weigh == nil {
		return 0
	}
	n := math.Abs(t.weigh(s))
	if n == 0 {
		return 0
	}
	value := float64(s.Value[t.r.Value.Index])
	return value * value / n
}

func (t *tally) functions(factor float64, scale Scale) map[functionKey]amounts {
	g := newGraph(t.r.Profile)
	g.count(t.r.Profile, t.r.Value.Index)
	g.place(t.r.Profile)
	self, total := make([]float64, len(g.functions)), make([]float64, len(g.functions))
	seen := make([]int32, len(g.functions))
	for i, s := range t.r.Profile.Sample {
		variance := t.variance(s)
		leaf := true
		for _, l := range s.Location {
			for _, n := range g.at[g.index.of(l)] {
				if leaf {
					self[n] += variance
					leaf = false
				}
				if seen[n] != int32(i+1) {
					seen[n] = int32(i + 1)
					total[n] += variance
				}
			}
		}
	}
	found := make(map[functionKey]amounts, len(g.functions))
	for i, f := range g.functions {
		if f.Self == 0 && f.Total == 0 {
			continue
		}
		found[f.key()] = amounts{f, t.amount(f.Self, self[i], factor, scale), t.amount(f.Total, total[i], factor, scale)}
	}
	return found
}

// amount scales a value. Of a share of the sum, chance moves only what is in it
// against what is not.
func (t *tally) amount(value int64, variance, factor float64, scale Scale) Amount {
	a := Amount{Value: float64(value) * factor, Variance: variance * factor * factor}
	if scale == ByTotal && t.r.All != 0 {
		x := float64(value) / float64(t.r.All)
		a.Variance = max(0, variance*(1-2*x)+x*x*t.all) * factor * factor
	}
	return a
}
