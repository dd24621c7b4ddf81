package html

import (
	"bufio"
	encoding "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// header is the first part of the data, in JSON; data.js reads it.
type header struct {
	Profiles []facts      `json:"profiles"` // one, or before and after
	Types    []headerType `json:"types"`
	Default  int          `json:"default"` // the type to show first
	// Count is the type that counts samples, -1 when none does.
	Count    int         `json:"count"`
	Kinds    []string    `json:"kinds"`
	Contexts [][5]string `json:"contexts"` // pid, comm, tid, thread's comm, container
	// Pruned says how many calls became "(other)", and the share in percent
	// below which they were.
	Pruned      int     `json:"pruned,omitempty"`
	PrunedShare float64 `json:"prunedShare,omitempty"`
	// Columns are a type's values of one profile each: types × profiles.
	Columns []headerColumn `json:"columns"`

	Strings   int `json:"strings"`
	Binaries  int `json:"binaries"`
	Functions int `json:"functions"`
	Frames    int `json:"frames"`
	Nodes     int `json:"nodes"`
	Rows      int `json:"rows"`
}

type headerType struct {
	Name string `json:"name"`
	Unit string `json:"unit"`
}

// headerColumn says where a column's values are: written, or those of an
// earlier column times a factor.
type headerColumn struct {
	Of     int   `json:"of"` // -1: written
	Factor int64 `json:"factor,omitempty"`
}

// encode writes what the page shows. All numbers but the header's are unsigned
// LEB128, as Go's encoding/binary and protocol buffers have them:
//
//	length of the header, header in JSON
//	length of each string; then their bytes, UTF-8
//	path, build ID of each binary (numbers of strings)
//	name of each function; binary of each; source file of each
//	function of each frame; kind × 2 + (1 if inlined) of each
//	for each node but the root, in preorder: how many levels its parent lies
//	  above the node before it; then the frames of those nodes
//	for each row (samples that a node has in one context), by node: the node
//	  minus the one of the row before; then the contexts
//	for each column that is written: the value of each row
//
// Keeping like things together is what makes gzip pack them well.
func (b *builder) encode(w io.Writer, minShare float64) error {
	p := b.prune(minShare)
	frames, number := p.byUse()
	// What only pruned frames had is left out.
	var functions table[function]
	var binaries table[binary]
	var texts table[string]
	of := make([]uint32, len(frames))
	for i, f := range frames {
		fn := b.functions.list[b.frames.list[f].function]
		bin := b.binaries.list[fn.binary]
		bin = binary{texts.number(b.strings.list[bin.path]), texts.number(b.strings.list[bin.buildID])}
		of[i] = functions.number(function{texts.number(b.strings.list[fn.name]), binaries.number(bin), texts.number(b.strings.list[fn.file])})
	}
	h := header{
		Default: b.defaultType(), Count: b.countType(), Kinds: b.kinds.list,
		Pruned: p.merged, PrunedShare: 100 * minShare,
		Columns: p.columns(), Strings: len(texts.list), Binaries: len(binaries.list), Functions: len(functions.list),
		Frames: len(frames), Nodes: len(p.nodes), Rows: len(p.rows),
	}
	if p.merged == 0 {
		h.PrunedShare = 0
	}
	for _, in := range b.inputs {
		h.Profiles = append(h.Profiles, factsOf(in.Profile))
	}
	for _, t := range b.types {
		h.Types = append(h.Types, headerType{clean(t.name), clean(t.unit)})
	}
	for _, c := range b.contexts.list {
		h.Contexts = append(h.Contexts, [5]string{c.pid, c.comm, c.tid, c.threadComm, c.container})
	}
	text, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode header: %w", err)
	}

	out := writer{Writer: bufio.NewWriter(w)}
	out.number(uint64(len(text)))
	out.Write(text)
	for _, s := range texts.list {
		out.number(uint64(len(s)))
	}
	for _, s := range texts.list {
		out.WriteString(s)
	}
	for _, x := range binaries.list {
		out.number(uint64(x.path))
		out.number(uint64(x.buildID))
	}
	for _, f := range functions.list {
		out.number(uint64(f.name))
	}
	for _, f := range functions.list {
		out.number(uint64(f.binary))
	}
	for _, f := range functions.list {
		out.number(uint64(f.file))
	}
	for _, f := range of {
		out.number(uint64(f))
	}
	for _, f := range frames {
		kind := uint64(b.frames.list[f].kind) * 2
		if b.frames.list[f].inlined {
			kind++
		}
		out.number(kind)
	}
	depth := make([]int, len(p.nodes))
	for i := 1; i < len(p.nodes); i++ {
		parent := p.nodes[i].parent
		depth[i] = depth[parent] + 1
		out.number(uint64(depth[i-1] - depth[parent]))
	}
	for _, n := range p.nodes[1:] {
		out.number(uint64(number[n.frame]))
	}
	last := uint32(0)
	for _, r := range p.rows {
		out.number(uint64(r.node - last))
		last = r.node
	}
	for _, r := range p.rows {
		out.number(uint64(r.context))
	}
	for c, column := range h.Columns {
		if column.Of >= 0 {
			continue
		}
		for _, r := range p.rows {
			out.number(uint64(r.values[c]))
		}
	}
	// A bufio.Writer remembers the first error of its writes.
	return out.Flush()
}

