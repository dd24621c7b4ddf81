package gopclntab

import (
	"bufio"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// relocate writes into b, which the file has for the memory at address, what
// the loader would write there if it loaded the file at the addresses it
// states.
func relocate(file *elffile.File, b []byte, address uint64) error {
	return relocations(file, func(at, value uint64) bool {
		if len(b) >= 8 && at >= address && at-address <= uint64(len(b)-8) {
			binary.LittleEndian.PutUint64(b[at-address:], value)
		}
		return true
	})
}

// relocations calls visit for each word that the loader adds the load address
// to: relocations of type RELATIVE with explicit value. It stops when visit
// returns false.
func relocations(file *elffile.File, visit func(address, value uint64) bool) error {
	var relative uint32
	switch file.Machine {
	case elf.EM_X86_64:
		relative = uint32(elf.R_X86_64_RELATIVE)
	case elf.EM_AARCH64:
		relative = uint32(elf.R_AARCH64_RELATIVE)
	default:
		return nil
	}
	le, entry := binary.LittleEndian, make([]byte, 24)
	for i := range file.Sections {
		s := &file.Sections[i]
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 || s.Size > maxScannedBytes {
			continue
		}
		r, err := file.Reader(s)
		if errors.Is(err, elffile.ErrNoData) {
			continue
		} else if err != nil {
			return fmt.Errorf("read relocations: %w", err)
		}
		in := bufio.NewReaderSize(r, 64<<10)
		for {
			if _, err := io.ReadFull(in, entry); errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				break
			} else if err != nil {
				return fmt.Errorf("read relocations: %w", err)
			}
			if le.Uint32(entry[8:]) == relative && !visit(le.Uint64(entry), le.Uint64(entry[16:])) {
				return nil
			}
		}
	}
	return nil
}
