package process

// budget bounds how much time a kind of work takes: one part in share of the time
// that passes, and as much as most at once. Times are nanoseconds.
type budget struct {
	share, most uint64
	left        int64
	at          uint64 // when left was right
}

func newBudget(share, most, now uint64) budget {
	return budget{share: share, most: most, left: int64(most), at: now}
}

// allows says whether there is any time left.
func (b *budget) allows(now uint64) bool {
	if earned := int64(min((now-b.at)/b.share, b.most)); now > b.at && earned > 0 {
		b.left, b.at = min(b.left+earned, int64(b.most)), now
	}
	return b.left > 0
}

func (b *budget) spend(took uint64) { b.left -= int64(took) }
