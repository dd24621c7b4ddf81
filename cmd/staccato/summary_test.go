package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/agent"
)

// postgres is a profile as in the documentation: three functions, losses,
// frames without names.
func postgres() *agent.Profile {
	p := noSamples()
	app := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x9000, File: "/usr/lib/postgresql/16/bin/postgres"}
	kernel := &profile.Mapping{ID: 2, Start: 0xffffffff81000000, Limit: 0xffffffff82000000, File: "[kernel.kallsyms]"}
	ssl := &profile.Mapping{ID: 3, Start: 0x1000, Limit: 0x9000, File: "/usr/lib/libssl.so.3"}
	p.Profile.Mapping = []*profile.Mapping{app, kernel, ssl}
	location := func(m *profile.Mapping, names ...string) *profile.Location {
		loc := &profile.Location{ID: uint64(len(p.Profile.Location) + 1), Mapping: m, Address: 0x1234}
		for _, name := range names {
			f := &profile.Function{ID: uint64(len(p.Profile.Function) + 1), Name: name}
			p.Profile.Function = append(p.Profile.Function, f)
			loc.Line = append(loc.Line, profile.Line{Function: f})
		}
		p.Profile.Location = append(p.Profile.Location, loc)
		return loc
	}
	main := location(app, "main")
	search := location(app, "hash_search_with_hash_value", "inlined_into")
	lock := location(kernel, "_raw_spin_lock")
	unnamed := location(ssl)
	add := func(count int64, stack ...*profile.Location) {
		p.Profile.Sample = append(p.Profile.Sample, &profile.Sample{Location: stack, Value: []int64{count, count * 10_101_010}})
	}
	add(500, search, main)
	add(200, search, main, main) // recursion counts once
	add(250, lock, search, main)
	add(50, unnamed, main)
	p.Summary = agent.Summary{
		Duration: 30 * time.Second, Frequency: 99, Achieved: 98.7,
		Samples: 9021, Lost: map[string]uint64{"table full": 40, "not sampled": 1200, "log full": 0},
		Truncated: map[string]uint64{"unreadable": 7}, Complete: 0.982, Named: 0.969,
		Unread: []string{"/usr/bin/\x1b[2Jnode", "/usr/lib/b.so", "/usr/lib/c.so", "/usr/lib/d.so"}, NoIndex: errors.New("make directory for index files: read-only file system"),
		Unnamed: []agent.UnnamedIn{
			{Path: "/usr/lib/libssl.so.3", BuildID: "5f3c0123456789abcdef0123456789abcdef0123", Samples: 234, Reason: "no symbols"},
			{Program: "/usr/bin/node", Samples: 51, Reason: "the program writes no perf map"},
			{Path: "/usr/lib/a.so", Samples: 44, Reason: "no symbols"},
		},
		TableFaults:       []agent.TableFault{{Path: "/opt/\x1b[2Jx.so", Reason: "read .eh_frame: more than 33554432 bytes"}},
		TableFaultsBeyond: 3,
	}
	return p
}

func TestClosing(t *testing.T) {
	for name, c := range map[string]closing{
		"closing.golden":        {reason: "30 s elapsed", profile: postgres()},
		"closing-narrow.golden": {reason: "30 s elapsed", profile: postgres(), width: 50},
		"closing-empty.golden":  {reason: "interrupt", profile: noSamples()},
	} {
		var b strings.Builder
		c.system, _ = testSystem(t, "ID=debian\n")
		c.print(&b)
		golden(t, here, name, b.String())
	}
}

// What is missing comes with another recording, unless nothing of it is kept.
func TestUnreadHint(t *testing.T) {
	for _, keeps := range []bool{true, false} {
		p := postgres()
		if keeps {
			p.Summary.NoIndex = nil
		}
		var b strings.Builder
		closing{profile: p}.printUnread(&b)
		if strings.Contains(b.String(), "Record again") != keeps {
			t.Errorf("what is read is kept: %t:\n%s", keeps, b.String())
		}
	}
}

func TestTopFunctions(t *testing.T) {
	rows, all := topFunctions(postgres().Profile, 3)
	if all != 1000 {
		t.Errorf("%d samples, want 1000", all)
	}
	want := []function{
		{"hash_search_with_hash_value", "postgres", 700, 950},
		{"_raw_spin_lock", "[kernel]", 250, 250},
		{"(no name)", "libssl.so.3", 50, 50},
	}
	for i, row := range rows {
		if row != want[i] {
			t.Errorf("row %d is %+v, want %+v", i, row, want[i])
		}
	}
	if len(rows) != len(want) {
		t.Errorf("%d rows, want %d", len(rows), len(want))
	}
}

// Names come from strangers; a terminal would obey some of them.
func TestTableObeysNobody(t *testing.T) {
	table := writeTable([]function{{name: "evil\x1b[2Jname\r\n", executable: "lib\a\u202e.so", self: 1, total: 1}}, 1, 80)
	if !strings.Contains(table, "evil?[2Jname??") || !strings.Contains(table, "lib??.so") || strings.Count(table, "\n") != 2 {
		t.Errorf("table: %q", table)
	}
}

func TestTableFits(t *testing.T) {
	rows := []function{{name: strings.Repeat("n", 300), executable: strings.Repeat("e", 300), self: 1, total: 2}}
	for _, width := range []int{40, 80, 200} {
		for line := range strings.Lines(writeTable(rows, 2, width)) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > width {
				t.Errorf("%d columns in a line, want at most %d: %q", n, width, line)
			}
		}
	}
}

func TestWords(t *testing.T) {
	for got, want := range map[string]string{
		thousands(0): "0", thousands(999): "999", thousands(1000): "1,000", thousands(1234567): "1,234,567",
		fileSize(999): "999 B", fileSize(214_300): "214 KB", fileSize(12_340_000): "12.3 MB",
		clock(65 * time.Second): "01:05", clock(3665 * time.Second): "1:01:05",
		shortDuration(250 * time.Millisecond): "250 ms", shortDuration(30 * time.Second): "30 s", shortDuration(90 * time.Second): "1m30s",
		quoteArgs([]string{"a", "b c", "it's", ""}): `a 'b c' 'it'\''s' ''`,
		plural(1, "CPU"): "1 CPU", plural(2, "CPU"): "2 CPUs",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestDurationFlag(t *testing.T) {
	for text, want := range map[string]time.Duration{"10": 10 * time.Second, "10s": 10 * time.Second, "1m": time.Minute, "1m30s": 90 * time.Second, "250ms": 250 * time.Millisecond} {
		var d duration
		if err := d.Set(text); err != nil || time.Duration(d) != want {
			t.Errorf("%s: %v, %v; want %v", text, time.Duration(d), err, want)
		}
	}
	for _, text := range []string{"", "0", "-1", "-5s", "1x", "99999999999999999999"} {
		if err := new(duration).Set(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
