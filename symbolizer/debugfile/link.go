package debugfile

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

const (
	// maxLink is the largest section that names another file, in bytes.
	maxLink = 8 << 10
	// maxChecked is how many bytes a CRC is computed of: that takes a second.
	maxChecked = 1 << 30
)

// link is what .gnu_debuglink says: the name of the debug file, and the CRC of
// its content.
type link struct {
	name string // "" when there is no link
	crc  uint32
}

// readLink reads .gnu_debuglink: a name that ends with a zero byte, padding to
// 4 bytes, the CRC.
func readLink(f *elffile.File) (link, error) {
	section := f.Section(".gnu_debuglink")
	if section == nil {
		return link{}, nil
	}
	b, err := f.Data(section, maxLink)
	if err != nil {
		return link{}, fmt.Errorf("read .gnu_debuglink: %w", err)
	}
	end := bytes.IndexByte(b, 0)
	at := (end + 1 + 3) &^ 3
	if end < 0 || at+4 > len(b) {
		return link{}, errors.New("read .gnu_debuglink: malformed")
	}
	l := link{string(b[:end]), binary.LittleEndian.Uint32(b[at:])}
	if strings.Contains(l.name, "/") || l.name == ".." || l.name == "." {
		return link{}, errors.New("read .gnu_debuglink: not the name of a file")
	}
	return l, nil
}

// check compares the CRC of a file. One that is too large for that needs a
// build ID, which is compared besides.
func (l *link) check(content staccato.File, identified bool) error {
	size := content.Size()
	if size > maxChecked {
		if identified {
			return nil
		}
		return fmt.Errorf("has %d MiB, too much to compute the CRC of", size>>20)
	}
	crc := crc32.NewIEEE()
	buffer := make([]byte, 256<<10)
	if _, err := io.CopyBuffer(crc, io.NewSectionReader(content, 0, size), buffer); err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if sum := crc.Sum32(); sum != l.crc {
		return fmt.Errorf("is of another build, with CRC %08x where the executable wants %08x", sum, l.crc)
	}
	return nil
}

// readAlternate reads .gnu_debugaltlink: a name that ends with a zero byte, and
// the build ID. Both are "" when there is none.
func readAlternate(f *elffile.File) (name, buildID string, err error) {
	section := f.Section(".gnu_debugaltlink")
	if section == nil {
		return "", "", nil
	}
	b, err := f.Data(section, maxLink)
	if err != nil {
		return "", "", fmt.Errorf("read .gnu_debugaltlink: %w", err)
	}
	before, after, ok := bytes.Cut(b, []byte{0})
	if !ok || len(before) == 0 || len(after) < 2 || len(after) > 64 {
		return "", "", errors.New("read .gnu_debugaltlink: malformed")
	}
	return string(before), hex.EncodeToString(after), nil
}
