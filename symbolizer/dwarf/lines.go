package dwarf

// lineHeader is the header of a line table (DWARF 5, section 6.2.4).
type lineHeader struct {
	limit   uint64 // in .debug_line
	program uint64
	files   *fileTable

	minLength  uint64 // of an instruction
	maxOps     uint8
	lineBase   int8
	lineRange  uint8
	opcodeBase uint8
	operands   [256]uint8 // of standard opcodes
}

// read reads the header up to the tables of files. The buffer begins with it.
func (h *lineHeader) read(b *buffer, u *unit) bool {
	size, wide := b.length()
	start := uint64(b.at)
	section := u.file.line.size
	if b.bad || u.lines > section || size > section-u.lines || start > section-u.lines-size {
		return false
	}
	h.limit = u.lines + start + size
	version := b.u16()
	if version < 2 || version > 5 {
		return false
	}
	if version >= 5 {
		b.skip(2) // sizes of addresses and of segment selectors
	}
	length := b.offset(wide)
	h.program = u.lines + uint64(b.at) + length
	if length > section || h.program > h.limit {
		return false
	}
	h.minLength = uint64(b.u8())
	h.maxOps = 1
	if version >= 4 {
		h.maxOps = b.u8()
	}
	b.skip(1) // whether rows are statements by default
	h.lineBase, h.lineRange, h.opcodeBase = int8(b.u8()), b.u8(), b.u8()
	if h.opcodeBase == 0 || h.lineRange == 0 || h.maxOps > 1 {
		return false
	}
	for i := 1; i < int(h.opcodeBase); i++ {
		h.operands[i] = b.u8()
	}
	// Forms in the tables are in the format of this header.
	formats := *u
	formats.wide = wide
	h.files = &fileTable{unit: &formats, version: version}
	return !b.bad || b.at >= 60 // the rest is not in a first look
}

func (h *lineHeader) readFiles(b *buffer, u *unit) bool {
	h.files.header = b.data
	if h.files.version >= 5 {
		h.files.read(b)
	} else {
		h.files.readOld(b)
	}
	return !b.bad
}

// Opcodes (DWARF 5, sections 7.22 and 6.2.5).
const (
	lineExtended     = 0
	lineCopy         = 1
	lineAdvance      = 2
	lineAdvanceLine  = 3
	lineSetFile      = 4
	lineSetColumn    = 5
	lineConstAdvance = 8
	lineFixedAdvance = 9
	lineEndSequence  = 1
	lineSetAddress   = 2
	lineDefineFile   = 3
)

// readLines reads the line table of the unit. Units may share one: its rows
// come with the first.
func (r *Reader) readLines(u *unit) error {
	if !u.hasLines {
		return nil
	}
	if r.linesRead[u.lines] {
		r.unit.files = u.fileTable()
		return nil
	}
	var first []byte
	data, err := u.file.line.bytes(u.lines, 64, &first)
	if err != nil {
		return err
	}
	h := lineHeader{}
	b := buffer{data: data}
	if !h.read(&b, u) {
		return malformed("line table", u.lines)
	}
	if data, err = u.file.line.bytes(u.lines, h.limit-u.lines, &r.lineBuffer); err != nil {
		return err
	}
	b = buffer{data: data}
	if !h.read(&b, u) || b.bad {
		return malformed("line table", u.lines)
	}
	inHeader := buffer{data: data[:h.program-u.lines], at: b.at}
	if b.at > len(inHeader.data) || !h.readFiles(&inHeader, u) {
		return malformed("line table", u.lines)
	}
	r.unit.files = h.files
	r.linesRead[u.lines] = true
	return r.runLines(&h, buffer{data: data, at: int(h.program - u.lines)}, u)
}

// runLines runs the line table's program.
func (r *Reader) runLines(h *lineHeader, b buffer, u *unit) error {
	initial := Row{File: 1, Line: 1}
	row, sequence := initial, len(r.unit.Rows)
	constAdvance := uint64((255-h.opcodeBase)/h.lineRange) * h.minLength
	maxRows := int(r.limit / 4 / rowBytes)
	for b.at < len(b.data) {
		opcode := b.u8()
		if opcode >= h.opcodeBase {
			adjusted := opcode - h.opcodeBase
			row.Address += uint64(adjusted/h.lineRange) * h.minLength
			row.Line += uint32(int32(h.lineBase) + int32(adjusted%h.lineRange))
			r.addRow(row, sequence)
			continue
		}
		switch opcode {
		case lineCopy:
			r.addRow(row, sequence)
		case lineAdvance:
			row.Address += b.uleb() * h.minLength
		case lineAdvanceLine:
			row.Line += uint32(b.sleb())
		case lineSetFile:
			row.File = uint32(min(b.uleb(), maxFiles))
		case lineSetColumn:
			row.Column = uint32(min(b.uleb(), 1<<16))
		case lineConstAdvance:
			row.Address += constAdvance
		case lineFixedAdvance:
			row.Address += uint64(b.u16())
		case lineExtended:
			size := b.uleb()
			if size == 0 || size > uint64(b.left()) {
				return malformed("line table", u.lines)
			}
			end := b.at + int(size)
			switch b.u8() {
			case lineEndSequence:
				r.endSequence(row.Address, sequence)
				row, sequence = initial, len(r.unit.Rows)
			case lineSetAddress:
				if size > 9 {
					return malformed("line table", u.lines)
				}
				row.Address = b.number(int(size) - 1)
			case lineDefineFile:
				at := uint64(b.at)
				b.text()
				if h.files.version < 5 && len(h.files.files) < maxFiles {
					// What is defined later is at the end of a longer header.
					h.files.header = b.data
					h.files.files = append(h.files.files, fileEntry{name: at, folder: uint32(min(b.uleb(), maxFiles)), form: formString})
					h.files.paths = nil
				}
			}
			b.at = end
		default:
			for range h.operands[opcode] {
				b.uleb()
			}
		}
		if len(r.unit.Rows) >= maxRows {
			return ErrTooLarge
		}
	}
	// A sequence without an end says nothing about where it would be.
	r.unit.Rows = r.unit.Rows[:sequence]
	return nil
}

// addRow adds a row to the sequence that begins at index sequence. The last of
// several rows at one address counts.
func (r *Reader) addRow(row Row, sequence int) {
	rows := r.unit.Rows
	if len(rows) > sequence {
		last := &rows[len(rows)-1]
		if row.Address < last.Address {
			return // not in order, as it must be
		}
		if row.Address == last.Address {
			*last = row
			return
		}
		if row.File == last.File && row.Line == last.Line && row.Column == last.Column {
			return
		}
	}
	r.unit.Rows = append(rows, row)
}

// endSequence ends a sequence, and forgets it when it is of no code.
func (r *Reader) endSequence(limit uint64, sequence int) {
	rows := r.unit.Rows[sequence:]
	if len(rows) == 0 {
		return
	}
	code, ok := r.inCode(rows[0].Address, limit)
	if !ok || code.Limit <= rows[len(rows)-1].Address {
		if !ok || code.Limit <= rows[0].Address {
			r.unit.Rows = r.unit.Rows[:sequence]
			return
		}
		// An empty row at the end, or one beyond the segment.
		for rows[len(rows)-1].Address >= code.Limit {
			rows = rows[:len(rows)-1]
		}
		r.unit.Rows = r.unit.Rows[:sequence+len(rows)]
	}
	r.unit.Rows = append(r.unit.Rows, Row{Address: code.Limit, File: NoFile})
}
