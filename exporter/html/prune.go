package html

import "slices"

// pruned is the builder's tree without what is too small, in the order in
// which it is written.
type pruned struct {
	b *builder
	// nodes are in preorder, the root first; parents are indexes into it.
	nodes []node
	rows  []prunedRow
	// merged is how many nodes became "(other)".
	merged int
}

// prunedRow is the sum of the rows that a node has in one context.
type prunedRow struct {
	node, context uint32
	values        []int64 // by column
}

// prune merges, below each node, the calls whose share is below minShare (from
// 0 to 1) in every column into one frame. Sums over contexts stay as they are.
func (b *builder) prune(minShare float64) *pruned {
	keep, merged := b.large(minShare)
	// home is where each node's samples go: itself, or the frame that stands
	// for it and its like.
	home := make([]uint32, len(b.nodes))
	tree := slices.Clone(b.nodes)
	others := make(map[uint32]uint32)
	other := uint32(0)
	if merged > 0 {
		name := b.strings.number("(other)")
		other = b.frames.number(frame{function: b.functions.number(function{name: name, binary: b.binaries.number(binary{})}), kind: b.kinds.number(kindOther)})
	}
	for i := 1; i < len(b.nodes); i++ {
		parent := b.nodes[i].parent
		switch {
		case keep[i]:
			home[i] = uint32(i)
		case !keep[parent]:
			home[i] = home[parent]
		default:
			o, ok := others[parent]
			if !ok {
				o = uint32(len(tree))
				tree = append(tree, node{parent, other})
				others[parent] = o
			}
			home[i] = o
		}
	}

	order := preorder(tree, func(i int) bool { return i >= len(b.nodes) || keep[i] })
	p := &pruned{b: b, nodes: make([]node, len(order)), merged: merged}
	position := make([]uint32, len(tree))
	for at, i := range order {
		position[i] = uint32(at)
		p.nodes[at] = node{position[tree[i].parent], tree[i].frame}
	}

	rows := make(map[rowKey]int, len(b.rowList))
	for r, key := range b.rowList {
		key.node = position[home[key.node]]
		at, ok := rows[key]
		if !ok {
			at = len(p.rows)
			rows[key] = at
			p.rows = append(p.rows, prunedRow{key.node, key.context, make([]int64, len(b.values))})
		}
		for c, column := range b.values {
			p.rows[at].values[c] += column[r]
		}
	}
	slices.SortFunc(p.rows, func(a, c prunedRow) int {
		if a.node != c.node {
			return int(a.node) - int(c.node)
		}
		return int(a.context) - int(c.context)
	})
	return p
}

// large says which nodes have at least the share of any column's total, and
// counts the others. With a share of 0 all are kept.
func (b *builder) large(minShare float64) (keep []bool, small int) {
	keep = make([]bool, len(b.nodes))
	for i := range keep {
		keep[i] = i == 0 || minShare == 0
	}
	if minShare == 0 {
		return keep, 0
	}
	totals := make([]int64, len(b.nodes))
	for _, column := range b.values {
		clear(totals)
		for r, key := range b.rowList {
			totals[key.node] += column[r]
		}
		for i := len(b.nodes) - 1; i > 0; i-- {
			totals[b.nodes[i].parent] += totals[i]
		}
		for i, total := range totals {
			keep[i] = keep[i] || float64(total) >= minShare*float64(totals[0]) && total > 0
		}
	}
	for _, k := range keep {
		if !k {
			small++
		}
	}
	return keep, small
}

// preorder returns the indexes of the nodes that are kept, parents before
// children, children by their frame.
func preorder(tree []node, keep func(int) bool) []uint32 {
	// The children of each node, as ranges of one list.
	first := make([]uint32, len(tree)+1)
	for i := 1; i < len(tree); i++ {
		if keep(i) {
			first[tree[i].parent+1]++
		}
	}
	for i := range tree {
		first[i+1] += first[i]
	}
	list, next := make([]uint32, first[len(tree)]), slices.Clone(first)
	for i := 1; i < len(tree); i++ {
		if keep(i) {
			list[next[tree[i].parent]] = uint32(i)
			next[tree[i].parent]++
		}
	}

	order, waiting := make([]uint32, 0, len(list)+1), []uint32{0}
	for len(waiting) > 0 {
		i := waiting[len(waiting)-1]
		waiting = waiting[:len(waiting)-1]
		order = append(order, i)
		children := list[first[i]:first[i+1]]
		slices.SortFunc(children, func(a, c uint32) int { return int(tree[c].frame) - int(tree[a].frame) })
		waiting = append(waiting, children...) // the last one is taken first
	}
	return order
}
