package report

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
)

// Condition is a statement about what changed, such as
//
//	total(^parse) > +2pt
//	self(malloc|free) > 10%
//
// total is the value of all samples with a frame whose function matches the
// regular expression, each counted once; self that of samples whose leaf does.
// pt are percentage points of all values before, % is relative to the value
// before. Operators are > >= < <=.
type Condition struct {
	text      string
	self      bool
	names     *regexp.Regexp
	operator  string
	threshold float64
	relative  bool
}

// ConditionError says where a condition is wrong.
type ConditionError struct {
	Text string
	// At is the byte at which the mistake begins.
	At   int
	Want string
}

func (e *ConditionError) Error() string { return e.Want }

func (c Condition) String() string { return c.text }

// ParseCondition reads a condition; what is wrong with it is a
// [ConditionError].
func ParseCondition(text string) (Condition, error) {
	c := Condition{text: text}
	fail := func(at int, format string, args ...any) (Condition, error) {
		return Condition{}, &ConditionError{text, at, fmt.Sprintf(format, args...)}
	}
	skip := func(at int) int {
		for at < len(text) && text[at] == ' ' {
			at++
		}
		return at
	}

	at := skip(0)
	switch {
	case strings.HasPrefix(text[at:], "self"):
		c.self = true
		at += len("self")
	case strings.HasPrefix(text[at:], "total"):
		at += len("total")
	default:
		return fail(at, "want self or total")
	}
	if at = skip(at); at == len(text) || text[at] != '(' {
		return fail(at, "want ( and a regular expression")
	}
	begin := at + 1
	// Nothing behind the regular expression has a parenthesis.
	end := strings.LastIndexByte(text, ')')
	if end < begin {
		return fail(len(text), "want ) after the regular expression")
	}
	if begin == end {
		return fail(begin, "want a regular expression")
	}
	var err error
	if c.names, err = regexp.Compile(text[begin:end]); err != nil {
		return fail(begin, "%v", err)
	}
	at = skip(end + 1)
	for _, operator := range []string{">=", "<=", ">", "<"} {
		if strings.HasPrefix(text[at:], operator) {
			c.operator = operator
			break
		}
	}
	if c.operator == "" {
		return fail(at, "want >, >=, < or <=")
	}
	at = skip(at + len(c.operator))
	length := len(text[at:]) - len(strings.TrimLeft(text[at:], "+-0123456789."))
	if c.threshold, err = strconv.ParseFloat(text[at:at+length], 64); err != nil || math.IsInf(c.threshold, 0) {
		return fail(at, "want a number, such as +2 or -0.5")
	}
	at = skip(at + length)
	switch unit := strings.TrimRight(text[at:], " "); unit {
	case "pt":
	case "%":
		c.relative = true
	default:
		return fail(at, "want pt (percentage points of everything) or %% (of the value before)")
	}
	return c, nil
}

// Verdict is what a condition comes to.
type Verdict struct {
	Condition Condition
	// Holds says that the condition holds, and not merely by chance: one that
	// would not hold without any change needs a change beyond noise.
	Holds bool
	// Noise says that the condition holds for the values, but by chance.
	Noise bool
	// Matched says that a function matches in either profile.
	Matched bool
	// Before and After are the values; Change is in the condition's unit, and Sigma
	// its standard deviation by chance, 0 when that is not known.
	Before, After, Change, Sigma float64
}

// Check finds out whether a condition holds.
func (d *Diff) Check(c Condition) Verdict {
	x, y := newTally(d.Before), newTally(d.After)
	before, matchedBefore := x.matching(c, 1, d.Scale)
	after, matchedAfter := y.matching(c, d.Factor, d.Scale)
	v := Verdict{Condition: c, Before: before.Value, After: after.Value, Matched: matchedBefore || matchedAfter}

	unit := d.AllBefore / 100
	if c.relative {
		unit = math.Abs(before.Value) / 100
	}
	v.Change = v.After - v.Before
	if v.Change != 0 {
		v.Change /= unit // infinite for what is new
	}
	if d.Noise && unit != 0 {
		v.Sigma = d.Sigma(before, after) / unit
	}
	if !c.holds(v.Change) {
		return v
	}
	if c.holds(0) || d.beyondNoise(before, after) {
		v.Holds = true
		return v
	}
	v.Noise = true
	return v
}

func (c Condition) holds(change float64) bool {
	switch c.operator {
	case ">":
		return change > c.threshold
	case ">=":
		return change >= c.threshold
	case "<":
		return change < c.threshold
	}
	return change <= c.threshold
}

// Relative says that the condition is about the value before, not about points
// of everything.
func (c Condition) Relative() bool { return c.relative }

// matching adds up the samples that a condition is about.
func (t *tally) matching(c Condition, factor float64, scale Scale) (sum Amount, matched bool) {
	g := newGraph(t.r.Profile)
	matches := make([]bool, len(g.functions))
	for i, f := range g.functions {
		matches[i] = c.names.MatchString(f.Label())
	}
	var value int64
	var variance float64
	for _, s := range t.r.Profile.Sample {
		if !c.in(g, matches, s.Location) {
			continue
		}
		matched = true
		value += s.Value[t.r.Value.Index]
		variance += t.variance(s)
	}
	return t.amount(value, variance, factor, scale), matched
}

// in says whether a condition is about this stack.
func (c Condition) in(g *graph, matches []bool, stack []*profile.Location) bool {
	for _, l := range stack {
		for _, n := range g.at[g.index.of(l)] {
			if matches[n] {
				return true
			}
			if c.self {
				return false
			}
		}
	}
	return false
}
