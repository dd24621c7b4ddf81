package unwind

import (
	"bytes"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/staccato-profiler/staccato"
)

func TestCache(t *testing.T) {
	var c Cache
	good, bad, none := &staccato.Mapping{File: bytes.NewReader(small())}, &staccato.Mapping{File: bytes.NewReader(nil)}, &staccato.Mapping{}
	first, err := c.Open(good)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := c.Open(good); again != first || err != nil {
		t.Errorf("%p, %v, want %p", again, err, first)
	}
	if s, err := c.Open(none); s != nil || !errors.Is(err, ErrNoRows) {
		t.Errorf("without a file: %v, %v", s, err)
	}
	s, err := c.Open(bad)
	if s != nil || err == nil {
		t.Errorf("no ELF file: %v, %v", s, err)
	}
	if _, again := c.Open(bad); again != err {
		t.Errorf("then %v", again)
	}
}

// What was used the longest time ago goes when there is more than fits, and only
// then.
func TestCacheForgets(t *testing.T) {
	b, err := os.ReadFile(library(t, "gcc", "libcrypto.so.3"))
	if err != nil {
		t.Fatal(err)
	}
	var c Cache
	mappings := make([]*staccato.Mapping, 40)
	var size int64
	for i := range mappings {
		mappings[i] = &staccato.Mapping{File: bytes.NewReader(b)}
		s, err := c.Open(mappings[i])
		if err != nil {
			t.Fatal(err)
		}
		size = s.size
		c.Open(mappings[0])
		if c.bytes > cacheBytes || c.bytes < min(cacheBytes-size-1024, int64(i+1)*size) {
			t.Fatalf("after %d sources of %d bytes: %d bytes", i+1, size, c.bytes)
		}
	}
	if len(c.known) != c.recent.Len() || len(c.known) >= len(mappings) || c.known[mappings[0]] == nil || c.known[mappings[39]] == nil || c.known[mappings[1]] != nil {
		t.Errorf("%d are known, %d in the list", len(c.known), c.recent.Len())
	}
}

func TestCacheConcurrent(t *testing.T) {
	var c Cache
	m := &staccato.Mapping{File: bytes.NewReader(small())}
	var group sync.WaitGroup
	sources := make([]*Source, 8)
	for i := range sources {
		group.Go(func() {
			for range 100 {
				sources[i], _ = c.Open(m)
				c.Open(&staccato.Mapping{})
			}
		})
	}
	group.Wait()
	for _, s := range sources {
		if s == nil || s != sources[0] {
			t.Errorf("%p and %p", s, sources[0])
		}
	}
}

// An executable that is dropped while it is being opened takes none of the room.
func TestDroppedWhileOpened(t *testing.T) {
	var c Cache
	first := c.entry(&staccato.Mapping{})
	second := c.entry(&staccato.Mapping{})
	second.source = &Source{size: cacheBytes + 1}
	c.count(second)
	c.count(first)
	if c.Has(first.mapping) || c.bytes != second.counted {
		t.Errorf("%d bytes are counted, %d of what is kept", c.bytes, second.counted)
	}
}
