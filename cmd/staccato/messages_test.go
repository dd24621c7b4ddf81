package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/agent"
)

// message is a command line, what is so when it runs, and its exit code.
type message struct {
	args []string
	code int
	so   func(a testApp)
}

func line(args string, code int) message { return message{args: strings.Fields(args), code: code} }

// messages are what users are told when something is not as they want it, by
// exit code. The texts are in testdata/messages.golden.
func messages() []message {
	list := []message{
		line("recrod", 2),
		line("record", 2),
		line("record --frequenzy 99 -a", 2),
		line("record make", 2),
		line("record -p x", 2),
		line("record -p 1 -n sixteen-letters-", 2),
		line("record -a -p 1", 2),
		line("record -a -F 0", 2),
		line("record -a -K -U", 2),
		line("record -a -o profile.svg", 2),
		line("record -a -o %x.pb.gz", 2),
		line("record -a --call-graph lbr", 2),
		line("record -o - -- true", 2),
		line("agent", 2),
		line("report a b", 2),
		line("report --tree --folded", 2),
		line("report -n -1", 2),
		line("report --focus (", 2),
		line("report --tag pid=99999999999999999999", 2),
		line("report --peek [", 2),
		line("report --sample-index wall server.pb.gz", 2),
		line("report --sample-index 7 server.pb.gz", 2),
		line("diff server.pb.gz", 2),
		line("diff - -", 2),
		line("diff --scale weight server.pb.gz server.pb.gz", 2),
		line("diff --scale duration stacks.folded stacks.folded", 2),
		{args: []string{"diff", "server.pb.gz", "server.pb.gz", "--fail-if", "total(ä) = +2pt"}, code: 2},
		{args: []string{"diff", "server.pb.gz", "server.pb.gz", "--fail-if", "self(a|b) > 2"}, code: 2},
		line("convert server.pb.gz", 2),
		line("convert server.pb.gz out.svg", 2),
		line("convert --to svg server.pb.gz out", 2),
		line("convert --from svg server.pb.gz out.folded", 2),
		line("view", 2),
		line("view server.pb.gz --listen 0.0.0.0:80", 2),
		line("report", 1),
		line("report none.pb.gz", 1),
		line("report empty", 1),
		line("report text", 1),
		line("report page", 1),
		line("report json", 1),
		line("report perf.data", 1),
		line("report cut.pb.gz", 1),
		line("report http://127.0.0.1:1/debug/pprof/heap", 1),
		line("report http://127.0.0.1:1/profile?seconds=99999", 1),
		line("report --peek no_such server.pb.gz", 1),
		line("report --list no_such server.pb.gz", 1),
		line("diff stacks.folded server.pb.gz", 1),
		line("convert --from perf stacks.folded out.folded", 1),
		line("convert negative.pb.gz out.folded", 1),
		line("convert negative.pb.gz out.speedscope.json", 1),
		line("convert negative.pb.gz out.html", 1),
		line("convert server.pb.gz none/out.folded", 1),
		line("diff server.pb.gz server.pb.gz --fail-if total(.)>=0pt", 6),
		line("record -o out.pb.gz -- ./none", 127),
		line("record -o out.pb.gz -- ./text", 126),
	}
	fails := func(code int, args string, err error) {
		list = append(list, message{strings.Fields(args), code, func(a testApp) { a.fake.newErr = err }})
	}
	fails(3, "record -a", fmt.Errorf("%w: no CAP_BPF and CAP_PERFMON", agent.ErrPermission))
	fails(4, "record -p 4194305", fmt.Errorf("%w: no process 4194305", agent.ErrNoTarget))
	fails(1, "record -a", errors.New("this kernel (4.19.0) has no BPF ring buffer"))
	fails(125, "record -o out.pb.gz -- true", fmt.Errorf("%w: no CAP_BPF", agent.ErrPermission))
	list = append(list,
		message{strings.Fields("record -a -d 1ms"), 5, func(a testApp) { a.fake.profile = noSamples }},
		message{strings.Fields("convert server.pb.gz -"), 2, func(a testApp) { a.stdoutTerminal = true }},
		message{strings.Fields("report --html server.pb.gz"), 2, func(a testApp) { a.stdoutTerminal = true }},
		message{strings.Fields("diff --html server.pb.gz server.pb.gz"), 2, func(a testApp) { a.stdoutTerminal = true }},
		message{strings.Fields("report -"), 2, func(a testApp) { a.stdinTerminal = true }},
	)
	return list
}

var fileSizes = regexp.MustCompile(`\(\d[\d.]* [KM]?B\)`)

// Messages go to standard error, with their exit codes, and are the same on a
// terminal of 80 columns, without one, and with or without colours.
func TestMessages(t *testing.T) {
	var texts []string
	for _, kind := range []string{"plain", "terminal", "color"} {
		var all strings.Builder
		for _, m := range messages() {
			a := newTestApp(t)
			writeProfile(t, "server.pb.gz", server(1))
			negative := server(1)
			negative.Sample[0].Value = []int64{-1, -1}
			writeProfile(t, "negative.pb.gz", negative)
			whole, err := os.ReadFile("server.pb.gz")
			if err != nil {
				t.Fatal(err)
			}
			for name, content := range map[string]string{
				"empty": "", "text": "no profile\n", "page": "<html>", "json": "{}", "perf.data": "PERFILE2",
				"stacks.folded": "main;work 3\n", "cut.pb.gz": string(whole[:len(whole)/2]),
			} {
				if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			switch kind {
			case "terminal":
				a.terminal, a.width, a.stdoutWidth = true, 80, 80
			case "color":
				a.color = true
			}
			a.app.args = append([]string{"staccato"}, m.args...)
			if m.so != nil {
				m.so(a)
			}
			before := files(t)
			code := a.run(m.args)
			if code != m.code {
				t.Errorf("%q: exit code %d, want %d: %s", m.args, code, m.code, a.err)
			}
			if code != 0 && code != exitNoSamples && len(files(t)) != len(before) {
				t.Errorf("%q left files: %q", m.args, files(t))
			}
			fmt.Fprintf(&all, "$ %s\n%s(exit code %d)\n\n", quoteArgs(a.app.args), fileSizes.ReplaceAllString(a.err.String(), "(SIZE)"), code)
		}
		texts = append(texts, all.String())
	}
	golden(t, here, "messages.golden", texts[0])
	for i, text := range texts[1:] {
		if text != texts[0] {
			t.Errorf("messages differ, form %d:\n%s", i+1, text)
		}
	}
}
