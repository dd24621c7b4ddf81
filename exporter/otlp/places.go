package otlp

// places remembers at which index of a table the message with an ID is.
type places struct {
	// Profiles number their messages from 1 on, as a rule: near holds those up
	// to its length, and far the others. Both hold the index + 1.
	near []int32
	far  map[uint64]int32
}

func newPlaces[M any](messages []*M, id func(*M) uint64) places {
	last := uint64(0)
	for _, m := range messages {
		last = max(last, id(m))
	}
	return places{near: make([]int32, min(last, 2*uint64(len(messages)))+1)}
}

func (p *places) find(id uint64) (int32, bool) {
	var i int32
	if id < uint64(len(p.near)) {
		i = p.near[id]
	} else {
		i = p.far[id]
	}
	return i - 1, i > 0
}

func (p *places) set(id uint64, index int32) {
	if id < uint64(len(p.near)) {
		p.near[id] = index + 1
		return
	}
	if p.far == nil {
		p.far = make(map[uint64]int32)
	}
	p.far[id] = index + 1
}
