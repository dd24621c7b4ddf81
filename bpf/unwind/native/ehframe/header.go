package ehframe

import "fmt"

// FrameAddress returns the ELF address of the frames that an .eh_frame_hdr
// leads to, which lies at the address. Files without section headers have it as
// segment PT_GNU_EH_FRAME. How long the frames are it does not say: see
// [Section.Open].
func FrameAddress(header []byte, address uint64) (uint64, error) {
	r := Reader{section: Section{Data: header, Address: address, DataBase: address}}
	c := cursor{data: header}
	version, encoding := c.u8(), c.u8()
	c.bytes(2) // encodings of the table that follows
	frames := r.address(&c, encoding)
	if c.err != nil {
		return 0, fmt.Errorf("read .eh_frame_hdr: %w", c.err)
	}
	if version != 1 {
		return 0, fmt.Errorf("read .eh_frame_hdr: version %d", version)
	}
	return frames, nil
}

// Extent returns how many bytes of data the entries take that begin there, up to
// and with the first terminator. whole is false when data ends before that.
func Extent(data []byte) (n int, whole bool) {
	r := Reader{section: Section{Data: data}}
	for n < len(data) {
		e, err := r.entry(n)
		if err != nil {
			break
		}
		if n = e.limit; e.terminator {
			return n, true
		}
	}
	return n, false
}
