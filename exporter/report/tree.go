package report

import (
	"cmp"
	"slices"
)

// Node is a function at one place of the call tree.
type Node struct {
	Function
	Children []*Node
	// Cut is how many children were left out, with everything below them.
	Cut int
}

// branch is a place in the tree while it is built.
type branch struct {
	parent, function int32
	self, total      int64
}

// Tree returns the call tree: the children of its root are the outermost
// functions. Of all nodes it keeps the most largest by total, with their
// callers; 0 keeps all.
func (r *Report) Tree(most int) *Node {
	g := newGraph(r.Profile)
	g.place(r.Profile)

	type step struct{ parent, function int32 }
	branches := []branch{{parent: -1, function: -1}}
	next := make(map[step]int32)
	for _, s := range r.Profile.Sample {
		value := s.Value[r.Value.Index]
		if value == 0 {
			continue
		}
		at := int32(0)
		branches[0].total += value
		for _, l := range slices.Backward(s.Location) {
			for _, f := range slices.Backward(g.at[g.index.of(l)]) {
				n, ok := next[step{at, f}]
				if !ok {
					n = int32(len(branches))
					branches = append(branches, branch{parent: at, function: f})
					next[step{at, f}] = n
				}
				at = n
				branches[at].total += value
			}
		}
		branches[at].self += value
	}

	keep := largest(branches, most)
	nodes := make([]*Node, len(branches))
	for i, b := range branches {
		// A parent comes before its children.
		if !keep[i] {
			if keep[b.parent] {
				nodes[b.parent].Cut++
			}
			continue
		}
		n := &Node{Function: Function{Self: b.self, Total: b.total}}
		if i > 0 {
			f := g.functions[b.function]
			f.Self, f.Total = b.self, b.total
			n.Function = f
			nodes[b.parent].Children = append(nodes[b.parent].Children, n)
		}
		nodes[i] = n
	}
	for _, n := range nodes {
		if n != nil {
			slices.SortFunc(n.Children, func(a, b *Node) int {
				return cmp.Or(-cmp.Compare(abs(a.Total), abs(b.Total)), compareNames(a.Function, b.Function))
			})
		}
	}
	return nodes[0]
}

// largest says which branches to keep.
func largest(branches []branch, most int) []bool {
	keep := make([]bool, len(branches))
	keep[0] = true
	order := make([]int32, 0, len(branches)-1)
	for i := range branches[1:] {
		if b := branches[i+1]; b.self != 0 || b.total != 0 {
			order = append(order, int32(i+1))
		}
	}
	if most > 0 && len(order) > most {
		slices.SortFunc(order, func(a, b int32) int {
			return cmp.Or(-cmp.Compare(abs(branches[a].total), abs(branches[b].total)), cmp.Compare(a, b))
		})
		order = order[:most]
	}
	for _, i := range order {
		for ; !keep[i]; i = branches[i].parent {
			keep[i] = true
		}
	}
	return keep
}
