package unwind

import (
	"bytes"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
	"github.com/staccato-profiler/staccato/symbolizer/elfsym"
)

// The functions _init and _fini are put together by the linker of pieces that C
// libraries bring, which have no call frame information. They are short, but each
// library's _init is the first of its code to run, and the first touch of a page
// takes time.

// maxGlue is how many bytes such a function has at most.
const maxGlue = 256

// glues are beginnings and ends of these functions on amd64: they move the stack
// pointer by 8 bytes and back.
var glues = []struct{ begin, end []byte }{
	{[]byte{0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x83, 0xec, 0x08}, []byte{0x48, 0x83, 0xc4, 0x08, 0xc3}}, // endbr64, sub $8,%rsp
	{[]byte{0x48, 0x83, 0xec, 0x08}, []byte{0x48, 0x83, 0xc4, 0x08, 0xc3}},
	{[]byte{0x50}, []byte{0x58, 0xc3}}, // push %rax: musl
}

// glueOf returns the rows of a file's _init and _fini, if they are as expected.
func glueOf(file *elffile.File, arch ehframe.Arch) [][]row {
	if arch != ehframe.AMD64 {
		return nil
	}
	var found [][]row
	for _, name := range []string{".init", ".fini"} {
		section := file.Section(name)
		if section == nil {
			continue
		}
		if code, err := file.Data(section, maxGlue); err == nil {
			if rows := glue(code, section.Addr); rows != nil {
				found = append(found, rows)
			}
		}
	}
	return found
}

// glue returns the rows of a function, the last for its end, or nil.
func glue(code []byte, address uint64) []row {
	moved := native.FromCFI(ehframe.Rule{
		CFA: ehframe.CFARule{Kind: ehframe.CFARegister, Register: 7, Offset: 16},
		RA:  ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: -8},
	}, ehframe.AMD64)
	leaf := native.AboveStack(0, ehframe.AMD64)
	limit := address + uint64(len(code))
	for _, g := range glues {
		if len(code) >= len(g.begin)+len(g.end) && bytes.HasPrefix(code, g.begin) && bytes.HasSuffix(code, g.end) && limit > address {
			return []row{{address, leaf}, {address + uint64(len(g.begin)), moved}, {limit - 1, leaf}, {address: limit}}
		}
	}
	return nil
}

// pltOf returns the rows of a file's procedure linkage table, which Go's linker writes
// without call frame information, and others with it. Entries have 16 bytes: a jump
// through memory; at 6, for when that leads back, a push, and at 11 a jump to the first
// entry, which pushes once more.
func pltOf(file *elffile.File, arch ehframe.Arch) [][]row {
	section := file.Section(".plt")
	if arch != ehframe.AMD64 || section == nil || section.Addr&15 != 0 || section.Size <= 16 || section.Addr+section.Size < section.Addr {
		return nil
	}
	code, err := file.Data(section, maxPLT)
	if err != nil || !bytes.HasPrefix(code, []byte{0xff, 0x35}) || !bytes.HasPrefix(code[16:], []byte{0xff, 0x25}) {
		return nil
	}
	moved := func(kind ehframe.CFAKind, offset int32, late int32) native.Rule {
		return native.FromCFI(ehframe.Rule{
			CFA: ehframe.CFARule{Kind: kind, Register: 7, Offset: offset, Extra: late},
			RA:  ehframe.RegisterRule{Kind: ehframe.AtCFA, Offset: -8},
		}, arch)
	}
	at := section.Addr
	return [][]row{{
		{at, moved(ehframe.CFARegister, 16, 0)}, {at + 6, moved(ehframe.CFARegister, 24, 0)},
		{at + 16, moved(ehframe.CFAPLT, 8, 11)}, {address: at + section.Size},
	}}
}

// maxPLT is the size in bytes of a procedure linkage table that is read.
const maxPLT = 1 << 20

// The vDSO of arm64 has no call frame information. Its functions are short, and
// there is the code that signal handlers return to: mov x8, #139; svc #0.

// vdsoOf returns the rows of a file that looks like the vDSO of arm64.
func vdsoOf(file *elffile.File, arch ehframe.Arch) [][]row {
	text := file.Section(".text")
	if arch != ehframe.ARM64 || text == nil || text.Size > maxCode || text.Addr+text.Size < text.Addr {
		return nil
	}
	code, err := file.Data(text, maxCode)
	if err != nil {
		return nil
	}
	symbols, err := elfsym.New(file, elfsym.Config{})
	if err != nil {
		return nil
	}
	var found [][]row
	starts := make(map[uint64]bool)
	symbols.Each(func(start, limit uint64, name []byte) {
		starts[start] = true
		if !bytes.HasPrefix(name, []byte("__kernel_")) || start < text.Addr || limit > text.Addr+uint64(len(code)) || start >= limit {
			return
		}
		var rows []row
		rowsOfCode(code[start-text.Addr:limit-text.Addr], start, arch, func(address uint64, rule native.Rule) {
			rows = append(rows, row{address, rule})
		})
		found = append(found, rows)
	})
	restorer := []byte{0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4}
	if at := bytes.Index(code, restorer); at > 0 && len(found) > 0 {
		// Nobody has called it, but return addresses are looked up a byte before. And in
		// the system call, which comes last, the thread is behind it.
		start := text.Addr + uint64(at)
		end := start + uint64(len(restorer))
		if !starts[end] {
			end++
		}
		found = append([][]row{{{start - 1, native.Signal}, {address: end}}}, found...)
	}
	return found
}
