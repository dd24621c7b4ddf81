package unwind

import (
	"bytes"
	"compress/zlib"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
)

// codeSize is how much code the files of these tests have, from address and
// offset 1 MiB on.
const (
	codeAt   = 1 << 20
	codeSize = 3 << 20
)

// frameFile is a file with code and a section of frames, which lies behind it.
func frameFile(name string, flags elf.SectionFlag, frames []byte) []byte {
	const framesAt = codeAt + codeSize
	names := []byte("\x00.names\x00" + name + "\x00")
	namesAt := framesAt + uint64(len(frames))
	return elfFile(
		[]elf.Prog64{
			{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Off: codeAt, Vaddr: codeAt, Filesz: codeSize, Memsz: codeSize},
			{Type: uint32(elf.PT_LOAD), Off: framesAt, Vaddr: framesAt, Filesz: uint64(len(frames)), Memsz: uint64(len(frames))},
		},
		[]elf.Section64{
			{},
			{Name: 1, Type: uint32(elf.SHT_STRTAB), Off: namesAt, Size: uint64(len(names))},
			{Name: 8, Type: uint32(elf.SHT_PROGBITS), Flags: uint64(flags), Off: framesAt, Addr: framesAt, Size: uint64(len(frames))},
		},
		map[uint64][]byte{framesAt: frames, namesAt: names},
	)
}

// elfFile is a file with headers, and parts by offset. The names of sections are
// in the first.
func elfFile(segments []elf.Prog64, sections []elf.Section64, parts map[uint64][]byte) []byte {
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Phoff: 64, Phentsize: 56, Phnum: uint16(len(segments))}
	if len(sections) > 0 {
		h.Shoff, h.Shentsize, h.Shnum, h.Shstrndx = 64+56*uint64(len(segments)), 64, uint16(len(sections)), 1
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	var b bytes.Buffer
	for _, part := range []any{h, segments, sections} {
		if err := binary.Write(&b, binary.LittleEndian, part); err != nil {
			panic(err)
		}
	}
	file := b.Bytes()
	for at, part := range parts {
		if end := int(at) + len(part); end > len(file) {
			file = append(file, make([]byte, end-len(file))...)
		}
		copy(file[at:], part)
	}
	return file
}

// frames writes .eh_frame.
type frames struct{ bytes.Buffer }

func (f *frames) entry(id uint32, parts ...any) (at int) {
	at = f.Len()
	var body bytes.Buffer
	binary.Write(&body, binary.LittleEndian, id)
	for _, part := range parts {
		binary.Write(&body, binary.LittleEndian, part)
	}
	binary.Write(f, binary.LittleEndian, uint32(body.Len()))
	f.Write(body.Bytes())
	return at
}

// cie has addresses of 4 bytes and lets units of code be what they may.
func (f *frames) cie(unit ...byte) int {
	return f.entry(0, []byte{1, 'z', 'R', 0}, unit, []byte{0x78, 16, 1, 0x03, 0x0c, 7, 8, 0x90, 1})
}

func (f *frames) fde(cie int, start, size uint32, code ...byte) {
	f.entry(uint32(f.Len()+4-cie), start, size, byte(0), code)
}

