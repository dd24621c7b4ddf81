package ehframe

import (
	"bufio"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

var files = flag.String("files", "", "comma-separated ELF files to compare with llvm-dwarfdump besides the usual ones")

// TestAgainstLLVM compares the rows of this system's libraries with those that
// llvm-dwarfdump prints.
func TestAgainstLLVM(t *testing.T) {
	paths := []string{
		library(t, "gcc", "libc.so.6"), library(t, "gcc", "ld-linux-x86-64.so.2"),
		library(t, "gcc", "libstdc++.so.6"), library(t, "gcc", "libcrypto.so.3"),
		library(t, "aarch64-linux-gnu-gcc", "libc.so.6"), library(t, "aarch64-linux-gnu-gcc", "ld-linux-aarch64.so.1"),
		library(t, "aarch64-linux-gnu-gcc", "libstdc++.so.6"),
		workloads.BOLT(t, workloads.Build(t, "cpp/mixed.cc", "-fomit-frame-pointer", workloads.ForBOLT), workloads.Scattered...),
	}
	if *files != "" {
		paths = append(paths, strings.Split(*files, ",")...)
	}
	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			compare(t, path, ".eh_frame")
		})
	}
}

// library returns the path of a library that the compiler links.
func library(t testing.TB, compiler, name string) string {
	t.Helper()
	out, err := exec.Command(compiler, "-print-file-name="+name).Output()
	path := strings.TrimSpace(string(out))
	if err != nil || path == name {
		t.Fatalf("%s has no %s: run testdata/install-deps.sh: %v", compiler, name, err)
	}
	return path
}

// open returns a section of call frame information of a file.
func open(t testing.TB, path, name string) Section {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	section := f.Section(name)
	if section == nil {
		t.Fatalf("%s has no %s", path, name)
	}
	data, err := section.Data()
	if err != nil {
		t.Fatal(err)
	}
	s := Section{Data: data, Address: section.Addr, Debug: name == ".debug_frame"}
	switch f.Machine {
	case elf.EM_X86_64:
		s.Arch = AMD64
	case elf.EM_AARCH64:
		s.Arch = ARM64
	default:
		t.Fatalf("%s is for %v", path, f.Machine)
	}
	return s
}

// count returns how often the section has each row.
func count(t testing.TB, s Section) (rows map[Row]int, total int) {
	t.Helper()
	r, err := NewReader(s)
	if err != nil {
		t.Fatal(err)
	}
	rows = make(map[Row]int)
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Rows(f, func(row Row) {
			rows[row]++
			total++
		}); err != nil {
			t.Error(err)
		}
	}
	if skipped := r.Skipped(); skipped.FDEs > 0 {
		t.Errorf("%d FDEs skipped, the first: %v", skipped.FDEs, skipped.First)
	}
	return rows, total
}

// compare compares the section's rows with llvm-dwarfdump's: they are equal,
// each with how often it is there, but for rows of llvm-dwarfdump's at and after
// the end of an FDE, which hold for no address.
func compare(t *testing.T, path, section string) {
	t.Helper()
	s := open(t, path, section)
	ours, total := count(t, s)
	equal, behind := 0, 0
	for row := range dump(t, s.Arch, path, section) {
		if row.PC >= row.limit {
			behind++
			continue
		}
		if ours[row.Row]--; ours[row.Row] < 0 {
			t.Errorf("llvm-dwarfdump has %s: %+v", row.text, row.Row)
		} else {
			equal++
		}
		if ours[row.Row] == 0 {
			delete(ours, row.Row)
		}
	}
	for row, n := range ours {
		if n > 0 {
			t.Errorf("llvm-dwarfdump lacks %d of %+v", n, row)
		}
	}
	if equal == 0 {
		t.Error("llvm-dwarfdump printed no rows")
	}
	t.Logf("%d rows, %d of them equal; llvm-dwarfdump has %d at or behind the end of an FDE", total, equal, behind)
}

// llvmRow is a row as llvm-dwarfdump has it.
type llvmRow struct {
	Row
	limit uint64 // of the FDE
	text  string
}

var (
	llvmCIE = regexp.MustCompile(`^([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ CIE$`)
	llvmFDE = regexp.MustCompile(`^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.\.([0-9a-f]+)$`)
)

