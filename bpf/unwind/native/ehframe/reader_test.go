package ehframe

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// oneFDE returns a section with a CIE and an FDE that is for 0x2000 to 0x2010.
func oneFDE(arch Arch, c cieSpec, fields ...[]byte) Section {
	b := builder{Section: Section{Arch: arch, Address: 0x1000}}
	b.fde(b.cie(c), fields...)
	return b.Section
}

// TestAugmentations reads CIEs with all augmentations that compilers write, and
// some that none does.
func TestAugmentations(t *testing.T) {
	usual := []byte{opDefCFA, 7, 8, opOffset | 16, 1}
	usual64 := []byte{opDefCFA, 31, 0}
	const row, row64 = "2000 CFA=r7+8 RA=[CFA-8]", "2000 CFA=r31+0 RA=r30"
	absolute := [][]byte{u64(0x2000), u64(0x10)}
	augmented := append(slices.Clone(absolute), []byte{0})
	for _, test := range []struct {
		name    string
		section Section
		want    string // row, or problem
	}{
		{"none", oneFDE(AMD64, cieSpec{initial: usual}, absolute...), row},
		{"zR", oneFDE(AMD64, cieSpec{augmentation: "zR", data: []byte{formatU64}, initial: usual}, augmented...), row},
		{"z alone", oneFDE(AMD64, cieSpec{augmentation: "z", initial: usual}, augmented...), row},
		{"zPLR: personality and exception tables", oneFDE(AMD64, cieSpec{
			augmentation: "zPLR", data: instructions(0x9b, u32(0x1234), 0x1b, formatU64), initial: usual,
		}, u64(0x2000), u64(0x10), []byte{4}, u32(0x5678)), row},
		{"zPR, personality aligned", oneFDE(AMD64, cieSpec{ // at 0x1000+18, so 6 bytes before it
			augmentation: "zPR", data: instructions(aligned, make([]byte, 6), u64(0x5555555555555555), formatU64), initial: usual,
		}, augmented...), row},
		{"zPR, no personality", oneFDE(AMD64, cieSpec{augmentation: "zPR", data: []byte{omitted, formatU64}, initial: usual}, augmented...), row},
		{"zRS: signal frame", oneFDE(AMD64, cieSpec{augmentation: "zRS", data: []byte{formatU64}, initial: usual}, augmented...), row + " signal"},
		{"zRB: signed return addresses", oneFDE(ARM64, cieSpec{augmentation: "zRB", data: []byte{formatU64}, initial: usual64}, augmented...), row64},
		{"zRG: tagged memory", oneFDE(ARM64, cieSpec{augmentation: "zRG", data: []byte{formatU64}, initial: usual64}, augmented...), row64},
		{"data longer than the letters say", oneFDE(AMD64, cieSpec{augmentation: "zR", data: []byte{formatU64, 1, 2, 3}, initial: usual}, augmented...), row},
		{"data shorter than the letters say", oneFDE(AMD64, cieSpec{augmentation: "zPR", data: []byte{formatU64}, initial: usual}, augmented...), "ends early"},
		{"return address in x15, as in glibc's rawmemchr", oneFDE(ARM64, cieSpec{augmentation: "zR", data: []byte{formatU64}, ra: 15, initial: usual64}, augmented...), "2000 CFA=r31+0 RA=r15"},
		{"return address in the frame pointer", oneFDE(ARM64, cieSpec{augmentation: "zR", data: []byte{formatU64}, ra: 29, initial: usual64}, augmented...), "return address in column 29"},
		{"return address in a vector register", oneFDE(AMD64, cieSpec{augmentation: "zR", data: []byte{formatU64}, ra: 17, initial: usual}, augmented...), "return address in column 17"},
		{"eh", oneFDE(AMD64, cieSpec{augmentation: "eh", initial: usual}, absolute...), "augmentation of gcc before 3.0"},
		{"without z", oneFDE(AMD64, cieSpec{augmentation: "R", initial: usual}, absolute...), `augmentation "R": unknown`},
		{"unknown letter", oneFDE(AMD64, cieSpec{augmentation: "zRX", data: []byte{formatU64}, initial: usual}, augmented...), `unknown letter 'X'`},
		{"long", oneFDE(AMD64, cieSpec{augmentation: "zRSSSSSSS", data: []byte{formatU64}, initial: usual}, augmented...), "augmentation without end"},
		{"version 3", oneFDE(AMD64, cieSpec{version: 3, augmentation: "zR", data: []byte{formatU64}, initial: usual}, augmented...), row},
		{"version 2", oneFDE(AMD64, cieSpec{version: 2, initial: usual}, absolute...), "CIE version 2"},
		{"version 4, which only .debug_frame has", oneFDE(AMD64, cieSpec{version: 4, sizes: []byte{8, 0}, initial: usual}, absolute...), "CIE version 4"},
		{"CIE that advances", oneFDE(AMD64, cieSpec{initial: []byte{opAdvance | 1}}, absolute...), "CIE that advances"},
		{"CIE that restores a state", oneFDE(AMD64, cieSpec{initial: []byte{opRestoreState}}, absolute...), "not remembered"},
		{"CIE without CFA", oneFDE(AMD64, cieSpec{}, absolute...), "2000 CFA=? RA=r16"},
		{"CIE with many instructions", oneFDE(AMD64, cieSpec{initial: make([]byte, maxInitial+8)}, absolute...), "too many instructions"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rows, problems := read(t, test.section)
			if got := strings.Join(append(rows, problems...), "; "); !strings.Contains(got, test.want) || len(rows)+len(problems) != 1 {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestAddresses reads an FDE for 0x2000 to 0x2010 in every encoding.
func TestAddresses(t *testing.T) {
	const field = 0x1000 + 24 + 8 // address of the FDE's first field, behind the CIE
	for _, test := range []struct {
		name     string
		encoding uint8
		fields   []byte
		want     string // problem
	}{
		{"absptr", formatNative, instructions(u64(0x2000), u64(0x10)), ""},
		{"uleb128", formatULEB, instructions(uleb(0x2000), uleb(0x10)), ""},
		{"udata2", formatU16, instructions(u16(0x2000), u16(0x10)), ""},
		{"udata4", formatU32, instructions(u32(0x2000), u32(0x10)), ""},
		{"udata8", formatU64, instructions(u64(0x2000), u64(0x10)), ""},
		{"signed", formatSigned, instructions(u64(0x2000), u64(0x10)), ""},
		{"sleb128", formatSLEB, instructions(sleb(0x2000), sleb(0x10)), ""},
		{"sdata2", formatS16, instructions(u16(0x2000), u16(0x10)), ""},
		{"sdata4", formatS32, instructions(u32(0x2000), u32(0x10)), ""},
		{"sdata8", formatS64, instructions(u64(0x2000), u64(0x10)), ""},
		{"pcrel udata2", relativePC | formatU16, instructions(u16(0x2000-field), u16(0x10)), ""},
		{"pcrel sdata4", relativePC | formatS32, instructions(u32(0x2000-field), u32(0x10)), ""},
		{"pcrel sdata8", relativePC | formatS64, instructions(u64(0x2000-field), u64(0x10)), ""},
		{"pcrel absptr", relativePC | formatNative, instructions(u64(0x2000-field), u64(0x10)), ""},
		{"datarel sdata4, before", relativeData | formatS32, instructions(u32(0xffffffff-0xfff), u32(0x10)), ""},
		{"textrel", 0x20 | formatS32, instructions(u32(0), u32(0x10)), "address encoding 0x2b"},
		{"funcrel", 0x40 | formatS32, instructions(u32(0), u32(0x10)), "address encoding 0x4b"},
		{"aligned", aligned, instructions(u64(0x2000), u64(0x10)), "address encoding 0x50"},
		{"indirect", indirect | relativePC | formatS32, instructions(u32(0), u32(0x10)), "known at run time alone"},
		{"omitted", omitted, instructions(u32(0), u32(0x10)), "known at run time alone"},
		{"unknown format", 0x05, instructions(u32(0), u32(0x10)), "address format 0x5"},
		{"negative size", formatS32, instructions(u32(0x2000), u32(0xfffffff0)), "range of more than 4 GiB"},
		{"size of 4 GiB", formatU64, instructions(u64(0x2000), u64(1<<32)), "range of more than 4 GiB"},
		{"end behind the last address", formatU64, instructions(u64(0xfffffffffffffff8), u64(9)), "behind the last address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := cieSpec{augmentation: "zR", data: []byte{test.encoding}}
			s := oneFDE(AMD64, c, test.fields, []byte{0})
			s.DataBase = 0x3000
			r, err := NewReader(s)
			if err != nil {
				t.Fatal(err)
			}
			f, err := r.Next()
			if test.want == "" {
				if err != nil || f.Start != 0x2000 || f.Limit != 0x2010 {
					t.Errorf("%+v %v %v", f, err, r.Skipped().First)
				}
			} else if first := r.Skipped().First; r.Skipped().FDEs != 1 || !strings.Contains(first.Error(), test.want) {
				t.Errorf("%+v %v %v, want %q", f, err, first, test.want)
			}
		})
	}
	s := oneFDE(AMD64, cieSpec{augmentation: "zR", data: []byte{relativeData | formatS32}}, u32(0), u32(16), []byte{0})
	if _, problems := read(t, s); len(problems) != 1 || !strings.Contains(problems[0], "address encoding 0x3b") {
		t.Errorf("relative to unknown data: %q", problems)
	}
}

// TestDebugFrame reads entries as .debug_frame has them.
func TestDebugFrame(t *testing.T) {
	usual := []byte{opDefCFA, 7, 8, opOffset | 16, 1}
	b := builder{Section: Section{Arch: AMD64, Debug: true}}
	// The first CIE is at 0: its FDEs must not be mistaken for CIEs.
	v1 := b.cie(cieSpec{version: 1, initial: usual})
	b.fde(v1, u64(0x1000), u64(0x10))
	v3 := b.cie(cieSpec{version: 3, initial: usual})
	b.fde(v3, u64(0x2000), u64(0x10))
	v4 := b.cie(cieSpec{version: 4, sizes: []byte{8, 2}, initial: usual})
	b.fde(v4, u16(7), u64(0x3000), u64(0x10))
	narrow := b.cie(cieSpec{version: 4, sizes: []byte{4, 0}, initial: usual})
	b.fde(narrow, u32(0x4000), u32(0x10))
	b.wide = true
	wide := b.cie(cieSpec{version: 3, initial: usual})
	b.fde(wide, u64(0x5000), u64(0x10))
	b.wide = false
	b.fde(len(b.Data)+100, u64(0x6000), u64(0x10)) // no CIE there
	rows, problems := read(t, b.Section)
	want := []string{"1000 CFA=r7+8 RA=[CFA-8]", "2000 CFA=r7+8 RA=[CFA-8]", "3000 CFA=r7+8 RA=[CFA-8]", "5000 CFA=r7+8 RA=[CFA-8]"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows %q, want %q", rows, want)
	}
	if len(problems) != 1 || !strings.HasPrefix(problems[0], "2 skipped:") || !strings.Contains(problems[0], "addresses of 4 bytes") {
		t.Errorf("problems %q", problems)
	}
}

// TestEntries reads sections that are not just one entry after the other.
func TestEntries(t *testing.T) {
	const row = "1000 CFA=r7+8 RA=[CFA-8]"
	for _, test := range []struct {
		name  string
		write func(b *builder)
		want  string
	}{
		{"nothing", func(b *builder) {}, ""},
		{"64-bit length", func(b *builder) {
			b.wide = true
			b.covering(b.usual(), 0x1000, 0x1010)
		}, row},
		{"terminator in the middle", func(b *builder) {
			cie := b.usual()
			b.Data = append(b.Data, u32(0)...)
			b.covering(cie, 0x1000, 0x1010)
		}, row},
		{"terminator that ends it", func(b *builder) {
			b.Open = true
			cie := b.usual()
			b.covering(cie, 0x1000, 0x1010)
			b.Data = append(b.Data, u32(0)...)
			b.covering(cie, 0x2000, 0x2010)
			b.Data = append(b.Data, u32(0xfffffffe)...)
		}, row},
		{"FDE of no code", func(b *builder) {
			cie := b.usual()
			b.covering(cie, 0x1000, 0x1010)
			b.covering(cie, 0x1000, 0x1000, opAdvance|1)
		}, row},
		{"FDE whose CIE is before the section", func(b *builder) {
			b.covering(b.usual(), 0x1000, 0x1010)
			b.covering(-1, 0x2000, 0x2010)
		}, row + "; 1 skipped: read FDE at 0x38: no CIE where it refers to"},
		{"FDE of an FDE", func(b *builder) {
			fde := b.covering(b.usual(), 0x1000, 0x1010)
			b.covering(fde, 0x2000, 0x2010)
		}, row + "; 1 skipped: read FDE at 0x38: no CIE where it refers to"},
		{"entry without identifier", func(b *builder) {
			b.Data = append(b.Data, 3, 0, 0, 0, 1, 2, 3)
			b.covering(b.usual(), 0x1000, 0x1010)
		}, row + "; 1 skipped: read FDE at 0x0: no CIE where it refers to"},
		{"FDE cut off by its length", func(b *builder) {
			cie := b.usual()
			at := b.covering(cie, 0x2000, 0x2010)
			b.Data = b.Data[:at+4+4+12]
			binary.LittleEndian.PutUint32(b.Data[at:], 4+12)
			b.covering(cie, 0x1000, 0x1010)
		}, row + "; 1 skipped: read FDE at 0x18: ends early"},
		{"entry behind the end", func(b *builder) {
			cie := b.usual()
			b.covering(cie, 0x1000, 0x1010)
			b.covering(cie, 0x2000, 0x2010)
			b.Data = b.Data[:len(b.Data)-1]
		}, row + "; read entry at 0x38: ends early"},
		{"length behind the end", func(b *builder) {
			b.covering(b.usual(), 0x1000, 0x1010)
			b.Data = append(b.Data, 4, 0, 0)
		}, row + "; read entry at 0x38: ends early"},
		{"reserved length", func(b *builder) {
			b.covering(b.usual(), 0x1000, 0x1010)
			b.Data = append(b.Data, u32(0xfffffff0)...)
		}, row + "; read entry at 0x38: reserved length 0xfffffff0"},
		{"64-bit length of 2^64-1", func(b *builder) {
			b.covering(b.usual(), 0x1000, 0x1010)
			b.Data = append(b.Data, u32(0xffffffff)...)
			b.Data = append(b.Data, u64(1<<64-1)...)
		}, row + "; read entry at 0x38: ends early"},
		{"unknown architecture", func(b *builder) { b.Arch = 0 }, "call frame information of unknown architecture 0"},
		{"section that is too large", func(b *builder) { b.Data = make([]byte, maxSection+1) }, "call frame information of 268435457 bytes at 0x0"},
		{"address behind the last", func(b *builder) {
			b.usual()
			b.Address = 1<<64 - 1
		}, "call frame information of 24 bytes at 0xffffffffffffffff"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := builder{Section: Section{Arch: AMD64}}
			test.write(&b)
			rows, problems := read(t, b.Section)
			got := strings.Join(append(rows, problems...), "; ")
			if got != test.want {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestManyCIEs reads FDEs of more CIEs than are remembered, in turn.
func TestManyCIEs(t *testing.T) {
	b := builder{Section: Section{Arch: AMD64}}
	var cies []int
	for i := range 3 * recentCIEs {
		cies = append(cies, b.cie(cieSpec{augmentation: "zR", data: []byte{formatU64}, initial: []byte{opDefCFA, 7, byte(i)}}))
	}
	var want []string
	for i := range 10 * recentCIEs {
		b.covering(cies[i%len(cies)], 0x1000, 0x1010)
		want = append(want, fmt.Sprintf("1000 CFA=r7%+d RA=r16", i%len(cies)))
	}
	if rows, problems := read(t, b.Section); !slices.Equal(rows, want) || problems != nil {
		t.Errorf("%q %q, want %q", rows, problems, want)
	}
}

// TestSignalFrame tells the frame that the kernel pushes from others.
func TestSignalFrame(t *testing.T) {
	frame := func(sp, fp, ra int64) []byte {
		at := func(offset int64) []byte { return expression(opBreg0+7, sleb(offset)) }
		return instructions(opDefCFAExpression, expression(opBreg0+7, sleb(sp), opDeref),
			opExpression, 6, at(fp), opExpression, 7, at(sp), opExpression, 16, at(ra), opExpression, 3, at(128))
	}
	for _, test := range []struct {
		name, augmentation string
		code               []byte
		want               string
	}{
		{"kernel's", "zRS", frame(160, 120, 168), "1000 CFA=frame[r7+160] RA=[r7+168] FP=[r7+120] RBX=[r7+128] signal"},
		{"other stack pointer", "zRS", instructions(frame(160, 120, 168), opRegister, 7, 8), "1000 CFA=? RA=[r7+168] FP=[r7+120] RBX=[r7+128] signal"},
		{"other frame pointer", "zRS", frame(160, 112, 168), "1000 CFA=? RA=[r7+168] FP=[r7+112] RBX=[r7+128] signal"},
		{"other return address", "zRS", frame(160, 120, 176), "1000 CFA=? RA=[r7+176] FP=[r7+120] RBX=[r7+128] signal"},
		{"not called a signal's", "zR", frame(160, 120, 168), "1000 CFA=? RA=[r7+168] FP=[r7+120] RBX=[r7+128]"},
		{"interrupted code that pushed nothing else", "zRS", instructions(opDefCFA, 7, 8, opOffset|16, 1), "1000 CFA=r7+8 RA=[CFA-8] signal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := builder{Section: Section{Arch: AMD64}}
			cie := b.cie(cieSpec{augmentation: test.augmentation, data: []byte{formatU64}})
			b.covering(cie, 0x1000, 0x1010, test.code)
			rows, problems := read(t, b.Section)
			if len(rows) != 1 || rows[0] != test.want || problems != nil {
				t.Errorf("got  %q %q\nwant %q", rows, problems, test.want)
			}
		})
	}
}

// TestFrameAddress reads .eh_frame_hdr.
func TestFrameAddress(t *testing.T) {
	for _, test := range []struct {
		header  []byte
		want    uint64
		problem string
	}{
		{instructions(1, relativePC|formatS32, formatU32, relativeData|formatS32, u32(0x100), u32(0)), 0x5104, ""},
		{instructions(1, relativePC|formatS32, formatU32, relativeData|formatS32, u32(0xffffff00)), 0x4f04, ""},
		{instructions(1, relativeData|formatS32, formatU32, relativeData|formatS32, u32(0x100)), 0x5100, ""},
		{instructions(1, formatU64, omitted, omitted, u64(0x100)), 0x100, ""},
		{instructions(2, relativePC|formatS32, formatU32, relativeData|formatS32, u32(0x100)), 0, "version 2"},
		{instructions(1, indirect|formatS32, formatU32, relativeData|formatS32, u32(0x100)), 0, "known at run time"},
		{instructions(1, omitted, omitted, omitted), 0, "known at run time"},
		{instructions(1, relativePC|formatS32, formatU32, relativeData|formatS32, 1, 2, 3), 0, "ends early"},
		{nil, 0, "ends early"},
	} {
		got, err := FrameAddress(test.header, 0x5000)
		if test.problem == "" && (err != nil || got != test.want) || test.problem != "" && (err == nil || !strings.Contains(err.Error(), test.problem)) {
			t.Errorf("%x: %#x %v, want %#x %s", test.header, got, err, test.want, test.problem)
		}
	}
}
