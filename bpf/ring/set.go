package ring

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// Set holds an event and its ring for each CPU. Its methods must not be called
// at the same time.
type Set struct {
	pages int
	open  func(cpu int) (fd int, err error)
	cpus  map[int]source
}

type source struct {
	fd   int
	ring *Ring
}

// NewSet returns a set without CPUs. Rings have that many memory pages, a power
// of two; open opens the event of a CPU.
func NewSet(pages int, open func(cpu int) (fd int, err error)) *Set {
	return &Set{pages: pages, open: open, cpus: make(map[int]source)}
}

// Sync follows CPUs that came or went: afterwards the set has exactly those
// given, without any that went offline in the meantime. last gets the rings of
// those that left, to take what is still in them.
func (s *Set) Sync(online []int, last func(cpu int, r *Ring)) error {
	for _, cpu := range slices.Sorted(maps.Keys(s.cpus)) {
		if slices.Contains(online, cpu) {
			continue
		}
		gone := s.cpus[cpu]
		delete(s.cpus, cpu)
		last(cpu, gone.ring)
		if err := gone.close(); err != nil {
			return fmt.Errorf("close ring of CPU %d: %w", cpu, err)
		}
	}
	for _, cpu := range online {
		if _, have := s.cpus[cpu]; have {
			continue
		}
		fd, err := s.open(cpu)
		if errors.Is(err, unix.ENODEV) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open ring of CPU %d: %w", cpu, err)
		}
		ring, err := mapRing(fd, s.pages)
		if err != nil {
			return errors.Join(fmt.Errorf("map ring of CPU %d, %d pages: %w", cpu, s.pages, err), unix.Close(fd))
		}
		s.cpus[cpu] = source{fd, ring}
	}
	return nil
}

// Each goes through the rings, in the order of their CPUs.
func (s *Set) Each(f func(cpu int, r *Ring)) {
	for _, cpu := range slices.Sorted(maps.Keys(s.cpus)) {
		f(cpu, s.cpus[cpu].ring)
	}
}

// Close closes every ring. What is in them is gone.
func (s *Set) Close() error {
	var errs []error
	for cpu, source := range s.cpus {
		errs = append(errs, source.close())
		delete(s.cpus, cpu)
	}
	return errors.Join(errs...)
}

func (s source) close() error { return errors.Join(s.ring.unmap(), unix.Close(s.fd)) }
