package ehframe

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRandomAgainstLLVM compares the rows of sections of random instructions
// with llvm-dwarfdump's. Compilers write few of them. Left out is what
// llvm-dwarfdump does not read, or reads otherwise than libgcc.
func TestRandomAgainstLLVM(t *testing.T) {
	for _, test := range []struct {
		arch     Arch
		compiler string
		section  string
	}{
		{AMD64, "gcc", ".eh_frame"},
		{AMD64, "gcc", ".debug_frame"},
		{ARM64, "aarch64-linux-gnu-gcc", ".eh_frame"},
		{ARM64, "aarch64-linux-gnu-gcc", ".debug_frame"},
	} {
		t.Run(test.compiler+test.section, func(t *testing.T) {
			b := builder{Section: Section{Arch: test.arch, Debug: test.section == ".debug_frame"}}
			g := generator{Rand: rand.New(rand.NewPCG(1, uint64(test.arch))), builder: &b}
			for range 50 {
				g.writeCIE()
				for range g.IntN(40) {
					g.writeFDE()
				}
			}
			compare(t, assemble(t, test.compiler, test.section, b.Data), test.section)
		})
	}
}

// assemble makes an object file with the section.
func assemble(t testing.TB, compiler, section string, data []byte) string {
	t.Helper()
	dir := t.TempDir()
	source, object := filepath.Join(dir, "a.s"), filepath.Join(dir, "a.o")
	if err := os.WriteFile(filepath.Join(dir, "data"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(source, fmt.Appendf(nil, ".section %s,\"\",@progbits\n.incbin \"data\"\n", section), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(compiler, "-c", "-o", object, source)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s is missing or failed: run testdata/install-deps.sh: %v\n%s", compiler, err, out)
	}
	return object
}

// generator writes random entries.
type generator struct {
	*rand.Rand
	*builder

	cieAt    int
	spec     cieSpec
	encoding uint8

	// What llvm-dwarfdump's ways make it necessary to know of the state.
	expression []bool // the CFA is an expression; remembered ones, too
}

func (g *generator) writeCIE() {
	g.wide = g.IntN(5) == 0
	g.spec = cieSpec{codeAlign: uint64(1 + g.IntN(4)), dataAlign: []int64{-8, -4, 1, 8}[g.IntN(4)], version: 1}
	g.encoding = formatNative
	if g.IntN(3) == 0 {
		g.spec.version = 3
	}
	if g.Debug {
		if g.IntN(3) == 0 {
			g.spec.version, g.spec.sizes = 4, []byte{8, 0}
		}
	} else {
		g.encoding = []uint8{formatNative, formatU32, formatU64, formatS64, relativePC | formatS32, relativePC | formatS64}[g.IntN(6)]
		g.spec.augmentation, g.spec.data = "zR", []byte{g.encoding}
		switch g.IntN(4) {
		case 0:
			g.spec.augmentation, g.spec.data = "zPLR", instructions(formatU32, u32(g.Uint32()), formatU32, int(g.encoding))
		case 1:
			g.spec.augmentation += "S"
		case 2:
			if g.Arch == ARM64 {
				g.spec.augmentation += []string{"B", "G"}[g.IntN(2)]
			}
		}
	}
	g.spec.initial = instructions(opDefCFA, uleb(g.register()), uleb(g.Uint64N(64)))
	for range g.IntN(3) {
		if rule := g.rule(); rule[0]&opMask != opRestore && rule[0] != opRestoreExtended {
			g.spec.initial = append(g.spec.initial, rule...)
		}
	}
	g.cieAt = g.cie(g.spec)
}

func (g *generator) writeFDE() {
	start, size := g.Uint64N(1<<30), g.Uint64N(2000)
	var code []byte
	g.expression = []bool{false}
	for range g.IntN(30) {
		code = append(code, g.instruction(start)...)
	}
	address := start
	if g.encoding&relativeMask == relativePC {
		field := len(g.Data) + 8
		if g.wide {
			field += 8
		}
		address -= g.Address + uint64(field)
	}
	number := func(v uint64) []byte {
		if format := g.encoding & formatMask; format == formatU32 || format == formatS32 {
			return u32(uint32(v))
		}
		return u64(v)
	}
	fields := [][]byte{number(address), number(size)}
	switch g.spec.augmentation {
	case "":
	case "zPLR":
		fields = append(fields, []byte{4}, u32(g.Uint32()))
	default:
		fields = append(fields, []byte{0})
	}
	g.fde(g.cieAt, append(fields, code)...)
}

// register returns a register's number, often of one that matters.
func (g *generator) register() uint64 {
	if g.Arch == ARM64 {
		return []uint64{29, 30, 31, 29, 30, g.Uint64N(32)}[g.IntN(6)]
	}
	return []uint64{3, 6, 7, 16, 6, g.Uint64N(17)}[g.IntN(6)]
}

// base returns a register other than amd64's program counter.
func (g *generator) base() int {
	if register := int(g.register()); register != 16 || g.Arch == ARM64 {
		return register
	}
	return 7
}

func (g *generator) small() []byte { return sleb(g.Int64N(2000) - 1000) }

func (g *generator) instruction(start uint64) []byte {
	top := len(g.expression) - 1
	switch g.IntN(16) {
	case 0, 1, 2, 3:
		return []byte{opAdvance | byte(1+g.IntN(63))}
	case 4:
		return []byte{opAdvance1, byte(1 + g.IntN(255))}
	case 5:
		switch g.IntN(3) {
		case 0:
			return instructions(opAdvance2, u16(uint16(1+g.IntN(300))))
		case 1:
			return instructions(opAdvance4, u32(uint32(1+g.IntN(300))))
		}
		return instructions(opArgsSize, uleb(g.Uint64()))
	case 6:
		g.expression[top] = false
		return instructions(opDefCFA, uleb(g.register()), uleb(g.Uint64N(1<<20)))
	case 7:
		g.expression[top] = false
		return instructions(opDefCFASigned, uleb(g.register()), g.small())
	case 8:
		if g.expression[top] {
			return nil
		}
		return [][]byte{instructions(opDefCFAOffset, uleb(g.Uint64N(1<<31/8))), instructions(opDefCFAOffsetSigned, g.small()),
			instructions(opDefCFARegister, uleb(g.register()))}[g.IntN(3)]
	case 9:
		g.expression[top] = true
		return g.cfaExpression()
	case 10:
		g.expression = append(g.expression, g.expression[top])
		return []byte{opRememberState}
	case 11:
		if top == 0 {
			return nil
		}
		g.expression = g.expression[:top]
		return []byte{opRestoreState}
	case 12:
		if g.Arch == ARM64 {
			return []byte{opNegateRAState}
		}
		return []byte{opNop}
	}
	return g.rule()
}

func (g *generator) cfaExpression() []byte {
	switch base := opBreg0 + g.base(); g.IntN(5) {
	case 0:
		return instructions(opDefCFAExpression, expression(base, g.small(), opDeref))
	case 1:
		return instructions(opDefCFAExpression, expression(base, g.small(), opDeref, opPlusUconst, uleb(g.Uint64N(1<<12))))
	case 2:
		return instructions(opDefCFAExpression, expression(base, g.small(), opBreg0+16, 0, opLit0+15, opAnd, opLit0+g.IntN(32), opGe, opLit0+3, opShl, opPlus))
	case 3:
		return instructions(opDefCFAExpression, expression(base, g.small(), opLit0+g.IntN(32), opPlus, opDeref))
	default:
		return instructions(opDefCFAExpression, expression(base, g.small(), opDeref, opDeref))
	}
}

func (g *generator) rule() []byte {
	register := g.register()
	r := uleb(register)
	switch g.IntN(13) {
	case 0, 1:
		return instructions(opOffset|int(register), uleb(g.Uint64N(1000)))
	case 2, 3:
		return []byte{opRestore | byte(register)}
	case 4:
		return instructions(opOffsetExtended, r, uleb(g.Uint64N(1000)))
	case 5:
		return instructions(opOffsetExtendedSigned, r, g.small())
	case 6:
		return instructions([]int{opUndefined, opSameValue, opRestoreExtended}[g.IntN(3)], r)
	case 7:
		return instructions(opRegister, r, uleb(g.register()))
	case 8:
		return instructions(opValOffset, r, uleb(g.Uint64N(1000)))
	case 9:
		return instructions(opValOffsetSigned, r, g.small())
	case 10:
		return instructions(opValExpression, r, expression(opBreg0+g.base(), g.small()))
	case 11:
		return instructions(opExpression, r, expression(opBreg0+g.base(), g.small(), opDeref))
	default:
		return instructions(opExpression, r, expression(opBreg0+g.base(), g.small()))
	}
}
