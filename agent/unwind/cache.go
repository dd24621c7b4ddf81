package unwind

import (
	"container/list"
	"sync"

	"github.com/staccato-profiler/staccato"
)

// cacheBytes bounds the sources that are kept: unwinding the first samples of a
// program asks for the same few again and again.
const cacheBytes = 16 << 20

// Cache opens sources and keeps those used last. It is safe for concurrent use.
type Cache struct {
	mu     sync.Mutex
	known  map[*staccato.Mapping]*list.Element
	recent list.List // of *cached, the one used last in front
	bytes  int64
}

type cached struct {
	mapping *staccato.Mapping
	once    sync.Once
	source  *Source
	err     error
	counted int64
}

// Open returns the source of an executable, or why there is none.
func (c *Cache) Open(m *staccato.Mapping) (*Source, error) {
	e := c.entry(m)
	e.once.Do(func() {
		if e.err = ErrNoRows; m.File != nil {
			e.source, e.err = Open(m.File)
		}
		c.count(e)
	})
	return e.source, e.err
}

// Has says whether Open has been called for an executable, and it was kept.
func (c *Cache) Has(m *staccato.Mapping) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.known[m] != nil
}

func (c *Cache) entry(m *staccato.Mapping) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil {
		c.known = make(map[*staccato.Mapping]*list.Element)
	}
	element := c.known[m]
	if element == nil {
		element = c.recent.PushFront(&cached{mapping: m})
		c.known[m] = element
	}
	c.recent.MoveToFront(element)
	return element.Value.(*cached)
}

// count adds what an entry takes, and drops the entries used the longest time
// ago.
func (c *Cache) count(e *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if kept := c.known[e.mapping]; kept == nil || kept.Value != e {
		return // others were opened meanwhile, and it has been dropped
	}
	const small = 512
	e.counted = small
	if e.source != nil {
		e.counted += e.source.size
	}
	c.bytes += e.counted
	for last := c.recent.Back(); c.bytes > cacheBytes && last != c.recent.Front(); last = c.recent.Back() {
		old := last.Value.(*cached)
		c.bytes -= old.counted
		c.recent.Remove(last)
		delete(c.known, old.mapping)
	}
}
