package input

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/google/pprof/profile"
)

// ParseFolded reads folded stacks: a line per stack, its frames from the root to
// the leaf joined by semicolons, then a space and a whole number. Empty lines and
// those that begin with "# " are skipped. The values become
// samples/count.
//
// The format has no specification; this is what
// https://github.com/brendangregg/FlameGraph reads, which also takes fractions:
// here they are an error, since nothing says what they count.
func ParseFolded(r io.Reader) (*profile.Profile, error) {
	b := newBuilder(&profile.ValueType{Type: "samples", Unit: "count"})
	var total uint64
	err := eachLine(r, func(line string) error {
		line = strings.TrimRight(line, " \t\r")
		if line == "" || strings.HasPrefix(line, "# ") {
			return nil
		}
		end := strings.LastIndexAny(line, " \t")
		if end < 0 {
			return errors.New("want a stack, a space and a number")
		}
		value, err := strconv.ParseInt(line[end+1:], 10, 64)
		if err != nil {
			return fmt.Errorf("want a stack, a space and a whole number, not %q at the end", shorten(line[end+1:]))
		}
		if value < 0 {
			return fmt.Errorf("%d: a number of samples cannot be negative", value)
		}
		if total += uint64(value); total > math.MaxInt64 {
			return errors.New("the sum of all values is too large")
		}
		names := strings.Split(line[:end], ";")
		sample := &profile.Sample{Value: []int64{value}, Location: make([]*profile.Location, len(names))}
		for i, name := range names {
			sample.Location[len(names)-1-i] = b.location(frame{function: name})
		}
		b.p.Sample = append(b.p.Sample, sample)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(b.p.Sample) == 0 {
		return nil, errors.New("no stacks in it")
	}
	return b.p, nil
}

// shorten makes text from a file fit into a message.
func shorten(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
