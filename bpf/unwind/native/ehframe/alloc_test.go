package ehframe

import "testing"

// TestNoAllocationPerRow makes all rows of libc and counts allocations: one for
// the reader.
func TestNoAllocationPerRow(t *testing.T) {
	table, err := NewTable(open(t, library(t, "gcc", "libc.so.6"), ".eh_frame"))
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	start, limit := table.Range()
	if n := testing.AllocsPerRun(5, func() { table.Rows(start, limit, func(Row) { rows++ }) }); n > 1 {
		t.Errorf("%v allocations for %d rows", n, rows)
	}
}
