package debugfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/mikelolasagasti/xz"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

const (
	// maxPacked and maxMini bound the mini file as it is and decompressed, in
	// bytes. Those of whole browsers have some 10 MB.
	maxPacked = 16 << 20
	maxMini   = 32 << 20
	// maxDictionary bounds what the decoder holds besides: that of "xz -9".
	maxDictionary = 64 << 20
)

// findMini reads the file in .gnu_debugdata, if there is one.
func (s *search) findMini() {
	mini, err := readMini(s.set.Executable)
	if err != nil {
		s.miss("read .gnu_debugdata: %s", err)
		return
	}
	s.set.Mini = mini
}

// readMini returns nil when the executable has no such file.
func readMini(executable *elffile.File) (*elffile.File, error) {
	section := executable.Section(".gnu_debugdata")
	if section == nil {
		return nil, nil
	}
	packed, err := executable.Data(section, maxPacked)
	if errors.Is(err, elffile.ErrNoData) {
		return nil, nil // it was stripped
	}
	if err != nil {
		return nil, err
	}
	r, err := xz.NewReader(bytes.NewReader(packed), maxDictionary)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(r, maxMini+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxMini {
		return nil, fmt.Errorf("more than %d MiB", maxMini>>20)
	}
	return elffile.Open(bytes.NewReader(b))
}
