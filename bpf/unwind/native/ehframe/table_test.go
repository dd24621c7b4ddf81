package ehframe

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

// tableRows returns the table's rows for a range as text.
func tableRows(t testing.TB, table *Table, start, limit uint64) []string {
	t.Helper()
	var rows []string
	if skipped := table.Rows(start, limit, func(row Row) { rows = append(rows, format(row)) }); skipped.FDEs > 0 {
		rows = append(rows, skipped.First.Error())
	}
	return rows
}

// TestTable puts FDEs in order and cuts ranges out of them.
func TestTable(t *testing.T) {
	const called = " CFA=r7+8 RA=[CFA-8]"
	const pushed = " CFA=r7+16 RA=[CFA-8]"
	push := instructions(opAdvance|1, opDefCFAOffset, 16)
	for _, test := range []struct {
		name         string
		write        func(b *builder, cie int)
		start, limit uint64
		want         []string
	}{
		{"no FDE", func(b *builder, cie int) {}, 0, 100, []string{"0 end"}},
		{"no range", func(b *builder, cie int) {}, 100, 100, nil},
		{"before, in and behind", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010, push)
		}, 0, 0x2000, []string{"0 end", "1000" + called, "1001" + pushed, "1010 end"}},
		{"not in order", func(b *builder, cie int) {
			b.covering(cie, 0x2000, 0x2010)
			b.covering(cie, 0x1000, 0x1010, push)
		}, 0x1000, 0x2010, []string{"1000" + called, "1001" + pushed, "1010 end", "2000" + called}},
		{"padding of 15 bytes", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1011, push)
			b.covering(cie, 0x1020, 0x1030)
		}, 0x1000, 0x1030, []string{"1000" + called, "1001" + pushed, "1020" + called}},
		{"gap of 16 bytes", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010, push)
			b.covering(cie, 0x1020, 0x1030)
		}, 0x1000, 0x1030, []string{"1000" + called, "1001" + pushed, "1010 end", "1020" + called}},
		{"equal neighbours", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010, opAdvance|1, opDefCFAOffset, 16, opAdvance|1, opOffset|12, 2, opAdvance|1, opDefCFAOffset, 8)
			b.covering(cie, 0x1010, 0x1020)
			b.covering(cie, 0x1028, 0x1030)
		}, 0x1000, 0x1030, []string{"1000" + called, "1001" + pushed, "1003" + called}},
		{"equal over a gap", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010)
			b.covering(cie, 0x1800, 0x1810)
		}, 0x1000, 0x1810, []string{"1000" + called, "1010 end", "1800" + called}},
		{"an FDE ends where the next begins", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1020, opAdvance|4, opDefCFAOffset, 16, opAdvance|0x10, opDefCFAOffset, 24)
			b.covering(cie, 0x1010, 0x1018)
		}, 0x1000, 0x1030, []string{"1000" + called, "1004" + pushed, "1010" + called, "1018 end"}},
		{"signal return, whose FDE begins a byte before it", func(b *builder, cie int) {
			signal := b.cie(cieSpec{augmentation: "zRS", data: []byte{formatU64}, initial: []byte{opDefCFA, 7, 8, opOffset | 16, 1}})
			b.covering(cie, 0x1000, 0x1010)
			b.covering(signal, 0x100f, 0x1018)
		}, 0x1000, 0x1018, []string{"1000" + called, "100f" + called + " signal"}},
		{"of FDEs from one address on the longest counts", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1008)
			b.covering(cie, 0x1000, 0x1010, opDefCFAOffset, 16)
			b.covering(cie, 0x1000, 0x1010, opDefCFAOffset, 24)
		}, 0x1000, 0x1010, []string{"1000" + pushed}},
		{"range that begins within a row and ends within another", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010, opDefCFAOffset, 24, opAdvance|4, opDefCFAOffset, 16, opAdvance|4, opDefCFAOffset, 8, opAdvance|4, opDefCFAOffset, 32)
		}, 0x1006, 0x100b, []string{"1006" + pushed, "1008" + called}},
		{"range that begins at a row", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010, push)
		}, 0x1001, 0x1002, []string{"1001" + pushed}},
		{"range that ends before the first row", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010, push)
		}, 0x0fff, 0x1000, []string{"fff end"}},
		{"range that begins in padding", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1018)
			b.covering(cie, 0x1020, 0x1030)
		}, 0x1019, 0x1030, []string{"1019 end", "1020" + called}},
		{"range that begins behind all", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1018)
		}, 0x1018, 0x2000, []string{"1018 end"}},
		{"to the last address", func(b *builder, cie int) {
			b.covering(cie, 1<<64-0x10, 1<<64-1)
		}, 1<<64 - 8, 1<<64 - 1, []string{"fffffffffffffff8" + called}},
		{"wrong instruction", func(b *builder, cie int) {
			b.covering(cie, 0x1000, 0x1010, opAdvance|1, 0x3f)
			b.covering(cie, 0x1010, 0x1020)
		}, 0x1000, 0x1020, []string{"1000" + called, "1001 CFA=? RA=same", "1010" + called, "read FDE at 0x18: instruction 0x3f"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := builder{Section: Section{Arch: AMD64}}
			test.write(&b, b.usual())
			table, err := NewTable(b.Section)
			if err != nil || table.Skipped().FDEs > 0 {
				t.Fatal(err, table.Skipped())
			}
			if got := tableRows(t, table, test.start, test.limit); !slices.Equal(got, test.want) {
				t.Errorf("rows\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(test.want, "\n\t"))
			}
		})
	}
}

