package report

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// Function is a function of a profile with its values.
type Function struct {
	// Name is empty for all code of an executable that has no names.
	Name string
	// Executable is the path of the file that the function is in, Several when
	// it is in more than one, empty when that is not known.
	Executable string
	// Self counts samples in which it was the leaf, Total those in which it was
	// anywhere on the stack, each once.
	Self, Total int64
	// Inlined says that all calls of it were.
	Inlined bool
}

// Several is the executable of functions that are in more than one.
const Several = "several"

// Label is what a function is called in a table: pprof's name for it.
func (f Function) Label() string {
	switch {
	case f.Name != "":
		return f.Name
	case f.Executable != "":
		return "[" + path.Base(f.Executable) + "]"
	}
	return "<unknown>"
}

// graph numbers the functions of a profile, and says which each location is in.
type graph struct {
	functions []Function
	// at holds the functions of a location, the innermost first, by the number
	// that index gives it.
	at    [][]int32
	index locationIndex
}

// locationIndex numbers locations from 0 on.
type locationIndex struct {
	dense  []int32 // by ID
	sparse map[uint64]int32
}

func newLocationIndex(locations []*profile.Location) locationIndex {
	x := locationIndex{dense: make([]int32, 2*len(locations)+1)}
	for i, l := range locations {
		if l.ID < uint64(len(x.dense)) {
			x.dense[l.ID] = int32(i)
			continue
		}
		if x.sparse == nil {
			x.sparse = make(map[uint64]int32)
		}
		x.sparse[l.ID] = int32(i)
	}
	return x
}

func (x locationIndex) of(l *profile.Location) int32 {
	if l.ID < uint64(len(x.dense)) {
		return x.dense[l.ID]
	}
	return x.sparse[l.ID]
}

// functionKey tells functions apart: by name alone, and where there is none by
// executable.
type functionKey struct {
	name, executable string
}

func newGraph(p *profile.Profile) *graph {
	g := &graph{at: make([][]int32, len(p.Location)), index: newLocationIndex(p.Location)}
	numbers := make(map[functionKey]int32, len(p.Function))
	// Most lines of a function come after another one of it.
	known := make(map[*profile.Function]int32, len(p.Function))
	number := func(f *profile.Function, m *profile.Mapping) int32 {
		if n, ok := known[f]; ok {
			return n
		}
		var key functionKey
		if f != nil && f.Name != "" {
			key.name = f.Name
		} else if m != nil {
			key.executable = m.File
		}
		n, ok := numbers[key]
		if !ok {
			n = int32(len(g.functions))
			numbers[key] = n
			g.functions = append(g.functions, Function{Name: key.name, Executable: key.executable, Inlined: true})
		}
		if key.name != "" {
			known[f] = n
		}
		return n
	}
	total := 0
	for _, l := range p.Location {
		total += max(1, len(l.Line))
	}
	all := make([]int32, 0, total)
	for i, l := range p.Location {
		begin := len(all)
		for _, line := range l.Line {
			all = append(all, number(line.Function, l.Mapping))
		}
		if len(l.Line) == 0 {
			all = append(all, number(nil, l.Mapping))
		}
		g.at[i] = all[begin:len(all):len(all)]
	}
	return g
}

// Functions returns all functions that have a value, the largest own value
// first.
func (r *Report) Functions() []Function {
	g := newGraph(r.Profile)
	g.count(r.Profile, r.Value.Index)
	g.place(r.Profile)
	rows := slices.DeleteFunc(g.functions, func(f Function) bool { return f.Self == 0 && f.Total == 0 })
	SortBySelf(rows)
	return rows
}

// SortBySelf sorts functions by their own values without signs, the largest
// first, then by their totals.
func SortBySelf(rows []Function) {
	slices.SortFunc(rows, func(a, b Function) int {
		return cmp.Or(-cmp.Compare(abs(a.Self), abs(b.Self)), -cmp.Compare(abs(a.Total), abs(b.Total)), compareNames(a, b))
	})
}

// SortByTotal sorts functions by their totals without signs, the largest first.
func SortByTotal(rows []Function) {
	slices.SortFunc(rows, func(a, b Function) int {
		return cmp.Or(-cmp.Compare(abs(a.Total), abs(b.Total)), -cmp.Compare(abs(a.Self), abs(b.Self)), compareNames(a, b))
	})
}

func compareNames(a, b Function) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Executable, b.Executable))
}

// count adds up the samples' values.
func (g *graph) count(p *profile.Profile, index int) {
	// The last sample, counted from 1, in which a function was.
	seen := make([]int32, len(g.functions))
	for i, s := range p.Sample {
		value := s.Value[index]
		if value == 0 {
			continue
		}
		leaf := true
		for _, l := range s.Location {
			for _, n := range g.at[g.index.of(l)] {
				f := &g.functions[n]
				if leaf {
					f.Self += value
					leaf = false
				}
				if seen[n] != int32(i+1) {
					seen[n] = int32(i + 1)
					f.Total += value
				}
			}
		}
	}
}

// place finds out in which executables functions are, and whether they are only
// inlined, by the locations that samples have.
func (g *graph) place(p *profile.Profile) {
	seen := make([]bool, len(p.Location))
	for _, s := range p.Sample {
		for _, l := range s.Location {
			n := g.index.of(l)
			if seen[n] {
				continue
			}
			seen[n] = true
			functions := g.at[n]
			for i, n := range functions {
				f := &g.functions[n]
				if i == len(functions)-1 {
					f.Inlined = false
				}
				if l.Mapping == nil || l.Mapping.File == "" {
					continue
				}
				switch f.Executable {
				case "":
					f.Executable = l.Mapping.File
				case l.Mapping.File, Several:
				default:
					f.Executable = Several
				}
			}
		}
	}
}
