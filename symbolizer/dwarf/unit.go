package dwarf

import "sort"

// unit is a unit's header and what its root entry says.
type unit struct {
	file          *file
	offset, limit uint64 // in .debug_info, from the header on
	entries       uint64 // where the first entry is
	abbrevOffset  uint64
	version       uint8
	addressSize   uint8
	wide          bool // the 64-bit format
	language      uint16
	partial       bool // to be imported by others; has no code of its own
	rootRead      bool

	hasLines       bool
	lines          uint64 // in .debug_line
	folder         string // of compilation
	low            uint64
	strOffsetsBase uint64
	addrBase       uint64
	rnglistsBase   uint64
	split          split
	skeleton       *unit // whose rest this one is, or nil
}

func (u *unit) offsetSize() int {
	if u.wide {
		return 8
	}
	return 4
}

// Types of units (DWARF 5, section 7.5.1).
const (
	unitCompile      = 0x01
	unitType         = 0x02
	unitPartial      = 0x03
	unitSkeleton     = 0x04
	unitSplitCompile = 0x05
	unitSplitType    = 0x06
)

// readUnits finds all units but those of types.
func (f *file) readUnits() error {
	var piece []byte
	for offset := uint64(0); offset < f.info.size; {
		u, known, err := f.unitHeader(offset, &piece)
		if err != nil {
			return err
		}
		if known {
			if int64(len(f.units))*unitBytes > f.reader.limit/4 {
				return ErrTooLarge
			}
			f.units = append(f.units, u)
		}
		offset = u.limit
	}
	if len(f.units) == 0 {
		return ErrNoDebugInfo
	}
	return nil
}

// unitHeader reads the header of the unit at offset. It is known when it is one
// that can be read, and not of types; where it ends is right in any case.
func (f *file) unitHeader(offset uint64, piece *[]byte) (u unit, known bool, err error) {
	data, err := f.info.bytes(offset, 40, piece)
	if err != nil {
		return unit{}, false, err
	}
	b := buffer{data: data}
	u = unit{file: f, offset: offset}
	size, wide := b.length()
	if b.bad || size == 0 || size > f.info.size-offset-uint64(b.at) {
		return unit{}, false, malformed("unit", offset)
	}
	u.wide = wide
	u.limit = offset + uint64(b.at) + size
	version := b.u16()
	kind := uint8(unitCompile)
	if version >= 5 {
		kind, u.addressSize = b.u8(), b.u8()
		u.abbrevOffset = b.offset(wide)
	} else {
		u.abbrevOffset, u.addressSize = b.offset(wide), b.u8()
	}
	if kind == unitSkeleton || kind == unitSplitCompile {
		u.split.id = b.u64()
	}
	u.entries = offset + uint64(b.at)
	u.partial = kind == unitPartial
	u.version = uint8(min(version, 0xff))
	known = version >= 2 && version <= 5 && (u.addressSize == 4 || u.addressSize == 8)
	return u, known && !b.bad && u.entries < u.limit && kind != unitType && kind != unitSplitType, nil
}

// tableHeader is the size of the header of tables of version 5, which begin with
// their length (DWARF 5, sections 7.26 and 7.27).
func (u *unit) tableHeader() uint64 {
	if u.wide {
		return 16
	}
	return 8
}

// unitAt returns the unit that an offset in .debug_info lies in, or nil.
func (f *file) unitAt(offset uint64) *unit {
	i := sort.Search(len(f.units), func(i int) bool { return f.units[i].offset > offset }) - 1
	if i < 0 || offset < f.units[i].entries || offset >= f.units[i].limit {
		return nil
	}
	return &f.units[i]
}

// Tags and attributes (DWARF 5, sections 7.5.3 and 7.5.4).
const (
	tagArrayType         = 0x01
	tagEnumerationType   = 0x04
	tagSubroutineType    = 0x15
	tagInlinedSubroutine = 0x1d
	tagSubprogram        = 0x2e
	tagPartialUnit       = 0x3c

	attrSibling        = 0x01
	attrName           = 0x03
	attrLines          = 0x10
	attrLow            = 0x11
	attrHigh           = 0x12
	attrLanguage       = 0x13
	attrFolder         = 0x1b
	attrOrigin         = 0x31
	attrDeclFile       = 0x3a
	attrDeclLine       = 0x3b
	attrSpecification  = 0x47
	attrRanges         = 0x55
	attrCallColumn     = 0x57
	attrCallFile       = 0x58
	attrCallLine       = 0x59
	attrLinkageName    = 0x6e
	attrStrOffsetsBase = 0x72
	attrAddrBase       = 0x73
	attrRnglistsBase   = 0x74

	attrSplitName = 0x76

	languageGo = 0x16 // DWARF 5, section 7.12

	attrMIPSLinkageName = 0x2007
	attrGNUSplitName    = 0x2130
	attrGNUSplitID      = 0x2131
	attrGNURangesBase   = 0x2132
	attrGNUAddrBase     = 0x2133
)

// readRoot reads the unit's root entry, which says how to read the others. The
// buffer begins with it.
func (u *unit) readRoot(b *buffer) error {
	if u.rootRead {
		return nil
	}
	table, err := u.file.abbrevs(u)
	if err != nil {
		return err
	}
	e, ok := table.find(b.uleb())
	if !ok {
		return malformed("unit", u.offset)
	}
	if e.tag == tagPartialUnit {
		u.partial = true
	}
	// Without a base, tables begin after their header (DWARF 5, section 7.26).
	if u.version >= 5 {
		header := u.tableHeader()
		u.strOffsetsBase, u.addrBase, u.rnglistsBase = header, header, header+4
	}
	// Values may depend on bases that come after them.
	var low, folder, splitName value
	for _, a := range e.attrs {
		v := b.value(a, u)
		switch a.name {
		case attrLines:
			u.hasLines, u.lines = true, v.number
		case attrLanguage:
			u.language = uint16(v.number)
		case attrFolder:
			folder = v
		case attrLow:
			low = v
		case attrStrOffsetsBase:
			u.strOffsetsBase = v.number
		case attrAddrBase, attrGNUAddrBase:
			u.addrBase = v.number
		case attrRnglistsBase:
			u.rnglistsBase = v.number
		case attrSplitName, attrGNUSplitName:
			splitName = v
		case attrGNUSplitID:
			u.split.id = v.number
		case attrGNURangesBase:
			u.split.rangesBase = v.number
		}
	}
	if b.bad {
		return malformed("unit", u.offset)
	}
	u.rootRead = true
	u.low, _ = u.address(low)
	u.folder, u.split.name = u.text(folder), u.text(splitName)
	return nil
}

// root reads the unit's root entry unless that was done.
func (u *unit) root() error {
	if u.rootRead {
		return nil
	}
	b, err := u.file.entry(u, u.entries)
	if err != nil {
		return err
	}
	return u.readRoot(&b)
}

// entry returns a buffer that begins with the entry at offset. It is valid
// until the next call.
func (f *file) entry(u *unit, offset uint64) (buffer, error) {
	const most = 4 << 10 // entries that we read have no long blocks
	data, err := f.info.bytes(offset, min(most, u.limit-offset), &f.entryBuffer)
	return buffer{data: data}, err
}
