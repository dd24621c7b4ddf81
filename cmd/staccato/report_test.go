package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter"
	"github.com/staccato-profiler/staccato/exporter/pprof"
)

// server is a profile with all that reports have to deal with: inlined calls,
// recursion, code without names, labels, source lines, long names.
func server(scale int64) *profile.Profile {
	app := &profile.Mapping{ID: 1, Start: 0x1000, Limit: 0x9000, File: "/opt/shop/bin/server"}
	kernel := &profile.Mapping{ID: 2, Start: 0xffffffff81000000, Limit: 0xffffffff82000000, File: "[kernel.kallsyms]"}
	libc := &profile.Mapping{ID: 3, Start: 0x10000, Limit: 0x90000, File: "/usr/lib/libc.so.6"}
	p := &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
		Period:     10_000_000, DurationNanos: 10e9, TimeNanos: time.Date(2026, 11, 26, 5, 4, 3, 0, time.UTC).UnixNano(),
		Mapping: []*profile.Mapping{app, kernel, libc},
	}
	functions := make(map[string]*profile.Function)
	location := func(m *profile.Mapping, lines ...any) *profile.Location {
		l := &profile.Location{ID: uint64(len(p.Location) + 1), Mapping: m, Address: 0x1000 + uint64(len(p.Location))}
		for i := 0; i < len(lines); i += 2 {
			name := lines[i].(string)
			f := functions[name]
			if f == nil {
				f = &profile.Function{ID: uint64(len(p.Function) + 1), Name: name, Filename: "/src/shop/server.go", StartLine: 3}
				functions[name] = f
				p.Function = append(p.Function, f)
			}
			l.Line = append(l.Line, profile.Line{Function: f, Line: int64(lines[i+1].(int))})
		}
		p.Location = append(p.Location, l)
		return l
	}
	main := location(app, "main.main", 20)
	serve := location(app, "main.(*Server).serve", 5)
	hash := location(app, "hash.sum", 8, "main.checkPassword", 6)
	sort := location(app, "sort.quick[struct { Name string; Price, Stock, Reserved int64; Images []string }]", 7)
	read := location(kernel, "ksys_read", 0)
	unnamed := location(libc)
	add := func(count int64, comm string, pid int64, stack ...*profile.Location) {
		p.Sample = append(p.Sample, &profile.Sample{
			Location: stack, Value: []int64{count, count * 10_000_000},
			Label: map[string][]string{"comm": {comm}}, NumLabel: map[string][]int64{"pid": {pid}},
		})
	}
	add(40*scale, "server", 7, hash, serve, main)
	add(20, "server", 7, sort, sort, sort, serve, main)
	add(9, "server", 8, read, unnamed, serve, main)
	add(5, "server", 8, unnamed, main)
	add(1, "cron", 9, main)
	return p
}

