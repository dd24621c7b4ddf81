package html

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
)

const (
	// maxNodes is how many distinct calls a page can hold and still be quick.
	maxNodes = 1_000_000
	// maxText bounds a single name, in bytes.
	maxText = 4096
)

// builder turns profiles into a tree of calls and the samples at its nodes. A
// frame here is a line of pprof's: inlined calls are frames of their own.
type builder struct {
	inputs []exporter.Input
	types  []valueType

	strings   table[string]
	binaries  table[binary]
	functions table[function]
	kinds     table[string]
	frames    table[frame]
	contexts  table[samplingContext]

	nodes    []node // a parent comes before its children; the first is the root
	children map[childKey]uint32
	rows     map[rowKey]uint32
	rowList  []rowKey
	values   [][]int64 // by column and row; a column is a value of one input
}

// table numbers distinct values in the order in which they are first seen.
type table[T comparable] struct {
	index map[T]uint32
	list  []T
}

func (t *table[T]) number(v T) uint32 {
	if i, ok := t.index[v]; ok {
		return i
	}
	if t.index == nil {
		t.index = make(map[T]uint32)
	}
	i := uint32(len(t.list))
	t.index[v] = i
	t.list = append(t.list, v)
	return i
}

// Numbers in these are those of the builder's tables.
type (
	binary   struct{ path, buildID uint32 }
	function struct{ name, binary, file uint32 }
	frame    struct {
		function, kind uint32
		inlined        bool
	}
	node     struct{ parent, frame uint32 }
	childKey struct{ parent, frame uint32 }
	rowKey   struct{ node, context uint32 }
)

// samplingContext is whose samples they are. The page filters and groups by it.
type samplingContext struct{ pid, comm, tid, threadComm, container string }

// valueType is a type of value that all inputs have, and where.
type valueType struct {
	name, unit string
	index      []int // in Sample.Value, by input
}