// dump yields the rows that llvm-dwarfdump prints for a section.
func dump(t testing.TB, arch Arch, path, section string) func(yield func(llvmRow) bool) {
	t.Helper()
	return func(yield func(llvmRow) bool) {
		option := map[string]string{".eh_frame": "--eh-frame", ".debug_frame": "--debug-frame"}[section]
		cmd := exec.Command("llvm-dwarfdump-19", option, path)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatalf("llvm-dwarfdump-19 is missing: install it with apt-get install llvm-19: %v", err)
		}
		p := llvmParser{arch: arch}
		type common struct {
			signal bool
			column string
		}
		cies := make(map[string]*common) // by offset
		var cie *common
		var limit uint64
		inSection := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := lines.Text()
			if strings.HasSuffix(line, " contents:") {
				inSection = line == section+" contents:"
			} else if !inSection {
				continue
			} else if m := llvmCIE.FindStringSubmatch(line); m != nil {
				cie = new(common)
				cies[m[1]] = cie
			} else if letters, ok := strings.CutPrefix(line, "  Augmentation:  "); ok {
				cie.signal = strings.Contains(letters, "S")
			} else if column, ok := strings.CutPrefix(line, "  Return address column: "); ok {
				cie.column = column
			} else if m := llvmFDE.FindStringSubmatch(line); m != nil {
				if cie = cies[m[1]]; cie == nil {
					t.Fatalf("llvm-dwarfdump-19 %s printed no CIE for %q", path, line)
				}
				limit = p.hex(m[3])
			} else if strings.HasPrefix(line, "  0x") {
				row := llvmRow{Row: p.row(line[4:], cie.signal, cie.column), limit: limit, text: strings.TrimSpace(line)}
				if !yield(row) {
					break
				}
			}
			if p.err != nil {
				t.Fatalf("llvm-dwarfdump-19 %s printed %q: %v", path, line, p.err)
			}
		}
		if err := cmd.Wait(); err != nil || stderr.Len() > 0 {
			t.Fatalf("llvm-dwarfdump-19 %s: %v\n%s", path, err, stderr.String())
		}
	}
}

// llvmParser reads what llvm-dwarfdump prints as rows.
type llvmParser struct {
	arch Arch
	err  error
}

func (p *llvmParser) hex(s string) uint64 {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil {
		p.err = err
	}
	return n
}

