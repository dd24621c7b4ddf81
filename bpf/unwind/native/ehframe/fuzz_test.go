package ehframe

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// seeds are sections that the fuzzers begin with, and how each is to be read.
func seeds(add func(data []byte, how uint8)) {
	for how := range uint8(8) {
		b := builder{Section: fuzzSection(nil, how)}
		g := generator{Rand: rand.New(rand.NewPCG(2, uint64(how))), builder: &b}
		for range 3 {
			g.writeCIE()
			for range 3 {
				g.writeFDE()
			}
		}
		add(b.Data, how)
		b = builder{Section: fuzzSection(nil, how)}
		cie := b.usual()
		b.covering(cie, 0x2000, 0x2010, opRememberState, opAdvance|1, opDefCFAOffset, 16, opAdvance|1, opRestoreState)
		b.covering(cie, 0x1000, 0x1010)
		b.covering(cie, 0x1008, 0x1020, opAdvance|1, 0x3f)
		add(b.Data, how)
	}
}

func fuzzSection(data []byte, how uint8) Section {
	s := Section{Arch: AMD64, Data: data, Address: 0x100000, Debug: how&2 != 0, Open: how&4 != 0}
	if how&1 != 0 {
		s.Arch = ARM64
	}
	if how&8 != 0 {
		s.DataBase = 0x200000
	}
	return s
}

func FuzzReader(f *testing.F) {
	seeds(func(data []byte, how uint8) { f.Add(data, how) })
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		r, err := NewReader(fuzzSection(data, how))
		if err != nil {
			t.Fatal(err)
		}
		fdes := 0
		for {
			fde, err := r.Next()
			if err != nil {
				if _, again := r.Next(); !errors.Is(again, io.EOF) {
					t.Fatalf("%v after %v", again, err)
				}
				break
			}
			if fde.Start >= fde.Limit {
				t.Fatalf("FDE from %#x to %#x", fde.Start, fde.Limit)
			}
			fdes++
			var last Row
			rows := 0
			err = r.Rows(fde, func(row Row) {
				if row.PC < fde.Start || row.PC >= fde.Limit || rows == 0 && row.PC != fde.Start || rows > 0 && row.PC <= last.PC {
					t.Fatalf("row %d at %#x after %#x in FDE from %#x to %#x", rows, row.PC, last.PC, fde.Start, fde.Limit)
				}
				checkRule(t, row.Rule)
				if row.Rule.CFA.Kind == CFAEnd {
					t.Fatal("end within an FDE")
				}
				last = row
				rows++
			})
			if rows < 1 || rows > 1+fde.codeTo-fde.code {
				t.Fatalf("%d rows from %d bytes", rows, fde.codeTo-fde.code)
			}
			if err != nil && last.Rule != (Rule{CFA: CFARule{Kind: CFAUnsupported}}) {
				t.Fatalf("last row is %s after %v", format(last), err)
			}
		}
		if skipped := r.Skipped(); skipped.FDEs > 0 != (skipped.First != nil) || fdes+skipped.FDEs > len(data)/5 {
			t.Fatalf("%d FDEs, %d skipped: %v", fdes, skipped.FDEs, skipped.First)
		}
	})
}

func checkRule(t *testing.T, rule Rule) {
	if rule.CFA.Kind > CFAUnsupported || rule.CFA.Register > 31 || rule.CFA.Kind != CFADeref && rule.CFA.Kind != CFAPLT && rule.CFA.Extra != 0 {
		t.Fatalf("%+v", rule)
	}
	for _, r := range []RegisterRule{rule.FP, rule.RBX, rule.RA} {
		if r.Kind > Unsupported || r.Register > 31 {
			t.Fatalf("%+v", rule)
		}
	}
}

func FuzzTable(f *testing.F) {
	seeds(func(data []byte, how uint8) { f.Add(data, how, uint64(0x1004), uint64(0x2004), uint64(0x3000)) })
	f.Fuzz(func(t *testing.T, data []byte, how uint8, start, middle, limit uint64) {
		table, err := NewTable(fuzzSection(data, how))
		if table == nil {
			t.Fatal(err)
		}
		for i := 1; i < table.Len(); i++ {
			if table.ranges[i-1].limit() > table.ranges[i].start {
				t.Fatalf("ranges %+v overlap", table.ranges[i-1:i+1])
			}
		}
		whole := fuzzRows(t, table, start, limit)
		if again := fuzzRows(t, table, start, limit); !slices.Equal(whole, again) {
			t.Fatalf("%v\nthen %v", whole, again)
		}
		if start >= middle || middle >= limit {
			return
		}
		// Made in two pieces, the rows say the same. Only padding at the second's
		// start has no row before it to go on.
		pieces := slices.Concat(fuzzRows(t, table, start, middle), fuzzRows(t, table, middle, limit))
		padding := middle
		for _, r := range table.ranges {
			if r.start > middle {
				padding = r.start
				break
			}
			if r.limit() > middle {
				break
			}
		}
		for _, row := range slices.Concat(whole, pieces) {
			got, want := ruleAt(pieces, row.PC), ruleAt(whole, row.PC)
			if got != want && (got != Rule{} || row.PC < middle || row.PC >= padding || padding-middle > maxPadding) {
				t.Fatalf("%#x: %+v in pieces, %+v in one", row.PC, got, want)
			}
		}
	})
}

// fuzzRows returns the table's rows for a range, and checks their order.
func fuzzRows(t *testing.T, table *Table, start, limit uint64) []Row {
	var rows []Row
	table.Rows(start, limit, func(row Row) {
		checkRule(t, row.Rule)
		if len(rows) == 0 && row.PC != start || row.PC >= limit {
			t.Fatalf("row at %#x between %#x and %#x", row.PC, start, limit)
		}
		if len(rows) > 0 && (row.PC <= rows[len(rows)-1].PC || row.Rule == rows[len(rows)-1].Rule) {
			t.Fatalf("%+v after %+v", row, rows[len(rows)-1])
		}
		rows = append(rows, row)
	})
	if len(rows) == 0 && start < limit {
		t.Fatalf("no rows between %#x and %#x", start, limit)
	}
	return rows
}

// ruleAt returns the rule of the last row at or before an address.
func ruleAt(rows []Row, address uint64) Rule {
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
