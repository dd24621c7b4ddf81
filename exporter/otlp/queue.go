package otlp

// item is an encoded request and what it carries.
type item struct {
	data  []byte
	count Count
}

// queue holds requests that wait, the oldest first. The caller locks it.
type queue struct {
	waiting []item
	// bytes is the size of what waits and of what was taken and is not done.
	bytes, limit int64
}

// push appends an item and returns those that had to make room: the oldest
// ones, or the item itself when not even an otherwise empty queue has room.
// The one that is being sent stays.
func (q *queue) push(it item) (dropped []item) {
	size := int64(len(it.data))
	for q.bytes+size > q.limit && len(q.waiting) > 0 {
		oldest, _ := q.take()
		q.done(oldest)
		dropped = append(dropped, oldest)
	}
	if q.bytes+size > q.limit {
		return append(dropped, it)
	}
	q.waiting = append(q.waiting, it)
	q.bytes += size
	return dropped
}

// take removes the oldest item. Its bytes still count until done.
func (q *queue) take() (item, bool) {
	if len(q.waiting) == 0 {
		return item{}, false
	}
	it := q.waiting[0]
	q.waiting[0] = item{} // let go of its data
	q.waiting = q.waiting[1:]
	return it, true
}

func (q *queue) done(it item) { q.bytes -= int64(len(it.data)) }