// writeProfile writes a pprof file into the working directory.
func writeProfile(t *testing.T, name string, p *profile.Profile) {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Write(context.Background(), &b, exporter.Input{Profile: p}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// The lines that server's profile names.
const serverSource = `package main

func (s *Server) serve() {
	for r := range s.requests {
		s.handle(r)
		s.checkPassword(r)
		quick(s.items)
		h.sum(r.password)
	}
}
`

func TestReportTexts(t *testing.T) {
	for _, test := range []struct{ name, args string }{
		{"flat", ""},
		{"flat-total", "--total -n 3"},
		{"flat-filtered", "--focus serve --ignore sort --tag pid=7:8 --hide libc --sample-index samples"},
		{"flat-nothing", "--focus no_such_function"},
		{"tree", "--tree"},
		{"tree-limit", "--tree -n 4"},
		{"peek", "--peek serve$"},
		{"list", "--list (serve|sum)$ --source-path ."},
		{"list-no-source", "--list serve$ --source-path none"},
		{"folded", "--folded"},
		{"folded-filtered", "--folded --tagfocus=comm=server --show_from=Server --sample_index=cpu"},
	} {
		for _, kind := range []string{"plain", "terminal", "color"} {
			a := newTestApp(t)
			writeProfile(t, "profile.pb.gz", server(1))
			if err := os.WriteFile("server.go", []byte(serverSource), 0o666); err != nil {
				t.Fatal(err)
			}
			name := "report-" + test.name
			switch kind {
			case "terminal": // of 80 columns, with NO_COLOR
				a.stdoutTerminal, a.stdoutWidth, a.stdoutHeight = true, 80, 1000
				name += "-80"
			case "color":
				a.color = true
				name += "-color"
			}
			if kind != "plain" && test.name != "flat" && test.name != "tree" && test.name != "peek" && test.name != "list" {
				continue
			}
			if code := a.run(append([]string{"report"}, strings.Fields(test.args)...)); code != 0 {
				t.Errorf("%s: exit code %d", name, code)
			}
			text := a.out.String()
			if a.err.String() != "" {
				text += "--- standard error\n" + a.err.String()
			}
			golden(t, here, name+".golden", text)
			if kind == "terminal" {
				for line := range strings.Lines(text) {
					if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 {
						t.Errorf("%s: %d columns: %s", name, n, line)
					}
				}
			}
		}
	}
}

func TestReportOutput(t *testing.T) {
	a := newTestApp(t)
	writeProfile(t, "in.pb.gz", server(1))
	a.color = true
	if code := a.run([]string{"report", "in.pb.gz", "-o", "out.txt"}); code != 0 {
		t.Fatal(a.err)
	}
	text, err := os.ReadFile("out.txt")
	if err != nil || !bytes.Contains(text, []byte("main.checkPassword")) || bytes.Contains(text, []byte("\x1b")) {
		t.Errorf("%v: %s", err, text)
	}
	if !strings.HasPrefix(a.err.String(), "Saved out.txt (") {
		t.Errorf("stderr: %s", a.err)
	}
}

// What is in the pages is exporter/html's to test.
func TestPages(t *testing.T) {
	for args, file := range map[string]string{
		"report --html a.pb.gz":                                "",
		"report a.pb.gz -o out.html":                           "out.html",
		"report --focus hash --html a.pb.gz -o x":              "x",
		"diff --html a.pb.gz a.pb.gz":                          "",
		"diff a.pb.gz a.pb.gz -o out.html":                     "out.html",
		"convert a.pb.gz out.html":                             "out.html",
		"convert --to html a.pb.gz -":                          "",
		"report --tree a.pb.gz -o text.html --tag comm=server": "",
	} {
		a := newTestApp(t)
		writeProfile(t, "a.pb.gz", server(1))
		if code := a.run(strings.Fields(args)); code != 0 {
			t.Errorf("%s: exit code %d: %s", args, code, a.err)
		}
		got := a.out.String()
		if file != "" {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got = string(content)
		}
		if page := strings.HasPrefix(got, "<!doctype html>") && strings.HasSuffix(got, "</html>\n"); page == strings.Contains(args, "--tree") {
			t.Errorf("%s: is a page: %v", args, page)
		}
	}
}

func TestReportStdin(t *testing.T) {
	a := newTestApp(t)
	a.stdin = strings.NewReader("main;work 3\nmain 1\n")
	if code := a.run([]string{"report", "-"}); code != 0 || !strings.Contains(a.out.String(), "75.0%         3   75.0%  work") {
		t.Errorf("exit code %d: %s%s", code, a.out, a.err)
	}
}

func TestPager(t *testing.T) {
	for _, test := range []struct {
		name, pager, args string
		height            int
		paged             bool
		words             string
	}{
		{"longer than the screen", "sed 's/^/paged: /'", "", 3, true, ""},
		{"fits", "sed 's/^/paged: /'", "", 100, false, ""},
		{"unwanted", "sed 's/^/paged: /'", "--no-pager", 3, false, ""},
		{"folded stacks", "sed 's/^/paged: /'", "--folded", 3, false, ""},
		{"none", "", "", 3, false, ""},
		{"not there", "no-such-pager -x", "", 3, false, "there is no pager no-such-pager -x"},
		{"left early", "echo paged: all; exit 1", "", 3, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestApp(t)
			writeProfile(t, "profile.pb.gz", server(1))
			a.stdoutTerminal, a.stdoutWidth, a.stdoutHeight = true, 80, test.height
			a.lookupEnv = func(name string) (string, bool) { return test.pager, name == "PAGER" }
			if code := a.run(append([]string{"report"}, strings.Fields(test.args)...)); code != 0 {
				t.Errorf("exit code %d: %s", code, a.err)
			}
			if paged := strings.HasPrefix(a.out.String(), "paged: "); paged != test.paged || a.out.String() == "" {
				t.Errorf("paged is %v: %s", paged, a.out)
			}
			if !strings.Contains(a.err.String(), test.words) {
				t.Errorf("stderr: %s", a.err)
			}
		})
	}
}

func TestWantColor(t *testing.T) {
	for _, test := range []struct {
		env      map[string]string
		terminal bool
		want     bool
	}{
		{nil, true, true},
		{nil, false, false},
		{map[string]string{"NO_COLOR": "1"}, true, false},
		{map[string]string{"CLICOLOR_FORCE": "1"}, false, true},
		{map[string]string{"CLICOLOR_FORCE": "0"}, false, false},
		{map[string]string{"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, true, false},
		{map[string]string{"CLICOLOR": "0"}, true, false},
		{map[string]string{"TERM": "dumb"}, true, false},
	} {
		if got := wantColor(func(name string) string { return test.env[name] }, test.terminal); got != test.want {
			t.Errorf("%v, terminal %v: %v", test.env, test.terminal, got)
		}
	}
}

// Ctrl-C ends what waits for a server.
func TestReportInterrupted(t *testing.T) {
	a := newTestApp(t)
	r, w, err := os.Pipe() // nobody writes
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	a.stdin = r
	done := make(chan int)
	go func() { done <- a.run([]string{"report", "-"}) }()
	a.signals <- os.Interrupt
	if code := <-done; code != exitFailure || a.err.String() != "staccato: interrupted\n" {
		t.Errorf("exit code %d: %s", code, a.err)
	}
}

// Names from profiles are strangers': what a terminal obeys is not printed.
func TestReportIsPrintable(t *testing.T) {
	p := server(1)
	for _, f := range p.Function {
		f.Name += "\x1b]0;title\a\u202e"
		f.Filename += "\x1b[31m"
	}
	p.SampleType[1].Type = "c\x1bpu"
	p.Mapping[0].File += "\x1b[2J"
	for _, args := range []string{"", "--tree", "--peek .", "--list .", "--folded"} {
		a := newTestApp(t)
		writeProfile(t, "profile.pb.gz", p)
		if code := a.run(append([]string{"report"}, strings.Fields(args)...)); code != 0 {
			t.Errorf("%s: exit code %d: %s", args, code, a.err)
		}
		if out := a.out.String(); strings.ContainsAny(out, "\x1b\a") || args != "--folded" && strings.Contains(out, "\u202e") {
			t.Errorf("%s: %q", args, out)
		}
	}
}
