package elffile

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrNoData says that a section has no bytes of its own in the file: it was
// left out (NOBITS, as in files that hold only debug information) or is
// compressed.
var ErrNoData = errors.New("section without data")

// Section returns the first section with that name, nil when there is none.
func (f *File) Section(name string) *Section {
	for i := range f.Sections {
		if f.Sections[i].Name == name {
			return &f.Sections[i]
		}
	}
	return nil
}

// Data returns the bytes of a section, or an error when they are more than
// limit.
func (f *File) Data(s *Section, limit uint64) ([]byte, error) {
	if s.Size > limit {
		return nil, fmt.Errorf("section %s has %d bytes, more than %d", s.Name, s.Size, limit)
	}
	r, err := f.Reader(s)
	if err != nil {
		return nil, err
	}
	b := make([]byte, r.Size())
	_, err = io.ReadFull(r, b)
	return b, err
}

// Reader returns a reader of the bytes of a section, all of which lie in the
// file. The error is [ErrNoData] when there are none.
func (f *File) Reader(s *Section) (*io.SectionReader, error) {
	if s.Type == elf.SHT_NOBITS || s.Flags&elf.SHF_COMPRESSED != 0 {
		return nil, ErrNoData
	}
	if err := f.check(s.Offset, s.Size); err != nil {
		return nil, fmt.Errorf("read section %s: %w", s.Name, err)
	}
	return io.NewSectionReader(f.content, int64(s.Offset), int64(s.Size)), nil
}

// ReadAddress fills b with the file's bytes for the memory from address on, as
// they are before relocation. Memory that the file has no bytes for is an
// error.
func (f *File) ReadAddress(b []byte, address uint64) error {
	r, err := f.AddressReader(address)
	if err != nil {
		return err
	}
	if int64(len(b)) > r.Size() {
		return fmt.Errorf("no data for %d bytes at %#x", len(b), address)
	}
	_, err = io.ReadFull(r, b)
	return err
}

// AddressReader returns a reader of the file's bytes for the memory from address on,
// to the end of what the file has of that segment, as they are before relocation.
func (f *File) AddressReader(address uint64) (*io.SectionReader, error) {
	for i := range f.Segments {
		s := &f.Segments[i]
		if address < s.Start || address-s.Start >= s.FileSize {
			continue
		}
		if err := f.check(s.Offset, s.FileSize); err != nil {
			return nil, err
		}
		skip := address - s.Start
		return io.NewSectionReader(f.content, int64(s.Offset+skip), int64(s.FileSize-skip)), nil
	}
	return nil, fmt.Errorf("no data for memory at %#x", address)
}

// Executable reports whether address lies in memory that is loaded as code.
func (f *File) Executable(address uint64) bool {
	for i := range f.Segments {
		s := &f.Segments[i]
		if s.Flags&elf.PF_X != 0 && address >= s.Start && address < s.Limit {
			return true
		}
	}
	return false
}

// read returns size bytes from offset on.
func (f *File) read(offset, size uint64) ([]byte, error) {
	if err := f.check(offset, size); err != nil {
		return nil, err
	}
	b := make([]byte, size)
	_, err := io.ReadFull(io.NewSectionReader(f.content, int64(offset), int64(size)), b)
	return b, err
}

// check returns an error unless the range lies in the file.
func (f *File) check(offset, size uint64) error {
	total := f.content.Size()
	if offset > math.MaxInt64 || size > math.MaxInt64 || int64(offset) > total || int64(size) > total-int64(offset) {
		return fmt.Errorf("%d bytes at offset %d of a file of %d: %w", size, offset, total, io.ErrUnexpectedEOF)
	}
	return nil
}
