package ehframe

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// builder writes sections of call frame information.
type builder struct {
	Section
	wide bool // 64-bit DWARF
}

// cieSpec is a CIE to write. Zero values mean what compilers write.
type cieSpec struct {
	version      uint8
	augmentation string
	data         []byte // augmentation data, of a "z"
	codeAlign    uint64
	dataAlign    int64
	ra           uint64
	initial      []byte
	sizes        []byte // version 4: of addresses and of segment selectors
}

func uleb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func sleb(v int64) []byte {
	var b []byte
	for {
		low := byte(v & 0x7f)
		v >>= 7
		if v == 0 && low&0x40 == 0 || v == -1 && low&0x40 != 0 {
			return append(b, low)
		}
		b = append(b, low|0x80)
	}
}

func u16(v uint16) []byte { return binary.LittleEndian.AppendUint16(nil, v) }
func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
func u64(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }

// instructions concatenates bytes, numbers and slices of bytes.
func instructions(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch part := part.(type) {
		case int:
			b = append(b, byte(part))
		case []byte:
			b = append(b, part...)
		default:
			panic(fmt.Sprintf("%T", part))
		}
	}
	return b
}

// expression returns a block of operations.
func expression(parts ...any) []byte {
	b := instructions(parts...)
	return append(uleb(uint64(len(b))), b...)
}

// entry appends an entry: an identifier and what follows it.
func (b *builder) entry(id, body []byte) int {
	offset := len(b.Data)
	body = slices.Concat(id, body)
	for len(body)%8 != 4 {
		body = append(body, opNop)
	}
	if b.wide {
		b.Data = append(b.Data, u32(0xffffffff)...)
		b.Data = append(b.Data, u64(uint64(len(body)))...)
	} else {
		b.Data = append(b.Data, u32(uint32(len(body)))...)
	}
	b.Data = append(b.Data, body...)
	return offset
}

func (b *builder) cie(c cieSpec) int {
	if c.version == 0 {
		c.version = 1
	}
	if c.codeAlign == 0 {
		c.codeAlign = 1
	}
	if c.dataAlign == 0 {
		c.dataAlign = -8
	}
	if c.ra == 0 {
		c.ra = 16
		if b.Arch == ARM64 {
			c.ra = 30
		}
	}
	body := []byte{c.version}
	body = append(body, c.augmentation...)
	body = append(body, 0)
	if c.version == 4 {
		body = append(body, c.sizes...)
	}
	body = append(body, uleb(c.codeAlign)...)
	body = append(body, sleb(c.dataAlign)...)
	body = append(body, uleb(c.ra)...)
	if strings.HasPrefix(c.augmentation, "z") {
		body = append(body, uleb(uint64(len(c.data)))...)
		body = append(body, c.data...)
	}
	id := u32(0)
	if b.Debug {
		id = u32(0xffffffff)
		if b.wide {
			id = u64(0xffffffffffffffff)
		}
	}
	return b.entry(id, append(body, c.initial...))
}

// fde appends an FDE of the CIE, with everything that follows its identifier.
func (b *builder) fde(cie int, body ...[]byte) int {
	field := len(b.Data) + 4
	if b.wide {
		field += 8
	}
	id := u32(uint32(field - cie))
	if b.Debug {
		id = u32(uint32(cie))
		if b.wide {
			id = u64(uint64(cie))
		}
	}
	return b.entry(id, slices.Concat(body...))
}

// usual appends a CIE as compilers write it: absolute addresses, CFA=SP+8 and
// the return address below it, or on arm64 CFA=SP.
func (b *builder) usual() int {
	c := cieSpec{augmentation: "zR", data: []byte{formatU64}}
	if b.Arch == AMD64 {
		c.initial = []byte{opDefCFA, 7, 8, opOffset | 16, 1}
	} else {
		c.initial, c.codeAlign = []byte{opDefCFA, 31, 0}, 4
	}
	return b.cie(c)
}

// covering appends an FDE of a CIE as usual writes it.
func (b *builder) covering(cie int, start, limit uint64, parts ...any) int {
	return b.fde(cie, u64(start), u64(limit-start), uleb(0), instructions(parts...))
}

// read returns the section's rows as text, and what was wrong.
func read(t testing.TB, s Section) (rows, problems []string) {
	t.Helper()
	r, err := NewReader(s)
	if err != nil {
		return nil, []string{err.Error()}
	}
	for {
		f, err := r.Next()
		if err != nil {
			if err != io.EOF {
				problems = append(problems, err.Error())
			}
			if _, again := r.Next(); again != io.EOF {
				t.Errorf("%v after %v", again, err)
			}
			break
		}
		if err := r.Rows(f, func(row Row) { rows = append(rows, format(row)) }); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if skipped := r.Skipped(); skipped.FDEs > 0 {
		problems = append(problems, fmt.Sprintf("%d skipped: %v", skipped.FDEs, skipped.First))
	}
	return rows, problems
}

// format writes a row as "PC CFA=rule RA=rule FP=rule RBX=rule signal"; a
// register that is the same, or that the architecture lacks, is left out.
func format(row Row) string {
	rule := row.Rule
	cfa := rule.CFA
	base := fmt.Sprintf("r%d%+d", cfa.Register, cfa.Offset)
	s := fmt.Sprintf("%x CFA=", row.PC)
	switch cfa.Kind {
	case CFAEnd:
		return fmt.Sprintf("%x end", row.PC)
	case CFARegister:
		s += base
	case CFADeref:
		s += fmt.Sprintf("[%s]%+d", base, cfa.Extra)
	case CFAPLT:
		s += fmt.Sprintf("%s,PLT%d", base, cfa.Extra)
	case CFASignal:
		s += fmt.Sprintf("frame[%s]", base)
	case CFAUnsupported:
		s += "?"
	}
	register := func(r RegisterRule) string {
		switch r.Kind {
		case Same:
			return "same"
		case Undefined:
			return "undefined"
		case AtCFA:
			return fmt.Sprintf("[CFA%+d]", r.Offset)
		case AtRegister:
			return fmt.Sprintf("[r%d%+d]", r.Register, r.Offset)
		case IsCFA:
			return fmt.Sprintf("CFA%+d", r.Offset)
		case InRegister:
			return fmt.Sprintf("r%d", r.Register)
		}
		return "?"
	}
	s += " RA=" + register(rule.RA)
	if rule.FP.Kind != Same {
		s += " FP=" + register(rule.FP)
	}
	if rule.RBX.Kind != Same && rule.RBX.Kind != Undefined {
		s += " RBX=" + register(rule.RBX)
	}
	if rule.Signal {
		s += " signal"
	}
	return s
}
