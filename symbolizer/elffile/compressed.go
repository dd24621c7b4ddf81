package elffile

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zlib" // twice as fast as Go's own
	"github.com/klauspost/compress/zstd"
)

// maxWindow is how many bytes back zstd may refer: 8 MiB are what decoders must
// allow (RFC 8878, 3.1.1.1.2).
const maxWindow = 8 << 20

// usualRatio is how many times larger than compressed sections are at most, mostly.
const usualRatio = 8

// Uncompressed returns the bytes of a section as [File.Data] does, and also of one
// that is compressed with zlib or zstd (SHF_COMPRESSED, System V ABI, chapter 4).
// More than limit bytes are an error, whatever the file says that they are.
func (f *File) Uncompressed(s *Section, limit uint64) ([]byte, error) {
	if s.Flags&elf.SHF_COMPRESSED == 0 || s.Type == elf.SHT_NOBITS {
		return f.Data(s, limit)
	}
	b, err := f.uncompress(s, limit)
	if err != nil {
		return nil, fmt.Errorf("uncompress section %s: %w", s.Name, err)
	}
	return b, nil
}

// UncompressedSize returns how many bytes a section is said to have for
// [File.Uncompressed].
func (f *File) UncompressedSize(s *Section) (uint64, error) {
	if s.Flags&elf.SHF_COMPRESSED == 0 || s.Type == elf.SHT_NOBITS {
		return s.Size, nil
	}
	_, size, _, err := f.compression(s)
	return size, err
}

// compression reads the header of a compressed section, after which its content
// begins.
func (f *File) compression(s *Section) (kind elf.CompressionType, size uint64, content io.Reader, err error) {
	if err := f.check(s.Offset, s.Size); err != nil {
		return 0, 0, nil, err
	}
	content = io.NewSectionReader(f.content, int64(s.Offset), int64(s.Size))
	// Elf64_Chdr: type, a reserved word, size, alignment; Elf32_Chdr: type, size,
	// alignment.
	var header [24]byte
	h := header[:12]
	if f.Wide {
		h = header[:]
	}
	if _, err := io.ReadFull(content, h); err != nil {
		return 0, 0, nil, err
	}
	le := binary.LittleEndian
	size = uint64(le.Uint32(h[4:]))
	if f.Wide {
		size = le.Uint64(h[8:])
	}
	return elf.CompressionType(le.Uint32(h)), size, content, nil
}

func (f *File) uncompress(s *Section, limit uint64) ([]byte, error) {
	kind, size, content, err := f.compression(s)
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%d bytes are more than %d", size, limit)
	}
	var plain io.Reader
	switch kind {
	case elf.COMPRESS_ZLIB:
		r, err := zlib.NewReader(content)
		if err != nil {
			return nil, err
		}
		defer r.Close()
		plain = r
	case elf.COMPRESS_ZSTD:
		r, err := zstd.NewReader(content, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		plain = r
	default:
		return nil, fmt.Errorf("compression of unknown type %d", kind)
	}
	// Memory grows with what is there, and not with what is said to be.
	var b bytes.Buffer
	b.Grow(int(min(size, usualRatio*s.Size)) + bytes.MinRead)
	if _, err := io.Copy(&b, io.LimitReader(plain, int64(size)+1)); err != nil {
		return nil, err
	}
	if uint64(b.Len()) != size {
		return nil, errors.New("its size is not the one it has in its header")
	}
	return b.Bytes(), nil
}
