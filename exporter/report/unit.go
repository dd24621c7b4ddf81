package report

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// unit is one that pprof knows, of bytes or time.
type unit struct {
	name    string
	aliases []string
	factor  float64
}

// family is units that can be converted into each other, the smallest first.
type family struct {
	units []unit
	// base is the unit of values whose wanted unit is of another family.
	base unit
}

var families = []family{
	{
		units: []unit{
			{"B", []string{"b", "byte"}, 1},
			{"kB", []string{"kb", "kbyte", "kilobyte"}, 1 << 10},
			{"MB", []string{"mb", "mbyte", "megabyte"}, 1 << 20},
			{"GB", []string{"gb", "gbyte", "gigabyte"}, 1 << 30},
			{"TB", []string{"tb", "tbyte", "terabyte"}, 1 << 40},
			{"PB", []string{"pb", "pbyte", "petabyte"}, 1 << 50},
		},
		base: unit{name: "B", factor: 1},
	},
	{
		units: []unit{
			{"ns", []string{"ns", "nanosecond"}, 1},
			{"us", []string{"μs", "us", "microsecond"}, 1e3},
			{"ms", []string{"ms", "millisecond"}, 1e6},
			{"s", []string{"s", "sec", "second"}, 1e9},
			{"hrs", []string{"hour", "hr"}, 3600e9},
		},
		base: unit{name: "s", factor: 1e9},
	},
}

func (f *family) find(name string) *unit {
	name = strings.ToLower(name)
	if utf8.RuneCountInString(name) > 2 {
		name = strings.TrimSuffix(name, "s")
	}
	for i := range f.units {
		for _, alias := range f.units[i].aliases {
			if alias == name {
				return &f.units[i]
			}
		}
	}
	return nil
}

// scale converts a value as pprof does, so that filters by range mean the same:
// into the family's base unit when to is of another family, not at all when
// from is of none.
func scale(value int64, from, to string) (float64, string) {
	for i := range families {
		f := &families[i]
		have := f.find(from)
		if have == nil {
			continue
		}
		want := f.find(to)
		if want == nil {
			want = &f.base
		}
		return float64(value) * have.factor / want.factor, want.name
	}
	switch to {
	case "count", "sample", "unit", "minimum", "auto":
		return float64(value), ""
	}
	return float64(value), to
}

// Format writes a value in the unit that suits its size, as 1.31s or 512kB; a
// unit that is neither time nor bytes is left out.
func Format(value float64, unitName string) string {
	if value == 0 {
		return "0"
	}
	sign := ""
	if value < 0 {
		sign, value = "-", -value
	}
	for i := range families {
		f := &families[i]
		have := f.find(unitName)
		if have == nil {
			continue
		}
		value *= have.factor
		best := f.units[0]
		for _, u := range f.units {
			if value >= u.factor {
				best = u
			}
		}
		return sign + decimals(value/best.factor) + best.name
	}
	return sign + decimals(value)
}

// decimals writes two digits behind the point, or none when they are zeros.
func decimals(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 2, 64), ".00")
}
