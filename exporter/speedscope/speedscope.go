// Package speedscope writes profiles in speedscope's file format, JSON that
// https://www.speedscope.app/file-format-schema.json describes.
package speedscope

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
)

const schema = "https://www.speedscope.app/file-format-schema.json"

// file is the whole document.
type file struct {
	Schema   string    `json:"$schema"`
	Exporter string    `json:"exporter"`
	Name     string    `json:"name,omitempty"`
	Active   int       `json:"activeProfileIndex"`
	Shared   shared    `json:"shared"`
	Profiles []sampled `json:"profiles"`
}

type shared struct {
	Frames []frame `json:"frames"`
}

type frame struct {
	Name string `json:"name"`
	File string `json:"file,omitempty"`
}

// sampled is one kind of value.
type sampled struct {
	Type  string `json:"type"` // "sampled"
	Name  string `json:"name"`
	Unit  string `json:"unit"`
	Start int64  `json:"startValue"`
	End   int64  `json:"endValue"`
	// Samples are stacks of numbers of frames, the root first.
	Samples [][]int32 `json:"samples"`
	Weights []int64   `json:"weights"`
}

// units are those that speedscope knows; others are "none".
var units = []string{"nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"}

// Write writes one speedscope profile per kind of value, and opens at the one
// that is the profile's default. The first frame of a stack is the process's
// command name where samples have one (label comm). A frame is a function and
// the file it is in; one without a name is executable+0xADDRESS.
//
// The format has no time between samples and no negative values: stacks are in
// the profile's order, one after the other, and a negative value is an error.
func Write(ctx context.Context, w io.Writer, in exporter.Input) error {
	p := in.Profile
	if err := p.CheckValid(); err != nil {
		return fmt.Errorf("check profile: %w", err)
	}
	active, err := p.SampleIndexByName("")
	if err != nil {
		return fmt.Errorf("write speedscope: %w", err)
	}
	out := file{Schema: schema, Exporter: "staccato", Active: max(active, 0), Shared: shared{Frames: []frame{}}, Profiles: []sampled{}}
	if len(p.Mapping) > 0 {
		out.Name = p.Mapping[0].File
	}
	stacks, err := out.stacks(ctx, p)
	if err != nil {
		return err
	}
	for i, t := range p.SampleType {
		s := sampled{Type: "sampled", Name: t.Type, Unit: "none", Samples: [][]int32{}, Weights: []int64{}}
		if slices.Contains(units, t.Unit) {
			s.Unit = t.Unit
		}
		for k, each := range p.Sample {
			value := each.Value[i]
			if value < 0 {
				return errors.New("write speedscope: the profile has negative values")
			}
			if value == 0 {
				continue
			}
			s.Samples = append(s.Samples, stacks[k])
			s.Weights = append(s.Weights, value)
			s.End += value
		}
		out.Profiles = append(out.Profiles, s)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	buffer := bufio.NewWriter(w)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		return fmt.Errorf("write speedscope: %w", err)
	}
	if err := buffer.Flush(); err != nil {
		return fmt.Errorf("write speedscope: %w", err)
	}
	return nil
}

// stacks numbers the frames and returns each sample's, the root first.
func (f *file) stacks(ctx context.Context, p *profile.Profile) ([][]int32, error) {
	numbers := make(map[frame]int32)
	number := func(fr frame) int32 {
		n, ok := numbers[fr]
		if !ok {
			n = int32(len(f.Shared.Frames))
			numbers[fr] = n
			f.Shared.Frames = append(f.Shared.Frames, fr)
		}
		return n
	}
	// The frames of a location, the outermost first.
	known := make(map[*profile.Location][]int32, len(p.Location))
	frames := func(l *profile.Location) []int32 {
		ns, ok := known[l]
		if ok {
			return ns
		}
		for _, line := range slices.Backward(l.Line) {
			if line.Function == nil || line.Function.Name == "" {
				ns = append(ns, number(frame{Name: exporter.UnnamedFrame(l)}))
				continue
			}
			ns = append(ns, number(frame{Name: line.Function.Name, File: line.Function.Filename}))
		}
		if len(l.Line) == 0 {
			ns = append(ns, number(frame{Name: exporter.UnnamedFrame(l)}))
		}
		known[l] = ns
		return ns
	}

	stacks := make([][]int32, len(p.Sample))
	for i, s := range p.Sample {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		stack := make([]int32, 0, len(s.Location)+1)
		if comm := s.Label[staccato.LabelComm]; len(comm) > 0 {
			stack = append(stack, number(frame{Name: comm[0]}))
		}
		for _, l := range slices.Backward(s.Location) {
			stack = append(stack, frames(l)...)
		}
		if len(stack) == 0 {
			stack = append(stack, number(frame{Name: "[no stack]"}))
		}
		stacks[i] = stack
	}
	return stacks, nil
}
