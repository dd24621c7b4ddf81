package report

import (
	"fmt"
	"regexp"

	"github.com/google/pprof/profile"
)

// Filter says which samples and frames count, with pprof's names and meaning.
// All but the tags are regular expressions, which match the name of a function,
// its source file and its executable. Empty ones do nothing.
type Filter struct {
	// Focus keeps samples with a frame that matches, Ignore those without.
	Focus, Ignore string
	// Hide takes frames that match from stacks, Show those that do not.
	Hide, Show string
	// ShowFrom takes the callers of the outermost frame that matches from stacks,
	// and samples without one.
	ShowFrom string
	// Tags keep samples whose labels match all of them, TagIgnore takes them
	// away. Each is a regular expression on "key:value" or on one key's value
	// ("key=regexp"; commas separate several), or a number or range of numbers,
	// with a unit or without: "pid=4242", "bytes=1kb:64kb", "bytes=:1mb".
	Tags, TagIgnore []string
}

// Filters are a Filter that has been checked.
type Filters struct {
	focus, ignore, hide, show, showFrom *regexp.Regexp

	tags, tagIgnore []tagFilter
}

// FilterError says which filter is wrong.
type FilterError struct {
	// Name is the filter's, as --focus.
	Name, Value string
	Err         error
}

func (e *FilterError) Error() string {
	return fmt.Sprintf("%s %s: %v", e.Name, e.Value, e.Err)
}

// Unwrap returns the cause.
func (e *FilterError) Unwrap() error { return e.Err }

// Compile checks a filter; what is wrong with it is a [FilterError].
func (f Filter) Compile() (*Filters, error) {
	c := new(Filters)
	for _, each := range []struct {
		name, value string
		to          **regexp.Regexp
	}{
		{"--focus", f.Focus, &c.focus},
		{"--ignore", f.Ignore, &c.ignore},
		{"--hide", f.Hide, &c.hide},
		{"--show", f.Show, &c.show},
		{"--show-from", f.ShowFrom, &c.showFrom},
	} {
		if each.value == "" {
			continue
		}
		re, err := regexp.Compile(each.value)
		if err != nil {
			return nil, &FilterError{each.name, each.value, err}
		}
		*each.to = re
	}
	for _, each := range []struct {
		name   string
		values []string
		to     *[]tagFilter
	}{
		{"--tag", f.Tags, &c.tags},
		{"--tag-ignore", f.TagIgnore, &c.tagIgnore},
	} {
		for _, value := range each.values {
			tag, err := parseTag(value)
			if err != nil {
				return nil, &FilterError{each.name, value, err}
			}
			*each.to = append(*each.to, tag)
		}
	}
	return c, nil
}

// apply filters in the order of pprof, which matters: hidden frames cannot be
// shown from. It returns which filters matched nothing.
func (c *Filters) apply(p *profile.Profile) (unmatched []string) {
	note := func(given, matched bool, name string) {
		if given && !matched {
			unmatched = append(unmatched, name)
		}
	}
	focused, ignored, hidden, shown := p.FilterSamplesByName(c.focus, c.ignore, c.hide, c.show)
	note(c.focus != nil, focused, "--focus")
	note(c.ignore != nil, ignored, "--ignore")
	note(c.hide != nil, hidden, "--hide")
	note(c.show != nil, shown, "--show")
	note(c.showFrom != nil, p.ShowFrom(c.showFrom), "--show-from")

	if len(c.tags) == 0 && len(c.tagIgnore) == 0 {
		return unmatched
	}
	units, _ := p.NumLabelUnits()
	for _, tag := range c.tags {
		matched, _ := p.FilterSamplesByTag(tag.on(units), nil)
		note(true, matched, "--tag "+tag.text)
	}
	for _, tag := range c.tagIgnore {
		_, matched := p.FilterSamplesByTag(nil, tag.on(units))
		note(true, matched, "--tag-ignore "+tag.text)
	}
	return unmatched
}