type writer struct{ *bufio.Writer }

func (w writer) number(n uint64) {
	w.Write(encoding.AppendUvarint(w.AvailableBuffer(), n))
}

// byUse returns the frames that the tree uses, most used first, so that the
// most frequent numbers are short; and the new number of each old one.
func (p *pruned) byUse() (list []uint32, number []uint32) {
	uses := make([]int, len(p.b.frames.list))
	for _, n := range p.nodes[1:] {
		uses[n.frame]++
	}
	for f, n := range uses {
		if n > 0 {
			list = append(list, uint32(f))
		}
	}
	slices.SortStableFunc(list, func(a, c uint32) int { return uses[c] - uses[a] })
	number = make([]uint32, len(uses))
	for i, f := range list {
		number[f] = uint32(i)
	}
	return list, number
}

// columns finds for each column an earlier one that it is a multiple of, as CPU
// time is one of the number of samples.
func (p *pruned) columns() []headerColumn {
	list := make([]headerColumn, len(p.b.values))
	for c := range list {
		list[c].Of = -1
		for of := range c {
			// The same profile's, since two profiles have nothing to do with each other.
			if of%len(p.b.inputs) != c%len(p.b.inputs) || list[of].Of >= 0 {
				continue
			}
			if factor := p.factor(c, of); factor > 0 {
				list[c] = headerColumn{Of: of, Factor: factor}
				break
			}
		}
	}
	return list
}

// maxFactor keeps factors exact in JavaScript's numbers.
const maxFactor = 1 << 53

// factor returns what to multiply each value of one column with to get the
// other's, 0 if there is no such number.
func (p *pruned) factor(c, of int) int64 {
	var factor int64
	for _, r := range p.rows {
		v, base := r.values[c], r.values[of]
		switch {
		case base == 0:
			if v != 0 {
				return 0
			}
		case v%base != 0, factor != 0 && v/base != factor:
			return 0
		default:
			factor = v / base
		}
		if base != 0 && factor == 0 || factor > maxFactor {
			return 0
		}
	}
	return factor
}

// defaultType is the type of value that the profile's maker wants to be seen,
// pprof's rule: the one named, or else the last.
func (b *builder) defaultType() int {
	after := b.inputs[len(b.inputs)-1].Profile
	for i, t := range b.types {
		if t.name == after.DefaultSampleType {
			return i
		}
	}
	return len(b.types) - 1
}

// countType is the type whose values are numbers of samples.
func (b *builder) countType() int {
	for i, t := range b.types {
		if t.unit == "count" {
			return i
		}
	}
	return -1
}
