package input

import (
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
)

// perfHeader is the first line of a sample: command name (which may have
// spaces), PID or TID or PID/TID, CPU, time in seconds, period, event, and the
// frame of a sample without a stack. CPU, time and period may be missing.
var perfHeader = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^ *(\S.*?) +(-?\d+)(?:/(-?\d+))?(?: +\[(\d+)\])?(?: +(\d+)\.(\d+):)?(?: +(\d+))? +([^\s:\d]\S*): *(.*)$`)
})

// leafOnly is the frame of a sample without a stack, on the same line.
var leafOnly = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[0-9a-f]+ .*\)$`)
})

// ParsePerfScript reads what perf script prints, see perf-script(1): per sample
// a line with command name, process, time, period and event, then the frames,
// the leaf first, one a line, and an empty line.
//
//	app  4242/4243 [001] 11549.845585:  1001001 cpu-clock:ppp:
//	        ffffffff816ae824 __check_object_size+0x134 ([kernel.kallsyms])
//	            7f69c1537d92 main+0x2 (/usr/bin/app)
//
// The values are samples/count and, when all samples are of one event and say
// their period, the event too (in nanoseconds for cpu-clock and task-clock).
// Samples have the labels comm, tid, and pid where the text has it; with several
// events also event.
func ParsePerfScript(r io.Reader) (*profile.Profile, error) {
	s := perfScript{
		builder: newBuilder(&profile.ValueType{Type: "samples", Unit: "count"}),
		events:  make(map[string]bool), periods: true,
	}
	if err := eachLine(r, s.line); err != nil {
		return nil, err
	}
	s.end()
	if len(s.p.Sample) == 0 {
		return nil, errors.New("no samples in it")
	}
	s.finish()
	return s.p, nil
}

type perfScript struct {
	*builder
	sample *profile.Sample // nil between samples
	// inlined are the calls that were inlined at the next frame, innermost first.
	inlined     []string
	events      map[string]bool
	periods     bool // every sample has one
	total       uint64
	first, last int64 // times, in nanoseconds
	timed       bool
}

func (s *perfScript) line(line string) error {
	trimmed := strings.TrimSpace(line)
	switch {
	case trimmed == "":
		s.end()
		return nil
	case line[0] == '#':
		return nil
	case s.sample != nil && (line[0] == '\t' || !perfHeader().MatchString(line)):
		return s.frame(trimmed)
	}
	// Samples of tracepoints follow one another without an empty line.
	s.end()
	return s.header(line)
}

func (s *perfScript) header(line string) error {
	m := perfHeader().FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("want the first line of a sample, as in \"app 4242 1.5: 1001 cycles:\", not %q", shorten(line))
	}
	comm, first, second, seconds, fraction, period, event, rest := m[1], m[2], m[3], m[5], m[6], m[7], m[8], m[9]
	event = strings.TrimRight(event, ":")
	s.sample = &profile.Sample{
		Value:    []int64{1, 0},
		Label:    map[string][]string{staccato.LabelComm: {comm}, "event": {event}},
		NumLabel: make(map[string][]int64),
	}
	ids := map[string]string{staccato.LabelTID: first}
	if second != "" {
		ids[staccato.LabelPID], ids[staccato.LabelTID] = first, second
	}
	for label, text := range ids {
		id, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return fmt.Errorf("%s is no process", shorten(text))
		}
		s.sample.NumLabel[label] = []int64{id}
	}
	if period != "" {
		value, err := strconv.ParseInt(period, 10, 64)
		if err != nil {
			return fmt.Errorf("period %s is too large", shorten(period))
		}
		if s.total += uint64(value); s.total > math.MaxInt64 {
			return errors.New("the sum of all periods is too large")
		}
		s.sample.Value[1] = value
	} else {
		s.periods = false
	}
	if len(s.events) < 2 {
		s.events[event] = true
	}
	if seconds != "" {
		if err := s.time(seconds, fraction); err != nil {
			return err
		}
	}
	if leafOnly().MatchString(rest) {
		// Else it is what a tracepoint says of itself.
		if err := s.frame(rest); err != nil {
			return err
		}
		s.end()
	}
	return nil
}

