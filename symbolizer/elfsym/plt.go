package elfsym

import (
	"bufio"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

// stubSuffix ends the names of what calls of imported functions go through, the
// stubs of the procedure linkage table, as in "malloc@plt".
const stubSuffix = "@plt"

const (
	// maxStubBytes bounds the code that is looked through for stubs.
	maxStubBytes = 4 << 20
	// maxRelocations bounds the bytes of a table of relocations.
	maxRelocations = 256 << 20
	// rankStub is worse than that of any symbol.
	rankStub = 255
)

// stub is code that jumps to where a slot of memory points. Relocations say of
// which function the linker puts the address there.
type stub struct {
	start, size uint64
	slot        uint64
	symbol      uint32 // of .dynsym; 0 when it is not known
	resolver    uint64 // of the program's own function that is chosen at run time, or 0
}

// readStubs appends a symbol for each stub whose function is known. What cannot
// be read has none.
func (b *builder) readStubs() error {
	f := b.program
	var stubs []stub
	for i := range f.Sections {
		s := &f.Sections[i]
		if !s.Executable() || !strings.HasPrefix(s.Name, ".plt") && s.Name != ".iplt" {
			continue
		}
		code, err := f.Data(s, maxStubBytes)
		if err != nil {
			continue // it is only about stubs
		}
		switch f.Machine {
		case elf.EM_X86_64:
			stubs = appendStubsAMD64(stubs, code, s.Addr)
		case elf.EM_AARCH64:
			stubs = appendStubsARM64(stubs, code, s.Addr)
		}
	}
	if len(stubs) == 0 || !f.Wide {
		return nil
	}
	slices.SortFunc(stubs, func(x, y stub) int { return cmp.Compare(x.slot, y.slot) })
	symbols := b.relocate(stubs)
	if symbols == nil {
		return nil
	}
	return b.nameStubs(stubs, symbols)
}

// appendStubsAMD64 finds "jmp *slot(%rip)", maybe behind endbr64 and a bnd prefix,
// at the beginning of pieces of 8 bytes.
func appendStubsAMD64(stubs []stub, code []byte, address uint64) []stub {
	const piece = 8
	for at := 0; at+piece <= len(code); at += piece {
		rest := code[at:]
		skip := 0
		if len(rest) >= 4 && [4]byte(rest) == [4]byte{0xf3, 0x0f, 0x1e, 0xfa} {
			skip = 4
		}
		if len(rest) > skip && rest[skip] == 0xf2 {
			skip++
		}
		if len(rest) < skip+6 || rest[skip] != 0xff || rest[skip+1] != 0x25 {
			if n := len(stubs); n > 0 && stubs[n-1].start+stubs[n-1].size == address+uint64(at) && at%16 != 0 {
				stubs[n-1].size += piece // the rest of 16 bytes
			}
			continue
		}
		start := address + uint64(at)
		next := start + uint64(skip) + 6
		offset := int32(binary.LittleEndian.Uint32(rest[skip+2:]))
		stubs = append(stubs, stub{start: start, size: piece, slot: next + uint64(int64(offset))})
	}
	return stubs
}

// appendStubsARM64 finds "adrp x16, page; ldr x17, [x16, offset]", maybe behind
// "bti c", up to "br x17".
func appendStubsARM64(stubs []stub, code []byte, address uint64) []stub {
	word := func(at int) uint32 {
		if at+4 > len(code) {
			return 0
		}
		return binary.LittleEndian.Uint32(code[at:])
	}
	const (
		bti    = 0xd503245f
		branch = 0xd61f0220
	)
	for at := 0; at+16 <= len(code); at += 4 {
		start := at
		if word(at) == bti {
			at += 4
		}
		adrp, ldr := word(at), word(at+4)
		if adrp&0x9f00001f != 0x90000010 || ldr&0xffc003ff != 0xf9400211 {
			at = start
			continue
		}
		end := at + 8
		for end < at+24 && word(end) != branch {
			end += 4
		}
		if word(end) != branch {
			at = start
			continue
		}
		pages := int64(int32((adrp>>5&0x7ffff)<<2|adrp>>29&3)<<11) >> 11
		slot := (address+uint64(at))&^0xfff + uint64(pages<<12) + uint64(ldr>>10&0xfff)*8
		stubs = append(stubs, stub{start: address + uint64(start), size: uint64(end + 4 - start), slot: slot})
		at = end
	}
	return stubs
}

// relocate finds what is put into the slots, by which stubs are sorted, and
// returns the symbol table that says more; nil when nothing does.
func (b *builder) relocate(stubs []stub) *elffile.Section {
	f := b.program
	var symbols *elffile.Section
	for i := range f.Sections {
		s := &f.Sections[i]
		if s.Type != elf.SHT_RELA || s.Flags&elf.SHF_ALLOC == 0 || s.Size > maxRelocations {
			continue
		}
		table, err := f.Reader(s)
		if err != nil {
			continue
		}
		if uint64(s.Link) < uint64(len(f.Sections)) && f.Sections[s.Link].Type == elf.SHT_DYNSYM {
			symbols = &f.Sections[s.Link]
		}
		const size = 24
		in, entry := bufio.NewReaderSize(table, 64<<10), make([]byte, size)
		for {
			if _, err := io.ReadFull(in, entry); err != nil {
				break
			}
			le := binary.LittleEndian
			slot, info, addend := le.Uint64(entry), le.Uint64(entry[8:]), le.Uint64(entry[16:])
			if slot < stubs[0].slot || slot > stubs[len(stubs)-1].slot {
				continue
			}
			at, _ := slices.BinarySearchFunc(stubs, slot, func(s stub, slot uint64) int { return cmp.Compare(s.slot, slot) })
			for ; at < len(stubs) && stubs[at].slot == slot; at++ {
				stubs[at].symbol, stubs[at].resolver = uint32(info>>32), addend
			}
		}
	}
	if symbols == nil {
		symbols = &f.Sections[0]
	}
	return symbols
}

// nameStubs appends the symbols of stubs.
func (b *builder) nameStubs(stubs []stub, symbols *elffile.Section) error {
	var named []symbol
	name := func(s stub, name string) {
		name = withoutVersion(name)
		if name == "" || len(name)+len(stubSuffix) > maxName || int64(len(b.names)+len(name)) >= b.config.Limit {
			return
		}
		named = append(named, symbol{start: s.start, size: s.size, rank: rankStub, name: uint32(len(b.names)), length: uint16(len(name) + len(stubSuffix))})
		b.names = append(append(append(b.names, name...), stubSuffix...), 0)
	}
	imported, err := b.imported(stubs, symbols)
	if err != nil {
		return err
	}
	own := make(map[uint64]string)
	for _, s := range stubs {
		if s.symbol == 0 && s.resolver != 0 {
			own[s.resolver] = ""
		}
	}
	if len(own) > 0 {
		slices.SortFunc(b.symbols, b.compare)
	}
	for i, s := range b.symbols {
		if _, wanted := own[s.start]; wanted && (i == 0 || b.symbols[i-1].start != s.start) {
			own[s.start] = string(b.name(s))
		}
	}
	for _, s := range stubs {
		if s.symbol != 0 {
			name(s, imported[s.symbol])
		} else {
			name(s, own[s.resolver])
		}
	}
	b.symbols = append(b.symbols, named...)
	return nil
}

// imported returns the names of the symbols that stubs lead to.
func (b *builder) imported(stubs []stub, symbols *elffile.Section) (map[uint32]string, error) {
	names := make(map[uint32]string)
	f := b.program
	if symbols.Type != elf.SHT_DYNSYM || uint64(symbols.Link) >= uint64(len(f.Sections)) {
		return names, nil
	}
	table, err := f.Reader(symbols)
	if errors.Is(err, elffile.ErrNoData) {
		return names, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := f.Reader(&f.Sections[symbols.Link])
	if err != nil {
		return nil, err
	}
	type place struct{ symbol, name uint32 }
	var places []place
	for _, s := range stubs {
		var entry [4]byte
		if _, err := table.ReadAt(entry[:], 24*int64(s.symbol)); s.symbol != 0 && err == nil {
			places = append(places, place{s.symbol, binary.LittleEndian.Uint32(entry[:])})
		}
	}
	slices.SortFunc(places, func(x, y place) int { return cmp.Compare(x.name, y.name) })
	window := window{in: text}
	for _, p := range places {
		name, ok, err := window.name(p.name)
		if err != nil {
			return nil, err
		}
		if ok {
			names[p.symbol] = name
		}
	}
	return names, nil
}
