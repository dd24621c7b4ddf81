package dwarf

import "strings"

// fileTable is the folders and files of a line table's header. Paths are made
// when they are asked for.
type fileTable struct {
	unit    *unit
	version uint16
	header  []byte // what positions of strings refer to
	folders []fileEntry
	files   []fileEntry
	paths   []string
}

// fileEntry is a name as it is written: form is formString for a position in
// fileTable.header.
type fileEntry struct {
	name   uint64
	folder uint32
	form   uint16
}

const (
	maxFileTables = 256
	maxFiles      = 1 << 18 // of one table
)

func (t *fileTable) memory() int64 {
	return int64(len(t.header)) + int64(cap(t.folders)+cap(t.files))*16 + int64(len(t.paths))*16
}

// path returns a file's path, "" when it is not known. Files count from 0 in
// DWARF 5 and from 1 before.
func (t *fileTable) path(i uint32) string {
	if t.version < 5 {
		i-- // 0 becomes none
	}
	if uint64(i) >= uint64(len(t.files)) {
		return ""
	}
	if t.paths == nil {
		t.paths = make([]string, len(t.files))
	}
	if t.paths[i] == "" {
		e := t.files[i]
		name := t.name(e)
		if name != "" && !strings.HasPrefix(name, "/") {
			name = join(t.folder(e.folder), name)
		}
		t.unit.file.reader.work += uint64(len(name))
		t.paths[i] = name
	}
	return t.paths[i]
}

func (t *fileTable) folder(i uint32) string {
	if t.version < 5 {
		if i == 0 {
			return t.unit.folder
		}
		i--
	}
	if uint64(i) >= uint64(len(t.folders)) {
		return t.unit.folder
	}
	name := t.name(t.folders[i])
	if !strings.HasPrefix(name, "/") && (i > 0 || t.version < 5) { // the first is that of compilation
		name = join(t.unit.folder, name)
	}
	return name
}

// join puts a folder before a path; "" adds nothing.
func join(folder, path string) string {
	switch {
	case folder == "":
		return path
	case path == "" || path == ".":
		return folder
	case strings.HasSuffix(folder, "/"):
		return folder + path
	}
	return folder + "/" + path
}

func (t *fileTable) name(e fileEntry) string {
	if e.form == formString {
		b := buffer{data: t.header, at: int(e.name)}
		return string(b.text())
	}
	return t.unit.text(value{form: e.form, number: e.name})
}

// fileTable returns the files of a unit that is not the one being read; nil
// when it has none that can be read.
func (u *unit) fileTable() *fileTable {
	if u.skeleton != nil {
		return u.skeleton.fileTable()
	}
	f := u.file
	if !u.hasLines {
		return nil
	}
	if t, ok := f.fileTables[u.lines]; ok {
		return t
	}
	if len(f.fileTables) >= maxFileTables {
		clear(f.fileTables)
	}
	t := u.readFileTable()
	f.fileTables[u.lines] = t
	return t
}

func (u *unit) readFileTable() *fileTable {
	var none []byte // a buffer of its own
	data, err := u.file.line.bytes(u.lines, 64, &none)
	if err != nil {
		return nil
	}
	h := lineHeader{}
	b := buffer{data: data}
	if !h.read(&b, u) || !u.file.reader.spend(h.program-u.lines) {
		return nil
	}
	none = nil
	if data, err = u.file.line.bytes(u.lines, h.program-u.lines, &none); err != nil {
		return nil
	}
	b = buffer{data: data}
	if !h.read(&b, u) || !h.readFiles(&b, u) {
		return nil
	}
	return h.files
}

// Content types of file tables (DWARF 5, section 7.22).
const (
	contentPath   = 1
	contentFolder = 2
)

// readFiles reads the tables of a header of version 5.
func (t *fileTable) read(b *buffer) {
	t.folders = t.readEntries(b)
	t.files = t.readEntries(b)
}

func (t *fileTable) readEntries(b *buffer) []fileEntry {
	var format [16]attr
	n := int(b.u8())
	if n > len(format) {
		b.fail()
		return nil
	}
	for i := range n {
		name, form := b.uleb(), b.uleb()
		if name > 0xffff || form > 0xffff {
			name = 0xffff // not one that we know
		}
		format[i] = attr{name: uint16(name), form: uint16(form)}
	}
	count := b.uleb()
	if b.bad || count > uint64(b.left()) || count > maxFiles {
		b.fail()
		return nil
	}
	entries := make([]fileEntry, 0, count)
	for range count {
		var e fileEntry
		for _, a := range format[:n] {
			at := b.at
			v := b.value(a, t.unit)
			switch a.name {
			case contentPath:
				e.form, e.name = v.form, v.number
				if v.form == formString {
					e.name = uint64(at)
				}
			case contentFolder:
				e.folder = uint32(min(v.number, maxFiles))
			}
		}
		if b.bad {
			return nil
		}
		entries = append(entries, e)
	}
	return entries
}

// readOld reads the tables of versions 2 to 4.
func (t *fileTable) readOld(b *buffer) {
	for !b.bad && len(t.folders) < maxFiles {
		at := b.at
		if len(b.text()) == 0 {
			break
		}
		t.folders = append(t.folders, fileEntry{name: uint64(at), form: formString})
	}
	for !b.bad && len(t.files) < maxFiles {
		at := b.at
		if len(b.text()) == 0 {
			break
		}
		folder := b.uleb()
		b.uleb() // time
		b.uleb() // size
		t.files = append(t.files, fileEntry{name: uint64(at), folder: uint32(min(folder, maxFiles)), form: formString})
	}
}
