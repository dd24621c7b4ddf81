package dwarf

// Entries of range lists (DWARF 5, section 7.25).
const (
	rangeBaseIndex   = 1
	rangeIndexIndex  = 2
	rangeIndexLength = 3
	rangeOffsets     = 4
	rangeBase        = 5
	rangeStartLimit  = 6
	rangeStartLength = 7
)

// stream reads a section from an offset on.
type stream struct {
	section *section
	offset  uint64
	reader  *Reader
	bad     bool
}

func (s *stream) u8() uint8 {
	b, err := s.section.at(s.offset)
	if err != nil || len(b) == 0 || !s.reader.spend(1) {
		s.bad = true
		return 0
	}
	s.offset++
	return b[0]
}

func (s *stream) uleb() uint64 {
	v := uint64(0)
	for shift := 0; ; shift += 7 {
		c := s.u8()
		v |= uint64(c&0x7f) << min(shift, 64)
		if c < 0x80 {
			return v
		}
	}
}

func (s *stream) number(size int) uint64 {
	n, ok := s.section.number(s.offset, size)
	if !ok || !s.reader.spend(uint64(size)) {
		s.bad = true
		return 0
	}
	s.offset += uint64(size)
	return n
}

// readRanges adds the ranges of a list to the present scope.
func (r *Reader) readRanges(u *unit, v value) {
	if u.version < 5 {
		offset := v.number
		if u.skeleton != nil {
			offset += u.split.rangesBase
		}
		r.readRangesOld(u, offset)
		return
	}
	offset := v.number
	if v.form == formRnglistx {
		size := u.offsetSize()
		if v.number > u.file.rnglists.size {
			return
		}
		relative, ok := u.file.rnglists.number(u.rnglistsBase+v.number*uint64(size), size)
		if !ok {
			return
		}
		offset = u.rnglistsBase + relative
	}
	s := stream{section: u.file.rnglists, offset: offset, reader: r}
	size := int(u.addressSize)
	for base := u.low; !s.bad && r.roomForRange(); {
		var start, limit uint64
		ok := true
		switch s.u8() {
		default: // the end, or nothing that can be read
			return
		case rangeBaseIndex:
			base, _ = u.indexedAddress(s.uleb())
			continue
		case rangeBase:
			base = s.number(size)
			continue
		case rangeIndexIndex:
			var ok2 bool
			start, ok = u.indexedAddress(s.uleb())
			limit, ok2 = u.indexedAddress(s.uleb())
			ok = ok && ok2
		case rangeIndexLength:
			start, ok = u.indexedAddress(s.uleb())
			limit = start + s.uleb()
		case rangeOffsets:
			start = base + s.uleb()
			limit = base + s.uleb()
		case rangeStartLimit:
			start = s.number(size)
			limit = s.number(size)
		case rangeStartLength:
			start = s.number(size)
			limit = start + s.uleb()
		}
		if ok && !s.bad {
			r.addRange(start, limit)
		}
	}
}

// readRangesOld reads a list of .debug_ranges (DWARF 4, section 2.17.3).
func (r *Reader) readRangesOld(u *unit, offset uint64) {
	s := stream{section: u.file.ranges, offset: offset, reader: r}
	size := int(u.addressSize)
	selectBase := ^uint64(0) >> (64 - 8*size)
	for base := u.low; !s.bad && r.roomForRange(); {
		start, limit := s.number(size), s.number(size)
		switch {
		case s.bad || start == 0 && limit == 0:
			return
		case start == selectBase:
			base = limit
		default:
			r.addRange(base+start, base+limit)
		}
	}
}

// roomForRange bounds the ranges of a unit.
func (r *Reader) roomForRange() bool {
	return int64(len(r.unit.Ranges))*rangeBytes < r.limit/4
}
