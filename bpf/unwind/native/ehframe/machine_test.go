package ehframe

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// TestInstructions executes each instruction on its own, in an FDE from 0x1000
// to 0x2000 where CFA=r7+8 and RA=[CFA-8], or on arm64 CFA=r31 and RA=r30.
func TestInstructions(t *testing.T) {
	const rip, rbp, rbx, rsp = 16, 6, 3, 7
	next := opAdvance | 1
	for _, test := range []struct {
		name    string
		arch    Arch
		code    []byte
		rows    []string
		problem string
	}{
		{"nothing", AMD64, nil, []string{"1000 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"nothing on arm64", ARM64, nil, []string{"1000 CFA=r31+0 RA=r30"}, ""},
		{"advance_loc", AMD64, instructions(next, opDefCFAOffset, 16, opAdvance|0x3f, opDefCFAOffset, 24),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1001 CFA=r7+16 RA=[CFA-8]", "1040 CFA=r7+24 RA=[CFA-8]"}, ""},
		{"advance_loc by units of code", ARM64, instructions(opAdvance|3, opDefCFAOffset, 16),
			[]string{"1000 CFA=r31+0 RA=r30", "100c CFA=r31+16 RA=r30"}, ""},
		{"advance_loc by nothing: the last rule counts", AMD64, instructions(next, opDefCFAOffset, 16, opAdvance, opDefCFAOffset, 24),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1001 CFA=r7+24 RA=[CFA-8]"}, ""},
		{"advance_loc1", AMD64, instructions(opAdvance1, 0xff, opDefCFAOffset, 16),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "10ff CFA=r7+16 RA=[CFA-8]"}, ""},
		{"advance_loc2", AMD64, instructions(opAdvance2, u16(0xfff), opDefCFAOffset, 16),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1fff CFA=r7+16 RA=[CFA-8]"}, ""},
		{"advance_loc4 by units of code", ARM64, instructions(opAdvance4, u32(0x100), opDefCFAOffset, 16),
			[]string{"1000 CFA=r31+0 RA=r30", "1400 CFA=r31+16 RA=r30"}, ""},
		{"MIPS_advance_loc8", AMD64, instructions(opAdvance8, u64(2), opDefCFAOffset, 16),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1002 CFA=r7+16 RA=[CFA-8]"}, ""},
		{"advance to the end", AMD64, instructions(opAdvance2, u16(0x1000), opDefCFAOffset, 16),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"advance behind the end", AMD64, instructions(opAdvance4, u32(0xffffffff), 0x3f),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"advance behind the last address", AMD64, instructions(next, opAdvance8, u64(0xffffffffffffffff)),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1001 CFA=? RA=same"}, "location goes behind the last address"},
		{"advance_loc8 by units of code", ARM64, instructions(opAdvance8, u64(1<<62)),
			[]string{"1000 CFA=? RA=same"}, "location goes behind the last address"},
		{"set_loc", AMD64, instructions(opSetLocation, u64(0x1800), opDefCFAOffset, 16),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1800 CFA=r7+16 RA=[CFA-8]"}, ""},
		{"set_loc backwards", AMD64, instructions(next, opSetLocation, u64(0x1000)),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1001 CFA=? RA=same"}, "location goes backwards"},

		{"def_cfa", AMD64, instructions(opDefCFA, rbp, 16), []string{"1000 CFA=r6+16 RA=[CFA-8]"}, ""},
		{"def_cfa_sf", AMD64, instructions(opDefCFASigned, rbp, sleb(2)), []string{"1000 CFA=r6-16 RA=[CFA-8]"}, ""},
		{"def_cfa of a vector register", AMD64, instructions(opDefCFA, 17, 16), []string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa of register 263, which is 7 in 8 bits", AMD64, instructions(opDefCFA, uleb(263), 16), []string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa_register", AMD64, instructions(opDefCFARegister, rbp), []string{"1000 CFA=r6+8 RA=[CFA-8]"}, ""},
		{"def_cfa_offset", AMD64, instructions(opDefCFAOffset, uleb(540128)), []string{"1000 CFA=r7+540128 RA=[CFA-8]"}, ""},
		{"def_cfa_offset of 2 GiB", AMD64, instructions(opDefCFAOffset, uleb(1<<31)), []string{"1000 CFA=? RA=same"}, "offset of more than 32 bits"},
		{"def_cfa_offset_sf", AMD64, instructions(opDefCFAOffsetSigned, sleb(-3)), []string{"1000 CFA=r7+24 RA=[CFA-8]"}, ""},
		{"def_cfa_offset_sf of 2 GiB", AMD64, instructions(opDefCFAOffsetSigned, sleb(-1<<28)), []string{"1000 CFA=? RA=same"}, "offset of more than 32 bits"},
		{"def_cfa_register after an expression, as in libgcrypt", AMD64,
			instructions(opDefCFAOffset, 56, next, opDefCFAExpression, expression(opBreg0+7, sleb(536), opDeref, opPlusUconst, 56), next, opDefCFARegister, rsp),
			[]string{"1000 CFA=r7+56 RA=[CFA-8]", "1001 CFA=[r7+536]+56 RA=[CFA-8]", "1002 CFA=r7+56 RA=[CFA-8]"}, ""},
		{"def_cfa_offset after an expression", AMD64,
			instructions(opDefCFAExpression, expression(opBreg0+7, 0, opDeref), next, opDefCFAOffset, 32, next, opDefCFARegister, rsp),
			[]string{"1000 CFA=[r7+0]+0 RA=[CFA-8]", "1001 CFA=[r7+0]+0 RA=[CFA-8]", "1002 CFA=r7+32 RA=[CFA-8]"}, ""},

		{"offset", AMD64, instructions(opOffset|rbp, 2, opOffset|rbx, 3, opOffset|12, 4),
			[]string{"1000 CFA=r7+8 RA=[CFA-8] FP=[CFA-16] RBX=[CFA-24]"}, ""},
		{"offset on arm64", ARM64, instructions(opDefCFAOffset, 32, opOffset|29, 4, opOffset|30, 3, opOffset|3, 2),
			[]string{"1000 CFA=r31+32 RA=[CFA-24] FP=[CFA-32]"}, ""},
		{"offset_extended", AMD64, instructions(opOffsetExtended, rbp, 2), []string{"1000 CFA=r7+8 RA=[CFA-8] FP=[CFA-16]"}, ""},
		{"offset_extended of register 2^64-1", AMD64, instructions(opOffsetExtended, uleb(1<<64-1), 2), []string{"1000 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"offset_extended_sf", AMD64, instructions(opOffsetExtendedSigned, rbp, sleb(-2)), []string{"1000 CFA=r7+8 RA=[CFA-8] FP=[CFA+16]"}, ""},
		{"offset of 2^64-1 units", AMD64, instructions(opOffset|rbp, uleb(1<<64-1)), []string{"1000 CFA=r7+8 RA=[CFA-8] FP=[CFA+8]"}, ""},
		{"offset of 2^62 units", AMD64, instructions(opOffset|rbp, uleb(1<<62)), []string{"1000 CFA=? RA=same"}, "offset of more than 32 bits"},
		{"GNU_negative_offset_extended", AMD64, instructions(opNegativeOffsetExtended, rbp, 2), []string{"1000 CFA=r7+8 RA=[CFA-8] FP=[CFA+16]"}, ""},
		{"val_offset", AMD64, instructions(opValOffset, rbp, 2), []string{"1000 CFA=r7+8 RA=[CFA-8] FP=CFA-16"}, ""},
		{"val_offset_sf", AMD64, instructions(opValOffsetSigned, rbp, sleb(-2)), []string{"1000 CFA=r7+8 RA=[CFA-8] FP=CFA+16"}, ""},
		{"register", AMD64, instructions(opRegister, rip, 2, opRegister, rbp, 17), []string{"1000 CFA=r7+8 RA=r2 FP=?"}, ""},
		{"undefined", AMD64, instructions(opUndefined, rip, opUndefined, rbp), []string{"1000 CFA=r7+8 RA=undefined FP=undefined"}, ""},
		{"same_value", AMD64, instructions(opOffset|rbp, 2, opSameValue, rbp, opSameValue, rip), []string{"1000 CFA=r7+8 RA=r16"}, ""},
		{"restore", AMD64, instructions(opOffset|rip, 5, opOffset|rbp, 2, next, opRestore|rip, opRestore|rbp),
			[]string{"1000 CFA=r7+8 RA=[CFA-40] FP=[CFA-16]", "1001 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"restore_extended", AMD64, instructions(opUndefined, rip, opOffset|rbx, 2, next, opRestoreExtended, rip, opRestoreExtended, rbx),
			[]string{"1000 CFA=r7+8 RA=undefined RBX=[CFA-16]", "1001 CFA=r7+8 RA=[CFA-8]"}, ""},

		{"remember_state and restore_state, twice", AMD64,
			instructions(opDefCFAOffset, 16, opOffset|rbp, 2, opRememberState, next,
				opDefCFA, rbp, 16, opRememberState, next,
				opDefCFA, rsp, 8, opRestore|rbp, next, opRestoreState, next, opRestoreState),
			[]string{"1000 CFA=r7+16 RA=[CFA-8] FP=[CFA-16]", "1001 CFA=r6+16 RA=[CFA-8] FP=[CFA-16]", "1002 CFA=r7+8 RA=[CFA-8]",
				"1003 CFA=r6+16 RA=[CFA-8] FP=[CFA-16]", "1004 CFA=r7+16 RA=[CFA-8] FP=[CFA-16]"}, ""},
		{"restore_state first", AMD64, instructions(next, opRestoreState),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1001 CFA=? RA=same"}, "not remembered"},
		{"remember_state up to the limit", AMD64, bytes.Repeat([]byte{opRememberState}, maxRemembered), []string{"1000 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"remember_state beyond the limit", AMD64, bytes.Repeat([]byte{opRememberState}, maxRemembered+1), []string{"1000 CFA=? RA=same"}, "too many remembered"},

		{"def_cfa_expression of a PLT", AMD64, instructions(opDefCFAExpression, expression(opBreg0+7, 8, opBreg0+16, 0, opLit0+15, opAnd, opLit0+11, opGe, opLit0+3, opShl, opPlus)),
			[]string{"1000 CFA=r7+8,PLT11 RA=[CFA-8]"}, ""},
		{"def_cfa_expression of a PLT with other entries", AMD64, instructions(opDefCFAExpression, expression(opBreg0+7, 8, opBreg0+16, 0, opLit0+15, opAnd, opLit0+10, opGe, opLit0+3, opShl, opPlus)),
			[]string{"1000 CFA=r7+8,PLT10 RA=[CFA-8]"}, ""},
		{"def_cfa_expression of a PLT of 4-byte words", AMD64, instructions(opDefCFAExpression, expression(opBreg0+7, 8, opBreg0+16, 0, opLit0+15, opAnd, opLit0+11, opGe, opLit0+2, opShl, opPlus)),
			[]string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa_expression of a PLT that is amd64's", ARM64, instructions(opDefCFAExpression, expression(opBreg0+7, 8, opBreg0+16, 0, opLit0+15, opAnd, opLit0+11, opGe, opLit0+3, opShl, opPlus)),
			[]string{"1000 CFA=? RA=r30"}, ""},
		{"def_cfa_expression of gcc's", AMD64, instructions(opDefCFAExpression, expression(opBreg0+6, sleb(-8), opDeref)),
			[]string{"1000 CFA=[r6-8]+0 RA=[CFA-8]"}, ""},
		{"def_cfa_expression with bregx", AMD64, instructions(opDefCFAExpression, expression(opBregx, 6, sleb(-8), opDeref)),
			[]string{"1000 CFA=[r6-8]+0 RA=[CFA-8]"}, ""},
		{"def_cfa_expression of OpenSSL's", AMD64, instructions(opDefCFAExpression, expression(opBreg0+7, sleb(152), opDeref, opPlusUconst, 8)),
			[]string{"1000 CFA=[r7+152]+8 RA=[CFA-8]"}, ""},
		{"def_cfa_expression of OpenSSL's AES-GCM", AMD64, instructions(opDefCFAExpression, expression(opBreg0+7, sleb(0), opBreg0+9, 0, opLit0+8, 0x1e, opPlus, opDeref, opPlusUconst, 8)),
			[]string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa_expression that goes on", AMD64, instructions(opDefCFAExpression, expression(opBreg0+6, 0, opDeref, opPlusUconst, 8, opDeref)),
			[]string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa_expression that ends early", AMD64, instructions(opDefCFAExpression, expression(opBreg0+6, 0x80)),
			[]string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa_expression with rip", AMD64, instructions(opDefCFAExpression, expression(opBreg0+16, 0, opDeref)),
			[]string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa_expression of nothing", AMD64, instructions(opDefCFAExpression, 0), []string{"1000 CFA=? RA=[CFA-8]"}, ""},
		{"def_cfa_expression behind the end", AMD64, instructions(next, opDefCFAExpression, 100),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1001 CFA=? RA=same"}, "ends early"},
		{"def_cfa_expression beyond the limit", AMD64, instructions(opDefCFAExpression, expression(make([]byte, maxExpression+1))),
			[]string{"1000 CFA=? RA=same"}, "long expression"},
		{"expression", AMD64, instructions(opExpression, rbp, expression(opBreg0+6, 0), opExpression, rbx, expression(opBreg0+6, sleb(-40))),
			[]string{"1000 CFA=r7+8 RA=[CFA-8] FP=[r6+0] RBX=[r6-40]"}, ""},
		{"expression of another form", AMD64, instructions(opExpression, rbx, expression(opLit0+8, 0x1c)),
			[]string{"1000 CFA=r7+8 RA=[CFA-8] RBX=?"}, ""},
		{"expression that goes on", AMD64, instructions(opExpression, rbp, expression(opBreg0+6, 0, opDeref)),
			[]string{"1000 CFA=r7+8 RA=[CFA-8] FP=?"}, ""},
		{"val_expression", AMD64, instructions(opValExpression, rbp, expression(opBreg0+6, 8)), []string{"1000 CFA=r7+8 RA=[CFA-8] FP=?"}, ""},

		{"stack pointer that is the CFA", AMD64, instructions(opValOffset, rsp, 0), []string{"1000 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"stack pointer that is not the CFA", AMD64, instructions(opRegister, rsp, 8, next, opRestore|rsp),
			[]string{"1000 CFA=? RA=[CFA-8]", "1001 CFA=r7+8 RA=[CFA-8]"}, ""},

		{"GNU_args_size", AMD64, instructions(opArgsSize, uleb(300)), []string{"1000 CFA=r7+8 RA=[CFA-8]"}, ""},
		{"AARCH64_negate_ra_state", ARM64, instructions(opNegateRAState, opNegateRAStateWithPC), []string{"1000 CFA=r31+0 RA=r30"}, ""},
		{"GNU_window_save", AMD64, instructions(next, opNegateRAState),
			[]string{"1000 CFA=r7+8 RA=[CFA-8]", "1001 CFA=? RA=same"}, "instruction 0x2d"},
		{"unknown instruction", AMD64, instructions(opDefCFAOffset, 16, next, 0x3f, 0),
			[]string{"1000 CFA=r7+16 RA=[CFA-8]", "1001 CFA=? RA=same"}, "instruction 0x3f"},
		{"operand behind the end", AMD64, instructions(opNop, opNop, opNop, opNop, opNop, opAdvance4, 1), []string{"1000 CFA=? RA=same"}, "ends early"},
		{"operand of more than 64 bits", AMD64, instructions(opDefCFAOffset, bytes.Repeat([]byte{0xff}, 10), 0), []string{"1000 CFA=? RA=same"}, "more than 64 bits"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := builder{Section: Section{Arch: test.arch}}
			b.covering(b.usual(), 0x1000, 0x2000, test.code)
			rows, problems := read(t, b.Section)
			if !slices.Equal(rows, test.rows) {
				t.Errorf("rows\n\t%s\nwant\n\t%s", strings.Join(rows, "\n\t"), strings.Join(test.rows, "\n\t"))
			}
			if problem := strings.Join(problems, "; "); test.problem == "" && problem != "" || !strings.Contains(problem, test.problem) {
				t.Errorf("problem %q, want %q", problem, test.problem)
			}
		})
	}
}

// TestRestoreInitial restores rules that the CIE has given.
func TestRestoreInitial(t *testing.T) {
	b := builder{Section: Section{Arch: AMD64}}
	cie := b.cie(cieSpec{augmentation: "zR", data: []byte{formatU64},
		initial: []byte{opDefCFA, 6, 16, opOffset | 16, 1, opOffset | 6, 2, opOffset | 3, 3, opRegister, 7, 8}})
	b.covering(cie, 0x1000, 0x1010, opSameValue, 6, opSameValue, 3, opSameValue, 7, opUndefined, 16,
		opAdvance|1, opRestore|6, opRestore|3, opRestore|16, opAdvance|1, opRestore|7)
	rows, problems := read(t, b.Section)
	want := []string{"1000 CFA=r6+16 RA=undefined", "1001 CFA=r6+16 RA=[CFA-8] FP=[CFA-16] RBX=[CFA-24]", "1002 CFA=? RA=[CFA-8] FP=[CFA-16] RBX=[CFA-24]"}
	if !slices.Equal(rows, want) || problems != nil {
		t.Errorf("%q %q, want %q", rows, problems, want)
	}
}

// TestRememberedByOthers does not restore what another FDE or the CIE has
// remembered.
func TestRememberedByOthers(t *testing.T) {
	b := builder{Section: Section{Arch: AMD64}}
	cie := b.cie(cieSpec{augmentation: "zR", data: []byte{formatU64}, initial: []byte{opDefCFA, 7, 8, opRememberState}})
	b.covering(cie, 0x1000, 0x1010, opRememberState)
	b.covering(cie, 0x2000, 0x2010, opRestoreState)
	rows, problems := read(t, b.Section)
	want := []string{"1000 CFA=r7+8 RA=r16", "2000 CFA=? RA=same"}
	if !slices.Equal(rows, want) || len(problems) != 1 || !strings.Contains(problems[0], "not remembered") {
		t.Errorf("%q %q, want %q", rows, problems, want)
	}
}
