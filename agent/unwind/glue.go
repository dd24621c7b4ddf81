package unwind

import (
	"bytes"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/ehframe"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
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
