// Package perfmap names code that a program generated while it ran, from the
// list that such programs write for perf: a line for each piece of code, with
// where it begins and its size in hex, and a name.
//
//	7f3a5c2a1000 1c0 py::fib:/srv/app.py
//
// The format is that of the kernel's tools/perf/Documentation/jit-interface.txt.
// Programs append to the list for as long as they live, and put new code where
// old code was: of lines about the same bytes, the last one counts.
package perfmap

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strings"

	"github.com/staccato-profiler/staccato"
)

// Config says how much of a list is read. The zero value of each field is its
// default.
type Config struct {
	// Limit is how much memory the names may take, in bytes; default 16 MiB.
	Limit int64
	// MaxRead is how much of a file is read, in bytes; default 256 MiB.
	MaxRead int64
}

// ErrTooLarge says that a list exceeds the limits. Nothing is named then: the
// lines that were not read may be about code in the place of what was.
var ErrTooLarge = errors.New("the perf map is too large")

// Map is what was read of a list so far. It is for one goroutine.
type Map struct {
	config  Config
	entries []entry // in order, without overlaps
	names   int64   // bytes of all names
	full    bool    // ErrTooLarge

	next      int64  // offset of the first line that was not read
	seen      []byte // what lies right before it
	skipping  bool   // the line at next began before it, and is too long
	malformed int
	sample    string // the first malformed line
}

// entry is a piece of code: the bytes from start to end, exclusive.
type entry struct {
	start, end uint64
	name       string
}

// entryBytes is the size of an entry without its name.
const entryBytes = 32

// New returns an empty Map.
func New(config Config) *Map {
	if config.Limit == 0 {
		config.Limit = 16 << 20
	}
	if config.MaxRead == 0 {
		config.MaxRead = 256 << 20
	}
	return &Map{config: config}
}

// Resolve returns the code that the address lies in, as one line without a
// file.
func (m *Map) Resolve(address uint64) ([]staccato.Line, bool) {
	i := sort.Search(len(m.entries), func(i int) bool { return m.entries[i].end > address })
	if i == len(m.entries) || m.entries[i].start > address {
		return nil, false
	}
	name := m.entries[i].name
	return []staccato.Line{{Function: &staccato.Function{Name: name, SystemName: name}}}, true
}

// Size returns the bytes of memory that the map occupies.
func (m *Map) Size() int64 { return int64(cap(m.entries))*entryBytes + m.names }

// Reason says in a few words what is wrong with what was read, "" when nothing
// is.
func (m *Map) Reason() string {
	switch {
	case m.malformed == 1:
		return fmt.Sprintf("a line of the perf map is malformed: %q", m.sample)
	case m.malformed > 1:
		return fmt.Sprintf("%d lines of the perf map are malformed, such as %q", m.malformed, m.sample)
	}
	return ""
}

// take adds the entries of new lines, in the order of the lines.
func (m *Map) take(added []entry) {
	m.entries = overlay(m.entries, settle(added))
	m.names = 0
	for i := range m.entries {
		if i == 0 || m.entries[i].name != m.entries[i-1].name {
			m.names += int64(len(m.entries[i].name))
		}
	}
}

// settle sorts entries, of which the later count more, and removes overlaps.
func settle(entries []entry) []entry {
	if len(entries) < 2 {
		return entries
	}
	half := len(entries) / 2
	return overlay(settle(entries[:half]), settle(entries[half:]))
}

// overlay returns both lists in one, which like them is in order and without
// overlaps. Of old entries only what new ones do not cover remains.
func overlay(old, added []entry) []entry {
	if len(old) == 0 || len(added) == 0 || old[len(old)-1].end <= added[0].start {
		return append(old[:len(old):len(old)], added...)
	}
	all := make([]entry, 0, len(old)+len(added))
	var first entry // what is left of the first old one
	some := false
	pull := func() {
		if some = len(old) > 0; some {
			first, old = old[0], old[1:]
		}
	}
	pull()
	for _, n := range added {
		for some && first.end <= n.start {
			all = append(all, first)
			pull()
		}
		if some && first.start < n.start {
			all = append(all, entry{first.start, n.start, first.name})
		}
		all = append(all, n)
		for some && first.end <= n.end {
			pull()
		}
		if some {
			first.start = max(first.start, n.end)
		}
	}
	for some {
		all = append(all, first)
		pull()
	}
	return all
}

// parse reads a line without its end.
func parse(line []byte) (entry, bool) {
	start, rest, ok := number(line)
	if !ok {
		return entry{}, false
	}
	size, rest, ok := number(rest)
	name := bytes.TrimSpace(rest)
	if !ok || len(name) == 0 || start+size < start {
		return entry{}, false
	}
	// Profiles can hold only UTF-8.
	return entry{start, start + size, strings.ToValidUTF8(string(name), "?")}, true
}

// number reads a hexadecimal number and the space behind it.
func number(text []byte) (n uint64, rest []byte, ok bool) {
	text = bytes.TrimPrefix(text, []byte("0x"))
	end := bytes.IndexByte(text, ' ')
	if end < 1 || end > 16 {
		return 0, nil, false
	}
	for _, c := range text[:end] {
		digit := c - '0'
		switch {
		case c >= '0' && c <= '9':
		case c >= 'a' && c <= 'f':
			digit = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			digit = c - 'A' + 10
		default:
			return 0, nil, false
		}
		n = n<<4 | uint64(digit)
	}
	return n, text[end+1:], true
}
