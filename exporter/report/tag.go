package report

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/google/pprof/profile"
)

// tagFilter is one filter on labels.
type tagFilter struct {
	text string
	key  string // empty: any
	// Either numbers or all of these.
	numbers *numberRange
	regexps []*regexp.Regexp
}

// numberRange is what numeric labels are compared with, both ends included.
type numberRange struct {
	from, to *quantity
}

type quantity struct {
	value float64
	unit  string
}

var tagNumber = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`[+-]?[0-9]+(?:[A-Za-z]+)?`)
})

// parseTag understands what pprof's -tagfocus does.
func parseTag(text string) (tagFilter, error) {
	f := tagFilter{text: text}
	key, value, hasKey := strings.Cut(text, "=")
	if hasKey {
		f.key = key
	} else {
		value = text
	}
	var err error
	if f.numbers, err = parseRange(value); err != nil || f.numbers != nil {
		return f, err
	}
	for part := range strings.SplitSeq(value, ",") {
		re, err := regexp.Compile(part)
		if err != nil {
			return f, err
		}
		f.regexps = append(f.regexps, re)
	}
	return f, nil
}

// parseRange reads "32kb", ":64kb", "4mb:" and "12kb:64mb". Everything else is
// no range, and nil.
func parseRange(text string) (*numberRange, error) {
	numbers := tagNumber().FindAllString(text, 2)
	var first, second string
	switch {
	case len(numbers) == 0:
		return nil, nil
	case text == numbers[0]:
		first, second = text, text
	case text == numbers[0]+":":
		first = numbers[0]
	case text == ":"+numbers[0]:
		second = numbers[0]
	case len(numbers) == 2 && text == numbers[0]+":"+numbers[1]:
		first, second = numbers[0], numbers[1]
	default:
		return nil, nil
	}
	r := new(numberRange)
	var err error
	if r.from, err = parseQuantity(first, ""); err != nil {
		return nil, err
	}
	unit := ""
	if r.from != nil {
		unit = r.from.unit
	}
	if r.to, err = parseQuantity(second, unit); err != nil {
		return nil, err
	}
	if r.from != nil && r.to != nil && r.from.unit != r.to.unit {
		return nil, nil
	}
	return r, nil
}

// parseQuantity reads a number and its unit, and converts it to unit.
func parseQuantity(text, unit string) (*quantity, error) {
	if text == "" {
		return nil, nil
	}
	digits := strings.TrimRightFunc(text, func(r rune) bool { return r > '9' })
	value, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s is out of range", digits)
	}
	own := text[len(digits):]
	if unit == "" {
		unit = own
	}
	q := new(quantity)
	q.value, q.unit = scale(value, own, unit)
	return q, nil
}

func (r *numberRange) has(value int64, unit string) bool {
	want := r.from
	if want == nil {
		want = r.to
	}
	v, u := scale(value, unit, want.unit)
	return u == want.unit && (r.from == nil || v >= r.from.value) && (r.to == nil || v <= r.to.value)
}

// on returns the filter for a profile whose numeric labels have these units.
func (f tagFilter) on(units map[string]string) profile.TagMatch {
	if f.numbers == nil {
		return f.matchText
	}
	return func(s *profile.Sample) bool {
		for key, values := range s.NumLabel {
			if f.key != "" && key != f.key {
				continue
			}
			if slices.ContainsFunc(values, func(v int64) bool { return f.numbers.has(v, units[key]) }) {
				return true
			}
		}
		return false
	}
}

// matchText is so in pprof: with a key one of the regular expressions must
// match, without one all of them.
func (f tagFilter) matchText(s *profile.Sample) bool {
	if f.key != "" {
		return slices.ContainsFunc(f.regexps, func(re *regexp.Regexp) bool {
			return slices.ContainsFunc(s.Label[f.key], re.MatchString)
		})
	}
	for _, re := range f.regexps {
		found := false
		for key, values := range s.Label {
			for _, value := range values {
				found = found || re.MatchString(key+":"+value)
			}
		}
		if !found {
			return false
		}
	}
	return true
}