// TestHostileFiles opens files that are made to cost time and memory, and makes
// all their rows. They are refused, in whole or in part, and say so; or they are
// bounded.
func TestHostileFiles(t *testing.T) {
	var zeros bytes.Buffer
	w := zlib.NewWriter(&zeros)
	io.Copy(w, io.LimitReader(endless{}, 1<<30))
	w.Close()
	bomb := binary.LittleEndian.AppendUint64([]byte{1, 0, 0, 0, 0, 0, 0, 0}, 16<<20)
	bomb = append(append(bomb, make([]byte, 8)...), zeros.Bytes()...)
	var short frames
	short.fde(short.cie(1), codeAt, 16)
	cut := short.Bytes()[:short.Len()-1]
	eh := func(write func(f *frames)) []byte {
		var f frames
		write(&f)
		return frameFile(".eh_frame", 0, f.Bytes())
	}
	for _, test := range []struct {
		name string
		file []byte
		want string // what is said; "": nothing, all of it is good
	}{
		{"overlapping FDEs", eh(func(f *frames) {
			cie := f.cie(1)
			for i := range uint32(200_000) {
				f.fde(cie, codeAt+i, codeSize-i, 0x41, 0x0e, 16, 0x41, 0x0e, 24)
			}
		}), ""},
		{"FDEs of the same address", eh(func(f *frames) {
			cie := f.cie(1)
			for i := range uint32(200_000) {
				f.fde(cie, codeAt, i+1, 0x41, 0x0e, 16)
			}
		}), ""},
		{"length of 4 GB", eh(func(f *frames) {
			f.fde(f.cie(1), codeAt, 16)
			f.Write([]byte{0xef, 0xff, 0xff, 0xff, 0, 0, 0, 0})
		}), "ends early"},
		{"64-bit length of 4 GB", eh(func(f *frames) {
			f.fde(f.cie(1), codeAt, 16)
			f.Write([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0, 0})
		}), "ends early"},
		{"CIE that is the FDE itself", eh(func(f *frames) {
			f.fde(f.cie(1), codeAt, 16)
			f.fde(f.Len(), codeAt+16, 16)
		}), "1 functions skipped: read FDE at 0x27: no CIE where it refers to"},
		{"CIEs that are each other", eh(func(f *frames) {
			f.fde(f.cie(1), codeAt, 16)
			first := f.Len()
			f.fde(first+21, codeAt+16, 16)
			f.fde(first, codeAt+32, 16)
		}), "2 functions skipped"},
		{"advance beyond all addresses", eh(func(f *frames) {
			f.fde(f.cie(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), codeAt, 16, 0x7f)
		}), "location goes behind the last address"},
		{"advance behind the function", eh(func(f *frames) {
			f.fde(f.cie(1), codeAt, 16, 0x04, 0xff, 0xff, 0xff, 0xff, 0x0e, 16)
		}), ""},
		{"a function of very many instructions", eh(func(f *frames) {
			f.fde(f.cie(1), codeAt, codeSize, bytes.Repeat([]byte{0x41, 0x0e, 16, 0x41, 0x0e, 8}, 1<<16)...)
		}), "too many instructions"},
		{"very many rows", eh(func(f *frames) {
			cie, code := f.cie(1), bytes.Repeat([]byte{0x41, 0x0e, 16, 0x41, 0x0e, 8}, 1000)
			for i := range uint32(codeSize / 2048) {
				f.fde(cie, codeAt+i*2048, 2048, code...)
			}
		}), native.ErrTooLarge.Error()},
		{"more rows and rules than a table holds", eh(func(f *frames) {
			cie := f.cie(1)
			for i := range uint32(100_000) {
				f.fde(cie, codeAt+4*i, 4, 0x0e, byte(i)|0x80, byte(i>>7)|0x80, byte(i>>14))
			}
		}), native.ErrTooLarge.Error()},
		{"millions of FDEs", eh(func(f *frames) {
			cie := f.cie(1)
			for f.Len() < maxFrames-32 {
				f.fde(cie, codeAt+uint32(f.Len())%codeSize, 1)
			}
		}), ""},
		{"terminators without end", frameFile(".eh_frame", 0, make([]byte, maxFrames)), ErrNoRows.Error()},
		{"a large section", frameFile(".eh_frame", 0, make([]byte, maxFrames+1)), "more than 33554432"},
		{"as many CIEs as FDEs, none alike", eh(func(f *frames) {
			for f.Len() < 8<<20 {
				f.fde(f.cie(1), codeAt+uint32(f.Len()/64), 1)
			}
		}), ""},
		{"compressed, and much more than it says", frameFile(".debug_frame", elf.SHF_COMPRESSED, bomb), "its size is not"},
		{"section that is not in the file", func() []byte {
			b := frameFile(".eh_frame", 0, make([]byte, 64))
			binary.LittleEndian.PutUint64(b[64+2*56+2*64+32:], 1<<40)
			return b
		}(), "more than 33554432"},
		{"header that leads out of the file", sectionless([]byte{1, 0x04, 0xff, 0xff, 0, 0, 0, 0, 1, 0, 0, 0}, nil), "no data for"},
		{"frames cut off, without sections", sectionless(nil, cut), "in the middle of an entry"},
		{"no frames, without sections", sectionless(nil, nil), "no data for"},
	} {
		t.Run(test.name, func(t *testing.T) {
			store := openStore(t)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			begin := usedCPU()
			said := makeAll(store, test.file)
			took := usedCPU() - begin
			runtime.ReadMemStats(&after)
			allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
			t.Logf("%d MiB, %d KiB of frames: %v, %d MiB allocated: %v", len(test.file)>>20, (len(test.file)-codeAt-codeSize)>>10, took, allocated, said)
			if took > 10*time.Second || allocated > 512 {
				t.Errorf("took %v and %d MiB", took, allocated)
			}
			if test.want == "" && said != nil || test.want != "" && (said == nil || !strings.Contains(said.Error(), test.want)) {
				t.Errorf("says %v, want %q", said, test.want)
			}
		})
	}
}

// makeAll makes and loads a file's tables, and returns what the agent would say
// of them.
func makeAll(store *native.Store, content []byte) error {
	s, err := Open(bytes.NewReader(content))
	if err != nil {
		return err
	}
	said := s.Fault()
	for offset := 0; offset < len(content); offset += native.ChunkSize {
		size := uint32(min(native.ChunkSize, len(content)-offset))
		table, err := s.Table(uint64(offset), size)
		said = errors.Join(said, err, store.Load(uint32(1+offset/native.ChunkSize), table))
	}
	return said
}

// sectionless is a file without section headers: with an .eh_frame_hdr, which by
// default leads to the frames behind it.
func sectionless(header, frames []byte) []byte {
	const headerAt = codeAt + codeSize
	if header == nil {
		header = []byte{1, 0x1b, 0x03, 0x3b, 8, 0, 0, 0, 0, 0, 0, 0}
	}
	all := slices.Concat(header, frames)
	size := uint64(len(all))
	return elfFile([]elf.Prog64{
		{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Off: codeAt, Vaddr: codeAt, Filesz: codeSize, Memsz: codeSize},
		{Type: uint32(elf.PT_LOAD), Off: headerAt, Vaddr: headerAt, Filesz: size, Memsz: size},
		{Type: uint32(elf.PT_GNU_EH_FRAME), Off: headerAt, Vaddr: headerAt, Filesz: uint64(len(header)), Memsz: uint64(len(header))},
	}, nil, map[uint64][]byte{headerAt: all})
}

// endless reads zeros.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