// TestTableOfDamaged keeps what is whole of a section that is not.
func TestTableOfDamaged(t *testing.T) {
	b := builder{Section: Section{Arch: AMD64}}
	cie := b.usual()
	b.covering(cie, 0x1000, 0x1010)
	b.covering(len(b.Data)+100, 0x2000, 0x2010) // no CIE there
	b.covering(cie, 0x3000, 0x3010)
	b.Data = append(b.Data, 100, 0, 0, 0)
	table, err := NewTable(b.Section)
	if err == nil || err.Error() != "read entry at 0x78: ends early" {
		t.Errorf("error %v", err)
	}
	if skipped := table.Skipped(); skipped.FDEs != 1 || skipped.First.Error() != "read FDE at 0x38: no CIE where it refers to" {
		t.Errorf("skipped %+v", skipped)
	}
	want := []string{"1000 CFA=r7+8 RA=[CFA-8]", "1010 end", "3000 CFA=r7+8 RA=[CFA-8]"}
	start, limit := table.Range()
	if got := tableRows(t, table, start, limit); table.Len() != 2 || limit != 0x3010 || !slices.Equal(got, want) {
		t.Errorf("%d FDEs up to %#x, rows %q, want %q", table.Len(), limit, got, want)
	}
	empty, err := NewTable(Section{Arch: ARM64})
	if err != nil {
		t.Fatal(err)
	}
	if start, limit := empty.Range(); start != limit || empty.Len() != 0 {
		t.Errorf("empty section has range %#x to %#x", start, limit)
	}
}

// TestTooManyFDEs keeps as many as a table may hold.
func TestTooManyFDEs(t *testing.T) {
	b := builder{Section: Section{Arch: AMD64}}
	cie := b.cie(cieSpec{augmentation: "zR", data: []byte{formatU32}})
	b.Data = slices.Grow(b.Data, 24*(maxFDEs+1))
	for i := range maxFDEs + 1 {
		b.fde(cie, u32(uint32(i)), u32(1), []byte{0})
	}
	table, err := NewTable(b.Section)
	if table.Len() != maxFDEs || err == nil || err.Error() != "more than 4194304 FDEs" {
		t.Errorf("%d FDEs, %v", table.Len(), err)
	}
}

// TestTableAgainstReader looks up addresses of libraries in their tables' rows,
// and compares with the rows of the FDE that covers the address: at each row and
// each end of an FDE, and one before and after.
func TestTableAgainstReader(t *testing.T) {
	for _, path := range []string{library(t, "gcc", "libc.so.6"), library(t, "gcc", "libcrypto.so.3"), library(t, "aarch64-linux-gnu-gcc", "libc.so.6")} {
		t.Run(path, func(t *testing.T) {
			s := open(t, path, ".eh_frame")
			table, err := NewTable(s)
			if err != nil || table.Skipped().FDEs > 0 {
				t.Fatal(err, table.Skipped())
			}
			start, limit := table.Range()
			const piece = 64 << 10 // the rows are made for pieces, as for the kernel
			var rows []Row
			for at := start; at < limit; at += piece {
				first := len(rows)
				if skipped := table.Rows(at, min(at+piece, limit), func(row Row) { rows = append(rows, row) }); skipped.FDEs > 0 {
					t.Fatal(skipped)
				}
				if rows[first].PC != at {
					t.Fatalf("rows for %#x begin at %#x", at, rows[first].PC)
				}
			}
			lookup := func(address uint64) Rule {
				i, found := slices.BinarySearchFunc(rows, address, func(row Row, address uint64) int {
					if row.PC < address {
						return -1
					} else if row.PC > address {
						return 1
					}
					return 0
				})
				if !found {
					i--
				}
				return rows[i].Rule
			}
			covered := func(address uint64) bool {
				i, found := slices.BinarySearchFunc(table.ranges, address, func(f fdeRange, address uint64) int {
					if f.limit() <= address {
						return -1
					} else if f.start > address {
						return 1
					}
					return 0
				})
				return found && table.ranges[i].start <= address
			}
			checked := 0
			check := func(address uint64, want Rule) {
				if got := lookup(address); got != want {
					t.Errorf("at %#x:\n%s\nwant\n%s", address, format(Row{PC: address, Rule: got}), format(Row{PC: address, Rule: want}))
				}
				checked++
			}
			r, err := NewReader(s)
			if err != nil {
				t.Fatal(err)
			}
			for {
				f, err := r.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				last := Row{PC: f.Start}
				if err := r.Rows(f, func(row Row) {
					if row.PC > f.Start {
						check(row.PC-1, last.Rule)
					}
					check(row.PC, row.Rule)
					last = row
				}); err != nil {
					t.Fatal(err)
				}
				check(f.Limit-1, last.Rule)
				behind := 0
				for address := f.Limit; address < limit && !covered(address) && behind <= maxPadding; address++ {
					behind++
				}
				if behind > maxPadding {
					check(f.Limit, Rule{})
					check(f.Limit+maxPadding, Rule{})
				}
			}
			t.Logf("%d addresses in %d rows of %d FDEs", checked, len(rows), table.Len())
		})
	}
}
