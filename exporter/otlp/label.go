package otlp

import (
	"cmp"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"

	"github.com/staccato-profiler/staccato"
)

// label is a label of a sample and the key of the attribute that it becomes.
type label struct {
	key, name string
	number    bool
}

// sampleAttributes returns the attributes of a sample in the order of their
// keys, in scratch memory. With perProcess, labels that describe the process
// are left out: they are the resource's.
func (d *dictionary) sampleAttributes(s *profile.Sample, perProcess bool) []int32 {
	d.labels = d.labels[:0]
	for name, values := range s.Label {
		d.addLabel(name, len(values), false, perProcess)
	}
	for name, values := range s.NumLabel {
		d.addLabel(name, len(values), true, perProcess)
	}
	slices.SortFunc(d.labels, func(a, b label) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.name, b.name), compareBool(a.number, b.number))
	})
	d.few = d.few[:0]
	for rest := d.labels; len(rest) > 0; {
		same := 1
		for same < len(rest) && rest[same].key == rest[0].key {
			same++
		}
		d.few = append(d.few, d.labelAttribute(s, rest[:same]))
		rest = rest[same:]
	}
	return d.few
}

func (d *dictionary) addLabel(name string, values int, number, perProcess bool) {
	key := name
	if perProcess {
		switch name {
		case staccato.LabelPID, staccato.LabelComm, staccato.LabelContainer:
			return
		case staccato.LabelTID:
			key = string(semconv.ThreadIDKey)
		case staccato.LabelThreadComm:
			key = string(semconv.ThreadNameKey)
		}
	}
	// Keys must differ as they are sent. An attribute cannot have an empty one.
	if key = validUTF8(key); key != "" && values > 0 {
		d.labels = append(d.labels, label{key, name, number})
	}
}

// labelAttribute returns the attribute that labels of one key become: an array
// when there are several values, since a key may be there only once.
func (d *dictionary) labelAttribute(s *profile.Sample, same []label) int32 {
	l := same[0]
	if len(same) == 1 {
		if values := s.Label[l.name]; !l.number && len(values) == 1 {
			return d.stringAttribute(l.key, values[0])
		}
		if values := s.NumLabel[l.name]; l.number && len(values) == 1 {
			return d.intAttribute(l.key, values[0], unitOf(s, l.name))
		}
	}
	var values []*commonpb.AnyValue
	unit := ""
	for _, l := range same {
		if !l.number {
			for _, v := range s.Label[l.name] {
				values = append(values, stringValue(v))
			}
			continue
		}
		unit = cmp.Or(unit, unitOf(s, l.name))
		for _, v := range s.NumLabel[l.name] {
			values = append(values, intValue(v))
		}
	}
	return d.arrayAttribute(l.key, values, unit)
}

// unitOf returns the unit of a numeric label's values, which share one.
func unitOf(s *profile.Sample, name string) string {
	if units := s.NumUnit[name]; len(units) > 0 {
		return units[0]
	}
	return ""
}

// ucum returns the code that the Unified Code for Units of Measure has for a
// unit as pprof files name it, which attributes use. Other units stay as they
// are; so do the units of sample types, which consumers know by pprof's names.
func ucum(unit string) string {
	switch strings.ToLower(unit) {
	case "bytes":
		return "By"
	case "nanoseconds":
		return "ns"
	case "microseconds":
		return "us"
	case "milliseconds":
		return "ms"
	case "seconds":
		return "s"
	case "count":
		return "1"
	}
	return unit
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
