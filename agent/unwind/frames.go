package unwind

import (
	"errors"
	"fmt"

	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// maxFrames is the size in bytes of a section of call frame information that is
// read, uncompressed. Seen: 7.7 MB, of 200 MB.
const maxFrames = 32 << 20

// openFrames returns the sections of call frame information that a file has, in
// order of preference, and what is wrong with them: what could be read is good.
func openFrames(file *elffile.File, arch ehframe.Arch) (sections []ehframe.Section, faults []error) {
	add := func(name string, s ehframe.Section, err error) {
		if err != nil && !errors.Is(err, elffile.ErrNoData) {
			faults = append(faults, fmt.Errorf("read %s: %w", name, err))
		}
		if s.Arch = arch; len(s.Data) > 0 {
			sections = append(sections, s)
		}
	}
	const frames, debug = ".eh_frame", ".debug_frame"
	if section := file.Section(frames); section != nil {
		data, err := file.Data(section, maxFrames)
		add(frames, ehframe.Section{Data: data, Address: section.Addr}, err)
	} else {
		s, err := framesOfSegment(file)
		add(frames, s, err)
	}
	if section := file.Section(debug); section != nil {
		data, err := file.Uncompressed(section, maxFrames)
		add(debug, ehframe.Section{Data: data, Address: section.Addr, Debug: true}, err)
	}
	return sections, faults
}

// framesOfSegment finds .eh_frame by the program headers: those who have a file
// without section headers keep what exceptions need.
func framesOfSegment(file *elffile.File) (ehframe.Section, error) {
	header := make([]byte, min(file.FrameHeader.FileSize, maxFrameHeader))
	if len(header) == 0 {
		return ehframe.Section{}, nil
	}
	if err := file.ReadAddress(header, file.FrameHeader.Start); err != nil {
		return ehframe.Section{}, err
	}
	address, err := ehframe.FrameAddress(header, file.FrameHeader.Start)
	if err != nil {
		return ehframe.Section{}, err
	}
	// How long they are is not said: they end with a terminator, and with the
	// segment at the latest.
	left := uint64(0)
	for _, s := range file.Segments {
		if address >= s.Start && address-s.Start < s.FileSize {
			left = s.FileSize - (address - s.Start)
		}
	}
	for size := uint64(firstRead); ; size *= 2 {
		data := make([]byte, min(size, left, maxFrames))
		if err := file.ReadAddress(data, address); err != nil {
			return ehframe.Section{}, err
		}
		n, whole := ehframe.Extent(data)
		s := ehframe.Section{Data: data[:n:n], Address: address, Open: true}
		switch {
		case whole, n == len(data) && uint64(n) == left:
			return s, nil
		case uint64(len(data)) == left:
			return s, errors.New("it ends in the middle of an entry")
		case len(data) == maxFrames:
			return s, fmt.Errorf("more than %d bytes", maxFrames)
		}
	}
}

const (
	// maxFrameHeader is enough for the part of .eh_frame_hdr that says where
	// .eh_frame is: it is followed by a table.
	maxFrameHeader = 16
	firstRead      = 256 << 10
)