// time counts a time towards the profile's duration.
func (s *perfScript) time(seconds, fraction string) error {
	fraction = (fraction + "000000000")[:9]
	t, err := strconv.ParseInt(seconds+fraction, 10, 64)
	if err != nil {
		return fmt.Errorf("time %s is too large", shorten(seconds))
	}
	if !s.timed {
		s.first, s.last, s.timed = t, t, true
	}
	s.first, s.last = min(s.first, t), max(s.last, t)
	return nil
}

// frame reads a line like "7f69c1537d92 main+0x2 (/usr/bin/app)", or with
// "(inlined)" one without an address.
func (s *perfScript) frame(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	address, err := strconv.ParseUint(word, 16, 64)
	if name, ok := strings.CutSuffix(line, " (inlined)"); ok {
		if err == nil {
			name = strings.TrimSuffix(strings.TrimSpace(rest), " (inlined)")
		}
		s.inlined = append(s.inlined, withoutOffset(name))
		return nil
	}
	if err != nil {
		if len(s.sample.Location) > 0 {
			// Source lines, which perf script can add below a frame.
			return nil
		}
		return fmt.Errorf("want a frame, as in \"7f69c1537d92 main+0x2 (/usr/bin/app)\", not %q", shorten(line))
	}
	name, file := splitExecutable(strings.TrimSpace(rest))
	name = withoutOffset(name)
	if name == "[unknown]" {
		name = ""
	}
	if file == "[unknown]" {
		file = ""
	}
	location := s.location(frame{function: name, file: file, address: address})
	if len(s.inlined) > 0 {
		location = s.withInlined(location)
	}
	s.sample.Location = append(s.sample.Location, location)
	return nil
}

// withInlined is a location of its own for each chain of inlined calls.
func (s *perfScript) withInlined(at *profile.Location) *profile.Location {
	file := ""
	if at.Mapping != nil {
		file = at.Mapping.File
	}
	// No name from the text has a newline in it.
	key := frame{function: strings.Join(s.inlined, "\n") + "\n", file: file, address: at.Address}
	l := s.locations[key]
	if l == nil {
		l = &profile.Location{ID: uint64(len(s.p.Location) + 1), Mapping: at.Mapping, Address: at.Address}
		for _, name := range s.inlined {
			l.Line = append(l.Line, profile.Line{Function: s.function(name)})
		}
		l.Line = append(l.Line, at.Line...)
		s.locations[key] = l
		s.p.Location = append(s.p.Location, l)
	}
	s.inlined = s.inlined[:0]
	return l
}

// splitExecutable takes the executable off the end of "name+0x12 (file)".
func splitExecutable(text string) (name, file string) {
	const deleted = " (deleted))"
	end := len(text)
	if strings.HasSuffix(text, deleted) {
		end -= len(deleted)
	} else if strings.HasSuffix(text, ")") {
		end--
	} else {
		return text, ""
	}
	begin := strings.LastIndex(text[:end], "(")
	if begin < 0 {
		return text, ""
	}
	return strings.TrimSpace(text[:begin]), text[begin+1 : end]
}

// withoutOffset takes "+0x1f" off a name.
func withoutOffset(name string) string {
	if i := strings.LastIndex(name, "+0x"); i > 0 {
		if _, err := strconv.ParseUint(name[i+3:], 16, 64); err == nil {
			return name[:i]
		}
	}
	return name
}

func (s *perfScript) end() {
	if s.sample != nil {
		s.p.Sample = append(s.p.Sample, s.sample)
		s.sample, s.inlined = nil, s.inlined[:0]
	}
}

// finish decides about what needs all samples.
func (s *perfScript) finish() {
	var event string
	for event = range s.events {
	}
	one := len(s.events) == 1
	if one && s.periods {
		valueType := &profile.ValueType{Type: event, Unit: "count"}
		if name, _, _ := strings.Cut(event, ":"); name == "cpu-clock" || name == "task-clock" {
			valueType.Type, valueType.Unit = "cpu", "nanoseconds"
		}
		s.p.SampleType = append(s.p.SampleType, valueType)
	}
	for _, sample := range s.p.Sample {
		sample.Value = sample.Value[:len(s.p.SampleType)]
		if one {
			delete(sample.Label, "event")
		}
	}
	if s.timed {
		s.p.DurationNanos = s.last - s.first
	}
}
