package process

// numbers gives out chunk numbers from first to limit (exclusive), and knows what
// they stand for.
type numbers struct {
	first, limit uint32
	pieces       []piece // by number - first
	free         []uint32
}

// take returns a number for a piece, 0 when there is none left.
func (n *numbers) take(p piece) uint32 {
	if last := len(n.free) - 1; last >= 0 {
		number := n.free[last]
		n.free = n.free[:last]
		n.pieces[number-n.first] = p
		return number
	}
	number := n.first + uint32(len(n.pieces))
	if number == n.limit {
		return 0
	}
	n.pieces = append(n.pieces, p)
	return number
}

// give says that nothing refers to a number any more.
func (n *numbers) give(number uint32) {
	n.pieces[number-n.first] = piece{}
	n.free = append(n.free, number)
}

// at returns what a number stands for; the executable is nil for nothing.
func (n *numbers) at(number uint32) piece {
	if number < n.first || number-n.first >= uint32(len(n.pieces)) {
		return piece{}
	}
	return n.pieces[number-n.first]
}

// used is how many numbers stand for something.
func (n *numbers) used() int { return len(n.pieces) - len(n.free) }
