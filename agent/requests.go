package agent

import (
	"slices"
	"sync"
)

// requests are the tables that wait to be made. Those that a sample has asked
// for come before those that only may be of use.
type requests struct {
	mu     sync.Mutex
	more   sync.Cond
	asked  []wantedTable
	likely []wantedTable
	closed bool
}

func newRequests() *requests {
	r := &requests{}
	r.more.L = &r.mu
	return r
}

func (r *requests) add(w wantedTable) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if w.asked {
		r.asked = append(r.asked, w)
	} else {
		r.likely = append(r.likely, w)
	}
	r.more.Signal()
}

// hurry says that a sample has asked for a chunk's table.
func (r *requests) hurry(chunk uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.IndexFunc(r.likely, func(w wantedTable) bool { return w.chunk == chunk }); i >= 0 {
		r.likely[i].asked = true
		r.asked = append(r.asked, r.likely[i])
		r.likely = slices.Delete(r.likely, i, i+1)
	}
}

// next waits for a request. ok is false when there will be none.
func (r *requests) next() (w wantedTable, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed {
		for _, list := range []*[]wantedTable{&r.asked, &r.likely} {
			if len(*list) > 0 {
				w = (*list)[0]
				*list = slices.Delete(*list, 0, 1)
				return w, true
			}
		}
		r.more.Wait()
	}
	return w, false
}

func (r *requests) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.more.Broadcast()
}