func (p *llvmParser) offset(s string) int32 {
	if s == "" {
		return 0
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil {
		p.err = err
	}
	return int32(n)
}

// row reads "PC: CFA=rule: register=rule, register=rule".
func (p *llvmParser) row(line string, signal bool, column string) Row {
	address, rest, _ := strings.Cut(line, ": ")
	cfa, rest, _ := strings.Cut(rest, ": ")
	row := Row{PC: p.hex(address), Rule: Rule{CFA: p.cfa(strings.TrimPrefix(cfa, "CFA=")), Signal: signal}}
	rule := &row.Rule
	sp, fp, ra := "RSP", "RBP", "RIP"
	if p.arch == ARM64 {
		sp, fp, ra = "WSP", "W29", "W"+column
		rule.RBX.Kind = Undefined
	} else if column != "16" {
		ra = llvmAMD64[p.offset(column)]
	}
	rule.RA = RegisterRule{Kind: InRegister, Register: uint8(p.offset(column))}
	for _, field := range splitFields(rest) {
		register, text, _ := strings.Cut(field, "=")
		switch {
		case register == ra:
			if text != "same" {
				rule.RA = p.register(text)
			}
		case register == fp:
			rule.FP = p.register(text)
		case register == "RBX":
			rule.RBX = p.register(text)
		case register == sp:
			if signal && rule.CFA == (CFARule{Kind: CFADeref, Register: 7, Offset: 160}) && text == "[DW_OP_breg7 RSP+160]" {
				rule.CFA.Kind = CFASignal
			} else if text != "CFA" && text != "same" {
				rule.CFA = CFARule{Kind: CFAUnsupported}
			}
		}
	}
	return row
}

// splitFields splits at the commas between registers, not at those within
// expressions.
func splitFields(s string) []string {
	var fields []string
	for part := range strings.SplitSeq(s, ", ") {
		if strings.HasPrefix(part, "DW_OP") || !strings.Contains(part, "=") {
			if len(fields) > 0 {
				fields[len(fields)-1] += ", " + part
			}
			continue
		}
		fields = append(fields, part)
	}
	return fields
}

var (
	llvmRegister = regexp.MustCompile(`^([A-Z]+[0-9]*)([+-]\d+)?$`)
	llvmDeref    = regexp.MustCompile(`^DW_OP_breg(\d+) [A-Z0-9]+([+-]\d+), DW_OP_deref(?:, DW_OP_plus_uconst 0x([0-9a-f]+))?$`)
	llvmBreg     = regexp.MustCompile(`^DW_OP_breg(\d+) [A-Z0-9]+([+-]\d+)$`)
	llvmPLT      = regexp.MustCompile(`^DW_OP_breg(\d+) [A-Z0-9]+([+-]\d+), DW_OP_breg16 RIP\+0, DW_OP_lit15, DW_OP_and, DW_OP_lit(\d+), DW_OP_ge, DW_OP_lit3, DW_OP_shl, DW_OP_plus$`)

	llvmAMD64 = []string{"RAX", "RDX", "RCX", "RBX", "RSI", "RDI", "RBP", "RSP", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15"}
)

// number returns the number of a register, or false when it is none that an
// address can be in.
func (p *llvmParser) number(name string) (uint8, bool) {
	if p.arch == AMD64 {
		n := slices.Index(llvmAMD64, name)
		return uint8(n), n >= 0
	}
	if name == "WSP" {
		return 31, true
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(name, "W"), 10, 8)
	return uint8(n), err == nil && n < 31 && name[0] == 'W'
}

// numbered reads the number of a register.
func (p *llvmParser) numbered(s string) (uint8, bool) {
	n := p.offset(s)
	return uint8(n), n <= 15 || p.arch == ARM64 && n <= 31
}

func (p *llvmParser) cfa(text string) CFARule {
	if m := llvmRegister.FindStringSubmatch(text); m != nil {
		if register, ok := p.number(m[1]); ok {
			return CFARule{Kind: CFARegister, Register: register, Offset: p.offset(m[2])}
		}
	} else if m := llvmDeref.FindStringSubmatch(text); m != nil {
		extra := uint64(0)
		if m[3] != "" {
			extra = p.hex(m[3])
		}
		if register, ok := p.numbered(m[1]); ok && extra < 1<<31 {
			return CFARule{Kind: CFADeref, Register: register, Offset: p.offset(m[2]), Extra: int32(extra)}
		}
	} else if m := llvmPLT.FindStringSubmatch(text); m != nil && p.arch == AMD64 {
		if register, ok := p.numbered(m[1]); ok {
			return CFARule{Kind: CFAPLT, Register: register, Offset: p.offset(m[2]), Extra: p.offset(m[3])}
		}
	} else if !strings.HasPrefix(text, "DW_OP") && text != "unspecified" {
		p.err = fmt.Errorf("CFA %q", text)
	}
	return CFARule{Kind: CFAUnsupported}
}

func (p *llvmParser) register(text string) RegisterRule {
	inner, saved := strings.CutPrefix(text, "[")
	inner = strings.TrimSuffix(inner, "]")
	if offset, ok := strings.CutPrefix(inner, "CFA"); ok {
		kind := IsCFA
		if saved {
			kind = AtCFA
		}
		return RegisterRule{Kind: kind, Offset: p.offset(offset)}
	}
	switch {
	case text == "same":
		return RegisterRule{Kind: Same}
	case text == "undefined":
		return RegisterRule{Kind: Undefined}
	case saved:
		if m := llvmBreg.FindStringSubmatch(inner); m != nil {
			if register, ok := p.numbered(m[1]); ok {
				return RegisterRule{Kind: AtRegister, Register: register, Offset: p.offset(m[2])}
			}
		}
		return RegisterRule{Kind: Unsupported}
	}
	if m := llvmRegister.FindStringSubmatch(text); m != nil {
		if text == "RIP" {
			return RegisterRule{Kind: InRegister, Register: 16}
		}
		if register, ok := p.number(m[1]); ok && m[2] == "" {
			return RegisterRule{Kind: InRegister, Register: register}
		}
	} else if !strings.HasPrefix(text, "DW_OP") {
		p.err = fmt.Errorf("register %q", text)
	}
	return RegisterRule{Kind: Unsupported}
}