func build(ctx context.Context, inputs []exporter.Input) (*builder, error) {
	b := &builder{
		inputs: inputs, types: commonTypes(inputs), nodes: []node{{}},
		children: make(map[childKey]uint32), rows: make(map[rowKey]uint32),
	}
	if len(b.types) == 0 {
		return nil, errors.New("the profiles have no type of value in common")
	}
	b.strings.number("")
	b.values = make([][]int64, len(b.types)*len(inputs))
	for i := range inputs {
		if err := b.add(ctx, i); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// commonTypes returns what the values of all inputs mean, in the first one's
// order.
func commonTypes(inputs []exporter.Input) []valueType {
	var list []valueType
	for i, t := range inputs[0].Profile.SampleType {
		common := valueType{name: t.Type, unit: t.Unit, index: []int{i}}
		for _, in := range inputs[1:] {
			for j, u := range in.Profile.SampleType {
				if u.Type == t.Type && u.Unit == t.Unit {
					common.index = append(common.index, j)
					break
				}
			}
		}
		if len(common.index) == len(inputs) {
			list = append(list, common)
		}
	}
	return list
}

// add adds the samples of an input.
func (b *builder) add(ctx context.Context, input int) error {
	in := b.inputs[input]
	stacks := make(map[*profile.Location][]uint32, len(in.Profile.Location))
	sums := make([]int64, len(b.types))
	for i, s := range in.Profile.Sample {
		// Large profiles take a while; looking at every sample would too.
		if i%1024 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		used := false
		for k, t := range b.types {
			v := s.Value[t.index[input]]
			if v < 0 {
				return errors.New("the profile has negative values, as differences have; a page can compare the two profiles themselves")
			}
			if sums[k] > math.MaxInt64-v {
				return fmt.Errorf("the values of type %s are too large to add up", t.name)
			}
			sums[k] += v
			used = used || v != 0
		}
		if !used {
			continue
		}
		at := uint32(0)
		for k := len(s.Location) - 1; k >= 0; k-- {
			loc := s.Location[k]
			frames, ok := stacks[loc]
			if !ok {
				frames = b.location(in, loc)
				stacks[loc] = frames
			}
			for _, f := range frames {
				at = b.child(at, f)
			}
		}
		b.addRow(input, rowKey{at, b.contexts.number(b.contextOf(s))}, s.Value)
	}
	return nil
}

func (b *builder) child(parent, frame uint32) uint32 {
	key := childKey{parent, frame}
	n, ok := b.children[key]
	if !ok {
		n = uint32(len(b.nodes))
		b.nodes = append(b.nodes, node{parent, frame})
		b.children[key] = n
	}
	return n
}

func (b *builder) addRow(input int, key rowKey, values []int64) {
	row, ok := b.rows[key]
	if !ok {
		row = uint32(len(b.rowList))
		b.rows[key] = row
		b.rowList = append(b.rowList, key)
		for c := range b.values {
			b.values[c] = append(b.values[c], 0)
		}
	}
	for k, t := range b.types {
		b.values[b.column(k, input)][row] += values[t.index[input]]
	}
}

// column is where the values of a type and an input are.
func (b *builder) column(valueType, input int) int { return valueType*len(b.inputs) + input }

// location returns the frames of a location, the outermost first.
func (b *builder) location(in exporter.Input, loc *profile.Location) []uint32 {
	var known staccato.Kind
	if in.Side != nil {
		known = in.Side.Kinds.Of(loc.ID)
	}
	if len(loc.Line) == 0 {
		return []uint32{b.frame(known, loc, nil, false)}
	}
	list := make([]uint32, 0, len(loc.Line))
	for k := len(loc.Line) - 1; k >= 0; k-- {
		// All but the last line are calls that were inlined into that one.
		list = append(list, b.frame(known, loc, loc.Line[k].Function, k < len(loc.Line)-1))
	}
	return list
}

func (b *builder) frame(known staccato.Kind, loc *profile.Location, f *profile.Function, inlined bool) uint32 {
	var bin binary
	if loc.Mapping != nil {
		bin = binary{b.text(loc.Mapping.File), b.text(loc.Mapping.BuildID)}
	}
	fn := function{binary: b.binaries.number(bin)}
	if f == nil || f.Name == "" {
		fn.name = b.text(unnamed(loc))
	} else {
		fn.name, fn.file = b.text(f.Name), b.text(f.Filename)
		inlined = inlined || strings.HasSuffix(f.Name, "_[i]")
	}
	return b.frames.number(frame{b.functions.number(fn), b.kinds.number(kindOf(known, loc, f)), inlined})
}

// unnamed is what stands for a location that no symbol source knew.
func unnamed(loc *profile.Location) string {
	if loc.Mapping == nil || loc.Mapping.File == "" {
		return fmt.Sprintf("0x%x", loc.Address)
	}
	return fmt.Sprintf("%s+0x%x", path.Base(loc.Mapping.File), loc.Address)
}

func (b *builder) contextOf(s *profile.Sample) samplingContext {
	var c samplingContext
	text := func(key string) string {
		if v := s.Label[key]; len(v) > 0 {
			return clean(v[0])
		}
		return ""
	}
	number := func(key string) string {
		if v := s.NumLabel[key]; len(v) > 0 {
			return strconv.FormatInt(v[0], 10)
		}
		return ""
	}
	c.comm, c.threadComm, c.container = text(staccato.LabelComm), text(staccato.LabelThreadComm), text(staccato.LabelContainer)
	if len(b.inputs) == 1 {
		c.pid, c.tid = number(staccato.LabelPID), number(staccato.LabelTID)
	}
	return c
}

func (b *builder) text(s string) uint32 { return b.strings.number(clean(s)) }

// clean makes text valid UTF-8 of bounded length, without characters that
// control a terminal or turn the direction of the text around them.
func clean(s string) string {
	if len(s) > maxText {
		cut := maxText
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f:
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
