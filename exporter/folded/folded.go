// Package folded writes profiles as folded stacks, the text that flame graph
// tools read: one line per stack, its frames from the root to the leaf joined
// by semicolons, then a space and a number.
//
//	postgres;main;PostmasterMain;ServerLoop;[...];hash_search 118
//
// The format has no specification; what is read everywhere is that of
// https://github.com/brendangregg/FlameGraph.
package folded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
)

// Write writes one line per distinct stack, sorted, with the sum of the
// samples' first value (the number of samples, in profiles of this program).
// The first frame of a line is the process's command name where samples have
// one (label comm). Calls that were inlined are frames of their own. A frame
// without a name is written as executable+0xADDRESS.
//
// The format cannot hold negative values, which differences of profiles have:
// they are an error. Stacks whose values add up to zero are left out.
func Write(ctx context.Context, w io.Writer, in exporter.Input) error {
	if err := in.Profile.CheckValid(); err != nil {
		return fmt.Errorf("check profile: %w", err)
	}
	stacks := make(map[string]int64)
	for i, s := range in.Profile.Sample {
		// Large profiles take a while; looking at every sample would too.
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if len(s.Value) == 0 || s.Value[0] == 0 {
			continue
		}
		if s.Value[0] < 0 {
			return errors.New("write folded stacks: the profile has negative values")
		}
		stacks[stack(s)] += s.Value[0]
	}

	out := bufio.NewWriter(w)
	for _, s := range slices.Sorted(maps.Keys(stacks)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s %d\n", s, stacks[s])
	}
	// A bufio.Writer remembers the first error of its writes.
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write folded stacks: %w", err)
	}
	return nil
}

// stack joins the names of a sample's frames, the root first.
func stack(s *profile.Sample) string {
	var b strings.Builder
	add := func(name string) {
		if b.Len() > 0 {
			b.WriteByte(';')
		}
		b.WriteString(clean(name))
	}
	if comm := s.Label[staccato.LabelComm]; len(comm) > 0 {
		add(comm[0])
	}
	for _, loc := range slices.Backward(s.Location) {
		if len(loc.Line) == 0 {
			add(exporter.UnnamedFrame(loc))
		}
		for _, line := range slices.Backward(loc.Line) {
			if line.Function == nil || line.Function.Name == "" {
				add(exporter.UnnamedFrame(loc))
				continue
			}
			add(line.Function.Name)
		}
	}
	if b.Len() == 0 {
		return "[no stack]"
	}
	return b.String()
}

// clean replaces what would break a line apart: semicolons, which names of Go
// types have, become colons, and every control character a space. The format
// knows no escapes, and readers that do not undo one would show it.
func clean(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r == ';':
			return ':'
		case r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029':
			return ' '
		}
		return r
	}, name)
	if name == "" {
		return "[no name]"
	}
	return name
}
