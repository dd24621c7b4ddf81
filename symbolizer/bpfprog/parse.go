package bpfprog

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// records are what the kernel tells about a program (struct bpf_prog_info of
// include/uapi/linux/bpf.h). Functions are the program and its subprograms.
type records struct {
	id      uint32
	tag     [tagLength / 2]byte
	starts  []uint64 // of each function
	lengths []uint32 // of each function, in bytes
	tags    []byte   // of each function, tagLength/2 bytes
	lines   []byte   // records of lineSize bytes or more
	size    int      // of a record
	places  []uint64 // where the code of each line begins
}

const (
	// lineSize is struct bpf_line_info: u32 instruction, u32 offset of the
	// file's name, u32 offset of the line's text, u32 line<<10 | column.
	lineSize = 16
	maxFiles = 4096
)

// functions sorts the lines into the functions. names are the strings of the
// program's type information.
func (r *records) functions(names []byte) ([]*function, error) {
	n := len(r.starts)
	if len(r.lengths) != n || len(r.tags) != n*tagLength/2 || r.size < lineSize || len(r.lines) != r.size*len(r.places) {
		return nil, errors.New("the kernel's records do not fit each other")
	}
	list := make([]*function, n)
	for i := range list {
		list[i] = &function{
			program: r.id,
			tags:    []string{hex.EncodeToString(r.tags[i*tagLength/2:][:tagLength/2])},
			start:   r.starts[i],
			end:     r.starts[i] + uint64(r.lengths[i]),
		}
	}
	// The main function's symbol has the tag of the whole program.
	if whole := hex.EncodeToString(r.tag[:]); n > 0 && whole != list[0].tags[0] {
		list[0].tags = append(list[0].tags, whole)
	}
	// In order of their addresses, to find the function of a line.
	slices.SortStableFunc(list, func(a, b *function) int { return compare(a.start, b.start) })
	files := make(map[*function]map[uint32]uint32) // offset of a name → index
	for k, address := range r.places {
		i, found := slices.BinarySearchFunc(list, address, func(f *function, a uint64) int { return compare(f.start, a) })
		if !found {
			i--
		}
		if i < 0 || address >= list[i].end {
			continue
		}
		f := list[i]
		record := r.lines[k*r.size:]
		offset, position := binary.NativeEndian.Uint32(record[4:]), binary.NativeEndian.Uint32(record[12:])
		if files[f] == nil {
			files[f] = make(map[uint32]uint32)
		}
		file, known := files[f][offset]
		if !known {
			name := text(names, offset)
			if name == "" || len(f.files) >= maxFiles {
				continue
			}
			file = uint32(len(f.files))
			files[f][offset] = file
			f.files = append(f.files, name)
		}
		f.lines = append(f.lines, line{address, position >> 10, position & 1023, file})
	}
	list = slices.DeleteFunc(list, func(f *function) bool { return len(f.lines) == 0 })
	for _, f := range list {
		slices.SortStableFunc(f.lines, func(a, b line) int { return compare(a.address, b.address) })
		f.lines = slices.Clip(f.lines)
	}
	return list, nil
}

func compare(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// text is a string of the type information, "" when there is none at an offset.
func text(names []byte, offset uint32) string {
	if uint64(offset) >= uint64(len(names)) {
		return ""
	}
	name, _, _ := bytes.Cut(names[offset:], []byte{0})
	return strings.ToValidUTF8(string(name), "?")
}

// btfNames returns the strings of type information, whose format is that of the
// kernel's Documentation/bpf/btf.rst: a header of u16 magic, u8 version, u8
// flags, u32 its own length, and offset and length of types and of strings,
// counted from the header's end.
func btfNames(btf []byte) ([]byte, error) {
	const headerSize, magic = 24, 0xeb9f
	if len(btf) < headerSize || binary.NativeEndian.Uint16(btf) != magic {
		return nil, errors.New("not type information")
	}
	header := uint64(binary.NativeEndian.Uint32(btf[4:]))
	start := header + uint64(binary.NativeEndian.Uint32(btf[16:]))
	end := start + uint64(binary.NativeEndian.Uint32(btf[20:]))
	if end > uint64(len(btf)) {
		return nil, errors.New("type information is cut off")
	}
	return btf[start:end], nil
}
