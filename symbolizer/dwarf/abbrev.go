package dwarf

// abbrevs is a table of abbreviations (DWARF 5, section 7.5.3): the tag and
// the attributes that an entry with a given code has.
type abbrevs struct {
	byCode []abbrev // of code 1 and on
	other  map[uint64]abbrev
	count  int // of attributes, for the accounting of memory
}

type abbrev struct {
	tag      uint16
	children bool
	// size is that of all attributes, -1 when it differs.
	size  int
	attrs []attr
}

type attr struct {
	name, form uint16
	value      int64 // with formImplicitConst
}

// abbrevKey is what the table depends on: its place, and what the sizes of
// forms depend on.
type abbrevKey struct {
	offset      uint64
	addressSize uint8
	wide        bool
	version     uint8
}

const (
	maxAbbrevBytes = 4 << 20
	maxAttrs       = 1 << 10 // of one entry
	maxAttrsKept   = 1 << 18 // of all tables kept
)

func (a *abbrevs) find(code uint64) (abbrev, bool) {
	if code-1 < uint64(len(a.byCode)) { // never with code 0
		return a.byCode[code-1], true
	}
	found, ok := a.other[code]
	return found, ok
}

// abbrevs returns the table that a unit uses.
func (f *file) abbrevs(u *unit) (*abbrevs, error) {
	key := abbrevKey{u.abbrevOffset, u.addressSize, u.wide, u.version}
	if a := f.abbrevTables[key]; a != nil {
		return a, nil
	}
	// Tables have no length. Most fit into the first piece.
	for size := uint64(16 << 10); ; size *= 16 {
		data, err := f.abbrev.bytes(u.abbrevOffset, size, &f.abbrevBuffer)
		if err != nil {
			return nil, err
		}
		b := buffer{data: data}
		a := parseAbbrevs(&b, u)
		if b.bad && uint64(len(data)) == size && size < maxAbbrevBytes {
			continue
		}
		if b.bad {
			return nil, malformed("abbreviations", u.abbrevOffset)
		}
		f.attrsKept += a.count
		if f.attrsKept > maxAttrsKept {
			clear(f.abbrevTables)
			f.attrsKept = a.count
		}
		f.abbrevTables[key] = a
		return a, nil
	}
}

func parseAbbrevs(b *buffer, u *unit) *abbrevs {
	a := &abbrevs{}
	var all []attr // of the whole table; those of an entry are a part of it
	for !b.bad {
		code := b.uleb()
		if code == 0 {
			break
		}
		e := abbrev{tag: uint16(b.uleb()), children: b.u8() != 0}
		first := len(all)
		for !b.bad {
			name, form := b.uleb(), b.uleb()
			value := int64(0)
			if form == formImplicitConst {
				value = b.sleb()
			}
			if name == 0 && form == 0 {
				break
			}
			if name > 0xffff || form > 0xffff || len(all)-first >= maxAttrs {
				b.fail()
				break
			}
			all = append(all, attr{uint16(name), uint16(form), value})
			if n := sizeOf(uint16(form), u); n < 0 || e.size < 0 {
				e.size = -1
			} else {
				e.size += n
			}
		}
		e.attrs = all[first:len(all):len(all)]
		if code == uint64(len(a.byCode))+1 {
			a.byCode = append(a.byCode, e)
			continue
		}
		if a.other == nil {
			a.other = make(map[uint64]abbrev)
		}
		if _, known := a.other[code]; !known && code > uint64(len(a.byCode)) {
			a.other[code] = e
		}
	}
	a.count = len(all) + 3*(len(a.byCode)+len(a.other))
	return a
}
