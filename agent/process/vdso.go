package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/staccato-profiler/staccato"
)

// maxVDSO is far above the two to four pages that a vDSO has.
const maxVDSO = 1 << 20

// memoryFile is a staccato.File of bytes that we hold.
type memoryFile struct{ *bytes.Reader }

// addVDSO registers the code that the kernel maps into each process. It is the
// same for all of them, so our own copy serves; it comes from /proc/self/mem,
// where a read out of bounds is an error and not a crash.
func (x *executables) addVDSO() error {
	image, err := readVDSO()
	if err != nil {
		return fmt.Errorf("read vDSO: %w", err)
	}
	if image == nil {
		return nil
	}
	f := memoryFile{bytes.NewReader(image)}
	id, err := identify(f)
	if err != nil {
		return fmt.Errorf("identify vDSO: %w", err)
	}
	m := &staccato.Mapping{Path: staccato.VDSOPath, BuildID: id.buildID, Hash: id.hash, File: f}
	m.Start, m.Limit, m.Offset = id.bounds()
	x.vdso = &executable{mapping: m, identity: id, chunks: map[uint32]uint32{}}
	return nil
}

// readVDSO returns a copy of the image, nil when this kernel maps none.
func readVDSO() ([]byte, error) {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	text, err := parseMaps(maps, 1<<16, func() bool { return false })
	if err != nil {
		return nil, err
	}
	for _, line := range text.lines {
		if line.path != staccato.VDSOPath {
			continue
		}
		if line.end-line.start > maxVDSO {
			return nil, errors.New("more than 1 MiB")
		}
		memory, err := os.Open("/proc/self/mem")
		if err != nil {
			return nil, err
		}
		defer memory.Close()
		image := make([]byte, line.end-line.start)
		if _, err := memory.ReadAt(image, int64(line.start)); err != nil {
			return nil, err
		}
		return image, nil
	}
	return nil, nil
}
