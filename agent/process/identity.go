package process

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/staccato-profiler/staccato"
)

// identity is what we want to know of an executable before anyone reads its
// symbols.
type identity struct {
	buildID   string // GNU, lower-case hex
	goBuildID string
	hash      string // see staccato.Mapping.Hash
	segments  []segment
}

const (
	noteGNUBuildID = 3
	noteGoBuildID  = 4
	// The kernel takes up to 20 bytes for a build ID; linkers can be told to
	// write longer ones.
	maxGNUBuildID = 64
	maxGoBuildID  = 256
)

// identify reads an executable's identity. Its error is errNotELF,
// errMalformed or one of reading; the hash is set with the first two.
func identify(f staccato.File) (identity, error) {
	var id identity
	hash, err := contentHash(f)
	if err != nil {
		return id, fmt.Errorf("hash executable: %w", err)
	}
	id.hash = hash
	header, err := readHeader(f)
	if err != nil {
		return id, err
	}
	segments, notes, err := readSegments(f, header)
	if err != nil {
		return id, err
	}
	id.segments = segments
	id.readNotes(f, header.order, notes)
	if id.buildID == "" || id.goBuildID == "" {
		id.readNotes(f, header.order, noteSections(f, header))
	}
	return id, nil
}

// readNotes takes the first ID of each kind.
func (id *identity) readNotes(f staccato.File, order binary.ByteOrder, notes []span) {
	for _, where := range notes {
		eachNote(f, order, where, func(name string, kind uint32, content []byte) {
			switch {
			case name == "GNU" && kind == noteGNUBuildID && id.buildID == "":
				if len(content) > 0 && len(content) <= maxGNUBuildID {
					id.buildID = hex.EncodeToString(content)
				}
			case name == "Go" && kind == noteGoBuildID && id.goBuildID == "":
				if len(content) <= maxGoBuildID && printable(content) {
					id.goBuildID = string(content)
				}
			}
		})
	}
}

func printable(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// contentHash computes OpenTelemetry's htlhash ("head, tail, length"), as its
// semantic conventions define process.executable.build_id.htlhash.
func contentHash(f staccato.File) (string, error) {
	const part = 4096
	size := f.Size()
	n := min(size, part)
	b := make([]byte, 2*n, 2*n+8)
	if err := readFull(f, b[:n], 0); err != nil {
		return "", err
	}
	if err := readFull(f, b[n:], uint64(size-n)); err != nil {
		return "", err
	}
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(b, uint64(size)))
	return hex.EncodeToString(sum[:16]), nil
}

// address converts a file offset of mapped code to an address of the file.
// Memory is mapped in whole pages, so what lies before and after a segment in
// its first and last page is mapped with it; but where two segments share a
// page of the file, the one that holds the offset itself is meant. Without
// segments the offset is all there is.
func (id *identity) address(offset, pageSize uint64) uint64 {
	var near *segment
	for i := range id.segments {
		s := &id.segments[i]
		if !s.executable || offset < s.offset&^(pageSize-1) || offset >= s.offset+s.size+pageSize-1 {
			continue
		}
		if offset >= s.offset && offset < s.offset+s.size {
			return offset - s.offset + s.address
		}
		if near == nil && offset < (s.offset+s.size+pageSize-1)&^(pageSize-1) {
			near = s
		}
	}
	if near == nil {
		for i := range id.segments {
			if s := &id.segments[i]; offset >= s.offset && offset < s.offset+s.size {
				near = s
				break
			}
		}
	}
	if near == nil {
		return offset
	}
	return offset - near.offset + near.address
}

// bounds returns the addresses of all executable segments together, and the
// file offset of the first.
func (id *identity) bounds() (start, limit, offset uint64) {
	for _, s := range id.segments {
		if !s.executable {
			continue
		}
		if limit == 0 || s.address < start {
			start, offset = s.address, s.offset
		}
		limit = max(limit, s.address+s.size)
	}
	return start, limit, offset
}
