package symbolizer

import (
	"time"

	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
)

// Debug files may be installed while executables run. So now and then it is looked
// whether there are any where they were missed, besides the naming of frames.
const (
	// lookEvery is how often.
	lookEvery = 5 * time.Minute
	// lookPause comes after each table: looking at one takes some 20 µs, and there may
	// be very many.
	lookPause = time.Millisecond
	// maxNewsOfUser is how many tables of files of one user other than root are read
	// again because of one look: who changes files all the time gets no more.
	maxNewsOfUser = 8
	// maxQuiet is how often the time doubles that a table is left alone: it does with
	// all news, for those that make no difference.
	maxQuiet = 8
)

// look begins to look for better files when that is due.
func (s *Symbolizer) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looking || time.Since(s.looked) < s.lookEvery {
		return
	}
	s.looking = true
	go s.lookAtAll()
}

func (s *Symbolizer) lookAtAll() {
	ofUser := make(map[uint32]int)
	for _, t := range s.all() {
		places := t.dueFor(time.Now())
		if places == nil {
			continue
		}
		user := ownerOf(t.mapping)
		if (user == 0 || ofUser[user] < maxNewsOfUser) && places.News() {
			ofUser[user]++
			t.readAgain(time.Now(), s.lookEvery)
		}
		time.Sleep(lookPause)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looking, s.looked = false, time.Now()
}

// dueFor returns where files may have appeared that would make more of the table, nil
// when they are not to be looked for.
func (t *table) dueFor(now time.Time) *debugfile.Places {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.improving > 0 || now.Before(t.quiet) {
		return nil
	}
	return t.places
}

// readAgain has the symbols read when they are next used, and the table left alone
// for longer each time.
func (t *table) readAgain(now time.Time, every time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.news = min(t.news+1, maxQuiet)
	t.quiet = now.Add(every << t.news)
	t.expire()
}
