package symbolizer

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/staccato-profiler/staccato"
)

// TestLimit reads three programs where only two have room.
func TestLimit(t *testing.T) {
	path := program(t, "-static")
	address := addressOf(t, path, "main")
	mappings := []*staccato.Mapping{mapping(t, path), mapping(t, path), mapping(t, path)}
	symbolize := func(s *Symbolizer, i int) *staccato.Frame {
		f := &staccato.Frame{Mapping: mappings[i], Address: address}
		s.Symbolize([]*staccato.Frame{f})
		return f
	}
	one := New(Config{})
	symbolize(one, 0)
	size := one.Stats().Bytes

	done := map[*staccato.Mapping]int{}
	s := New(Config{MemoryLimit: size*2 + size/2, Done: func(m *staccato.Mapping) { done[m]++ }})
	for _, i := range []int{0, 1, 0, 2} { // 1 is the one not used for longest
		if f := symbolize(s, i); names(f) != "main" {
			t.Fatalf("frame is %q", names(f))
		}
		if stats := s.Stats(); stats.Bytes > size*2+size/2 {
			t.Errorf("%d bytes are more than the limit", stats.Bytes)
		}
	}
	if !s.Built(mappings[0]) || s.Built(mappings[1]) || !s.Built(mappings[2]) || s.Stats().Dropped != 1 || s.Stats().Tables != 2 {
		t.Errorf("built are %v %v %v, stats %+v", s.Built(mappings[0]), s.Built(mappings[1]), s.Built(mappings[2]), s.Stats())
	}
	if f := symbolize(s, 1); names(f) != "main" || done[mappings[1]] != 2 {
		t.Errorf("read again, frame is %q, done was called %d times", names(f), done[mappings[1]])
	}
	// By now 0 was dropped; it cannot be read once its file is closed.
	mappings[0].File.(*content).close()
	if f := symbolize(s, 0); f.Lines != nil || !strings.Contains(s.Reason(mappings[0]), os.ErrClosed.Error()) {
		t.Errorf("frame is %q, reason %q", names(f), s.Reason(mappings[0]))
	}
}

// TestAnswersAreBounded asks for far more addresses than the limit has room
// for answers.
func TestAnswersAreBounded(t *testing.T) {
	m := mapping(t, program(t))
	const limit = 256 << 10
	s := New(Config{MemoryLimit: limit})
	for i := range 100 {
		var frames []*staccato.Frame
		for j := range 1000 {
			frames = append(frames, &staccato.Frame{Mapping: m, Address: uint64(i*1000 + j)})
		}
		s.Symbolize(frames)
		if stats := s.Stats(); stats.Bytes > limit || stats.Dropped > 0 {
			t.Fatalf("%+v", stats)
		}
	}
}

// TestConcurrent is for the race detector.
func TestConcurrent(t *testing.T) {
	path := program(t, "-static")
	address := addressOf(t, path, "main")
	var mappings []*staccato.Mapping
	for range 4 {
		mappings = append(mappings, mapping(t, path))
	}
	one := New(Config{})
	one.Symbolize([]*staccato.Frame{{Mapping: mappings[0], Address: address}})
	s := New(Config{MemoryLimit: 2*one.Stats().Bytes + 1, Done: func(*staccato.Mapping) {}})
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for j := range 30 {
				m := mappings[(i+j)%len(mappings)]
				user := &staccato.Frame{Mapping: m, Address: address}
				kernel := &staccato.Frame{Kind: staccato.KindKernel, Address: 0xffffffff81000000}
				s.Symbolize([]*staccato.Frame{user, kernel})
				if names(user) != "main" {
					t.Errorf("frame is %q: %s", names(user), s.Reason(m))
				}
				s.Stats()
				s.Built(m)
				if i == 0 && j%10 == 0 {
					if err := s.Refresh(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wait.Wait()
}
