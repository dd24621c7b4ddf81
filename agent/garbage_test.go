package agent

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

const (
	codeAt      = 0x1000 // where garbage files have code
	garbageSize = 0x2000 // what is mapped of each
)

// countdown is a function for any address: for (n = argument; n > 0; n--);
func countdown(t *testing.T) []byte {
	t.Helper()
	switch runtime.GOARCH {
	case "amd64": // dec rdi; jnz -5; ret
		return []byte{0x48, 0xff, 0xcf, 0x75, 0xfb, 0xc3}
	case "arm64": // subs x0, x0, #1; b.ne -4; ret
		return []byte{0x00, 0x04, 0x00, 0xf1, 0xe1, 0xff, 0xff, 0x54, 0xc0, 0x03, 0x5f, 0xd6}
	}
	t.Fatalf("no code for %s", runtime.GOARCH)
	return nil
}

// header is an ELF header with tables of segments and sections as told.
func header(phoff uint64, phnum uint16, shoff uint64, shnum, shstrndx uint16) []byte {
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	h := elf.Header64{
		Ident: [16]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1},
		Type:  uint16(elf.ET_DYN), Machine: uint16(machine), Version: 1,
		Phoff: phoff, Phnum: phnum, Phentsize: 56, Shoff: shoff, Shnum: shnum, Shentsize: 64, Shstrndx: shstrndx, Ehsize: 64,
	}
	b, err := binary.Append(nil, binary.LittleEndian, h)
	if err != nil {
		panic(err) // the struct has a fixed size
	}
	return b
}

func sections(list ...elf.Section64) []byte {
	b, err := binary.Append(nil, binary.LittleEndian, list)
	if err != nil {
		panic(err)
	}
	return b
}

// garbage are files that are no good as executables, by name. Each has room
// for the code.
func garbage(t *testing.T, sound []byte) map[string][]byte {
	t.Helper()
	const whole = 1 << 40
	load := func(p elf.Prog64) []byte {
		b, err := binary.Append(header(64, 1, 0, 0, 0), binary.LittleEndian, p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	symbols := func(kind elf.SectionType, offset, size uint64, link uint32) elf.Section64 {
		return elf.Section64{Type: uint32(kind), Off: offset, Size: size, Link: link, Entsize: 24, Addralign: 8}
	}
	files := map[string][]byte{
		"magic":    []byte("\x7fELF"),
		"segments": header(garbageSize-8, 0xffff, 0, 0, 0),
		"sections": header(0, 0, 64, 0xffff, 0xfffe),
		"overflow": header(^uint64(0)-8, 1000, ^uint64(0)-8, 1000, 1),
		"cyclic": append(header(0, 0, 64, 3, 1), sections(
			symbols(elf.SHT_SYMTAB, 0, garbageSize, 0), symbols(elf.SHT_STRTAB, 0, garbageSize, 1), symbols(elf.SHT_DYNSYM, 64, 3*64, 2))...),
		"endless": append(header(0, 0, 64, 2, 1), sections(
			symbols(elf.SHT_SYMTAB, 0, whole, 1), symbols(elf.SHT_STRTAB, 0, whole, 0))...),
		"notes":   load(elf.Prog64{Type: uint32(elf.PT_NOTE), Off: 64, Filesz: 1 << 62, Memsz: 1 << 62}),
		"segment": load(elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_X), Off: 1 << 63, Filesz: 1 << 63, Vaddr: ^uint64(0)}),
		"cut":     sound[:len(sound)/2],
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 4 { // the same at each run
		b := append([]byte(nil), sound...)
		shoff := binary.LittleEndian.Uint64(b[40:])
		for range 40 {
			b[shoff+random.Uint64N(uint64(len(b))-shoff)] = byte(random.Uint32())
		}
		for range 3 {
			b[16+random.IntN(48)] = byte(random.Uint32())
		}
		files[fmt.Sprintf("flipped-%d", i)] = b
	}
	// Go's table of lines, as far as its header: the counts are made up.
	pclntab := append([]byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8}, make([]byte, 8)...)
	for i := range pclntab[8:] {
		pclntab[8+i] = 0xff
	}
	names := "\x00.gopclntab\x00"
	b := append(header(0, 0, 64, 3, 2), sections(elf.Section64{},
		elf.Section64{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: 0x200, Size: 0x800, Addr: codeAt},
		elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: 0x180, Size: uint64(len(names))})...)
	b = append(b, make([]byte, 0x200-len(b))...)
	copy(b[0x180:], names)
	files["gopclntab"] = append(b, pclntab...)

	for name, b := range files {
		if len(b) < garbageSize {
			b = append(b, make([]byte, garbageSize-len(b))...)
		}
		copy(b[codeAt:], countdown(t))
		files[name] = b
	}
	return files
}
