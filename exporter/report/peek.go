package report

import (
	"cmp"
	"slices"

	"regexp"
)

// Neighbours are a function with those that called it and that it called.
type Neighbours struct {
	Function
	Callers, Callees []Edge
}

// Edge is how much of a function's total came from one caller, or went into one
// callee. Calls of a function by itself are left out.
type Edge struct {
	// Function is the other one, with its own values.
	Function
	Value int64
	// Inlined says that all of these calls were.
	Inlined bool
}

// edge is a caller and a callee.
type edge struct{ from, to int32 }

type edgeValue struct {
	value  int64
	seen   int32 // number of the last sample with it, counted from 1
	called bool  // not only inlined
}

// Peek returns the functions whose Label matches, as Functions sorts them.
func (r *Report) Peek(names *regexp.Regexp) []Neighbours {
	g := newGraph(r.Profile)
	g.count(r.Profile, r.Value.Index)
	g.place(r.Profile)
	wanted := make([]bool, len(g.functions))
	for i, f := range g.functions {
		wanted[i] = (f.Self != 0 || f.Total != 0) && names.MatchString(f.Label())
	}

	edges := make(map[edge]*edgeValue)
	for i, s := range r.Profile.Sample {
		value := s.Value[r.Value.Index]
		if value == 0 {
			continue
		}
		from := int32(-1)
		for _, l := range slices.Backward(s.Location) {
			functions := g.at[g.index.of(l)]
			for k, to := range slices.Backward(functions) {
				if from >= 0 && from != to && (wanted[from] || wanted[to]) {
					e := edges[edge{from, to}]
					if e == nil {
						e = new(edgeValue)
						edges[edge{from, to}] = e
					}
					if e.seen != int32(i+1) {
						e.seen = int32(i + 1)
						e.value += value
					}
					e.called = e.called || k == len(functions)-1
				}
				from = to
			}
		}
	}

	number := make(map[functionKey]int)
	var found []Neighbours
	for i, f := range g.functions {
		if wanted[i] {
			number[f.key()] = i
			found = append(found, Neighbours{Function: f})
		}
	}
	slices.SortFunc(found, func(a, b Neighbours) int {
		return cmp.Or(-cmp.Compare(abs(a.Self), abs(b.Self)), -cmp.Compare(abs(a.Total), abs(b.Total)), compareNames(a.Function, b.Function))
	})
	place := make(map[int32]int, len(found)) // in found, by number
	for i, n := range found {
		place[int32(number[n.key()])] = i
	}
	for e, v := range edges {
		if i, ok := place[e.to]; ok {
			found[i].Callers = append(found[i].Callers, Edge{g.functions[e.from], v.value, !v.called})
		}
		if i, ok := place[e.from]; ok {
			found[i].Callees = append(found[i].Callees, Edge{g.functions[e.to], v.value, !v.called})
		}
	}
	for i := range found {
		sortEdges(found[i].Callers)
		sortEdges(found[i].Callees)
	}
	return found
}

func (f Function) key() functionKey {
	if f.Name != "" {
		return functionKey{name: f.Name}
	}
	return functionKey{executable: f.Executable}
}

func sortEdges(edges []Edge) {
	slices.SortFunc(edges, func(a, b Edge) int {
		return cmp.Or(-cmp.Compare(abs(a.Value), abs(b.Value)), compareNames(a.Function, b.Function))
	})
}
