package unwind

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
)

// small is a file of two executable segments, and .eh_frame for a function at
// 0x1000, of 32 bytes.
func small() []byte {
	frames := []byte{
		20, 0, 0, 0, 0, 0, 0, 0, // CIE
		1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x04, // addresses of 8 bytes
		0x0c, 7, 8, 0x90, 1, 0, 0, // CFA=rsp+8, the return address below
		28, 0, 0, 0, 28, 0, 0, 0, // FDE
		0, 0x10, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0,
		0x41, 0x0e, 16, 0x86, 2, 0, 0, // push %rbp
		0, 0, 0, 0,
	}
	names := []byte("\x00.eh_frame\x00.names\x00")
	const headers = 64 + 2*56 + 3*64
	var b bytes.Buffer
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Entry: 0x1020, Phoff: 64, Shoff: 64 + 2*56,
		Phentsize: 56, Phnum: 2, Shentsize: 64, Shnum: 3, Shstrndx: 2,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	for _, part := range []any{
		h,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Off: 0, Vaddr: 0x1000, Filesz: 64, Memsz: 64},
		elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Off: 64, Vaddr: 0x2000, Filesz: 300, Memsz: 300},
		elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: headers, Size: uint64(len(frames)), Addr: 0x3000},
		elf.Section64{Name: 11, Type: uint32(elf.SHT_STRTAB), Off: headers + uint64(len(frames)), Size: uint64(len(names))},
		frames, names,
	} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

// smallFrames are those of small, without the terminator at the end.
func smallFrames() []byte {
	b := small()
	return b[64+2*56+3*64:][:24+32+4]
}

// smallSectionless is a file without section headers, of the same code.
func smallSectionless() []byte {
	const headerAt = 64 + 3*56
	return elfFile([]elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Vaddr: 0x1000, Filesz: 64, Memsz: 64},
		{Type: uint32(elf.PT_LOAD), Off: headerAt, Vaddr: 0x3000, Filesz: 68, Memsz: 68},
		{Type: uint32(elf.PT_GNU_EH_FRAME), Off: headerAt, Vaddr: 0x3000, Filesz: 8, Memsz: 8},
	}, nil, map[uint64][]byte{headerAt: append([]byte{1, 0x1b, 0xff, 0xff, 4, 0, 0, 0}, smallFrames()...)})
}

// smallCompressed has the same frames compressed, as a .debug_frame.
func smallCompressed() []byte {
	frames := smallFrames()
	copy(frames[4:], []byte{0xff, 0xff, 0xff, 0xff}) // a CIE
	copy(frames[28:], []byte{0, 0, 0, 0})            // an FDE of it
	b := bytes.NewBuffer(append([]byte{1, 0, 0, 0, 0, 0, 0, 0, byte(len(frames)), 0, 0, 0, 0, 0, 0, 0}, make([]byte, 8)...))
	w := zlib.NewWriter(b)
	w.Write(frames)
	w.Close()
	const framesAt = 64 + 56 + 3*64
	names := []byte("\x00.names\x00.debug_frame\x00")
	namesAt := framesAt + uint64(b.Len())
	return elfFile([]elf.Prog64{{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Vaddr: 0x1000, Filesz: 64, Memsz: 64}},
		[]elf.Section64{{}, {Name: 1, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names))},
			{Name: 8, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_COMPRESSED), Off: framesAt, Size: uint64(b.Len())}},
		map[uint64][]byte{framesAt: b.Bytes(), namesAt: names})
}

func changed(b []byte, at int, value byte) []byte {
	b[at] = value
	return b
}

func FuzzSource(f *testing.F) {
	f.Add(small(), uint64(0), uint32(4096), uint64(0x1001))
	f.Add(small(), uint64(10), uint32(60), uint64(0x2000))
	f.Add(changed(small(), 64+4, 4), uint64(0), uint32(native.ChunkSize), uint64(0x1000))
	f.Add(smallSectionless(), uint64(0), uint32(4096), uint64(0x1001))
	f.Add(smallCompressed(), uint64(0), uint32(4096), uint64(0x1001))
	f.Fuzz(func(t *testing.T, content []byte, offset uint64, size uint32, address uint64) {
		s, err := Open(bytes.NewReader(content))
		if err != nil {
			return
		}
		s.Rule(address)
		if size == 0 || size > native.ChunkSize || offset > 1<<62 {
			return
		}
		rows, _ := s.Rows(offset, size)
		checkRows(t, rows, size)
		// What was compressed may be more than the file.
		if limit := 4 * (int64(len(content)) + s.size); int64(len(rows)) > limit {
			t.Fatalf("%d rows, more than %d", len(rows), limit)
		}
	})
}

// Without sections and compressed, the frames say the same.
func TestFuzzSeeds(t *testing.T) {
	for name, content := range map[string][]byte{"sectionless": smallSectionless(), "compressed": smallCompressed(), "small": small()} {
		s, err := Open(bytes.NewReader(content))
		if err != nil || s.Fault() != nil || s.Rule(0x1001) == (native.Rule{}) {
			t.Errorf("%s: %v, %+v", name, err, s)
		}
	}
}

func FuzzCode(f *testing.F) {
	f.Add([]byte{0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x20, 0x74, 0x02, 0xc9, 0xc3, 0xe8, 0, 0, 0, 0, 0x5d, 0xc3}, false)
	f.Add([]byte{0x62, 0xf1, 0x7c, 0x48, 0x10, 0x44, 0x24, 1, 0xc5, 0xf8, 0x77, 0x0f, 0x3a, 0x0f, 0xc1, 8, 0xeb, 0xf0}, false)
	f.Add([]byte{0xfd, 0x7b, 0xbe, 0xa9, 0xfd, 3, 0, 0x91, 0xfd, 0x7b, 0xc2, 0xa8, 0xc0, 3, 0x5f, 0xd6}, true)
	f.Fuzz(func(t *testing.T, code []byte, arm bool) {
		const address = 0x1000
		arch := ehframe.AMD64
		if arm {
			arch = ehframe.ARM64
		}
		last := uint64(0)
		rowsOfCode(code, address, arch, func(at uint64, _ native.Rule) {
			if at <= last || at > address+uint64(len(code)) {
				t.Fatalf("a row at %#x behind one at %#x", at, last)
			}
			last = at
		})
	})
}
