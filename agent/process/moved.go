package process

import (
	"bytes"
	"io"

	"golang.org/x/sys/unix"
)

// programCode is where the kernel has put a program's code, from its first
// executable segment to the end of its last.
type programCode struct {
	known      bool // /proc was asked
	start, end uint64
}

// mayHold says whether memory lies where the program's code is, as far as is known.
func (i *Image) mayHold(w wanted) bool {
	return !i.code.known || w.start < i.code.end && w.end > i.code.start
}

// moved recognizes a program's own code in memory without a file. Programs that want
// their code on huge pages copy it there, and put the copy in the place of the
// mapping of their file: the kernel has no name for it afterwards. It is that code if
// it lies where the program was loaded and holds what the file holds.
func (t *Table) moved(i *Image, d *procDir, r region) region {
	if !i.code.known {
		i.code = programCode{known: true}
		i.code.start, i.code.end, _ = d.code()
	}
	page := t.executables.pageSize - 1
	if i.code.start >= i.code.end || r.start < i.code.start&^page || r.start >= i.code.end {
		return r
	}
	path, err := d.readlink("exe")
	if err != nil {
		return r
	}
	fd, err := unix.Openat(d.fd, "exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return r
	}
	h, _ := newHandle(fd)
	if h == nil {
		return r
	}
	defer h.close()
	path, _ = cutDeleted(path)
	e := t.executables.ofFile(h, wanted{path: path}, d)
	if e == nil || e.mapping.File == nil {
		return r
	}
	s, bias, ok := e.identity.segmentAt(r.start, i.code.start, page)
	if !ok {
		return r
	}
	// What is in the file, and not the rest of its pages, or of huge ones.
	start, end := max(r.start, s.address+bias), min(r.end, s.address+bias+s.size)
	mem, err := d.open("mem")
	if err != nil {
		return r
	}
	defer mem.Close()
	if start >= end || !sameBytes(mem, start, e.mapping.File, start-bias-s.address+s.offset, end-start) {
		return r
	}
	return region{start: r.start, end: min(r.end, (end+page)&^page), offset: r.start - bias - s.address + s.offset, executable: e}
}

// segmentAt returns the executable segment whose pages hold an address, and how far
// it lies from where the file says, when the first one's code is at codeStart.
func (id *identity) segmentAt(address, codeStart, page uint64) (found segment, bias uint64, ok bool) {
	first, _, _ := id.bounds()
	bias = codeStart - first
	for _, s := range id.segments {
		if start := s.address + bias; s.executable && address >= start&^page && address < start+s.size {
			return s, bias, true
		}
	}
	return segment{}, 0, false
}

// mostCompared is how many pieces of 4 KiB of the code are compared, evenly spread.
const mostCompared = 64

// sameBytes says whether two readers hold the same n bytes at a and b, by all of them
// or by some pieces, the first and the last included.
func sameBytes(one io.ReaderAt, a uint64, other io.ReaderAt, b, n uint64) bool {
	const piece = 4096
	var x, y [piece]byte
	pieces := (n + piece - 1) / piece
	compared := min(pieces, mostCompared)
	for k := range compared {
		at := k
		if compared > 1 {
			at = k * (pieces - 1) / (compared - 1)
		}
		at *= piece
		size := min(piece, n-at)
		if read, _ := one.ReadAt(x[:size], int64(a+at)); uint64(read) != size {
			return false
		}
		if read, _ := other.ReadAt(y[:size], int64(b+at)); uint64(read) != size || !bytes.Equal(x[:size], y[:size]) {
			return false
		}
	}
	return true
}
