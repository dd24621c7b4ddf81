package elffile

import (
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
)

const (
	maxNotes       = 64 << 10 // bytes of one section
	noteGNUBuildID = 3
	maxBuildID     = 64 // bytes
)

// BuildID returns the GNU build ID in lower-case hex, "" when no section has
// one. A note is three 32-bit words (length of name, length of content, type),
// the name and the content, each padded to 4 bytes.
func (f *File) BuildID() string {
	for i := range f.Sections {
		s := &f.Sections[i]
		if s.Type != elf.SHT_NOTE {
			continue
		}
		b, err := f.Data(s, maxNotes)
		if err != nil {
			continue // others may be sound
		}
		if id := buildID(b); id != "" {
			return id
		}
	}
	return ""
}

func buildID(notes []byte) string {
	le := binary.LittleEndian
	for len(notes) >= 12 {
		nameSize, size, kind := uint64(le.Uint32(notes)), uint64(le.Uint32(notes[4:])), le.Uint32(notes[8:])
		notes = notes[12:]
		name, content := (nameSize+3)&^3, (size+3)&^3
		if name > uint64(len(notes)) || size > uint64(len(notes))-name {
			return ""
		}
		if kind == noteGNUBuildID && string(notes[:nameSize]) == "GNU\x00" && size > 0 && size <= maxBuildID {
			return hex.EncodeToString(notes[name : name+size])
		}
		notes = notes[min(name+content, uint64(len(notes))):]
	}
	return ""
}
