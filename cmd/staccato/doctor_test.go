package main

import (
	"errors"
	"strings"
	"testing"
)

func TestDoctor(t *testing.T) {
	loaded := programReport{Object: "cpu", Name: "sample", Type: "perf_event", Instructions: 12345, JITed: 6789, Attached: "2 CPUs"}
	for _, test := range []struct {
		name   string
		report doctorReport
		err    error
		code   int
		out    []string
		words  string
	}{
		{"good", doctorReport{Programs: []programReport{loaded}}, nil, exitOK,
			[]string{"cpu/sample  perf_event  12345         6789         2 CPUs", "This host can be profiled."}, ""},
		{"host", doctorReport{
			Host: []fact{{"kernel", "Linux 9.9"}},
			Features: []feature{
				{"loops", "5.17", true, false, "it takes longer"}, {"counters", "", false, false, "time is used"}, {"types", "", false, false, ""},
				{"links", "5.15", false, true, "another way"},
			},
		}, nil, exitOK, []string{"kernel  Linux 9.9", "loops     5.17   yes", "counters         no: time is used", "types            no, but needed", "links     5.15   unknown"}, ""},
		{"note", doctorReport{
			Programs: []programReport{loaded},
			Findings: []finding{{What: "kernel addresses are hidden", Why: "kernel.kptr_restrict=2", Fix: "sysctl kernel.kptr_restrict=1"}},
		}, nil, exitOK, []string{"note: kernel addresses are hidden", "Why: kernel.kptr_restrict=2", "Fix: sysctl kernel.kptr_restrict=1", "can be profiled"}, ""},
		{"missing", doctorReport{Findings: []finding{{What: "no BPF", Why: "not root", Fix: "sudo staccato doctor", Fatal: true}}},
			nil, exitFailure, []string{"MISSING: no BPF"}, "this host cannot be profiled"},
		{"rejected", doctorReport{Programs: []programReport{{Object: "cpu", Name: "sample", Type: "perf_event", Err: errors.New("R1 invalid")}}},
			nil, exitFailure, []string{"failed: R1 invalid"}, "this host cannot be profiled"},
		{"error", doctorReport{}, errors.New("no /proc"), exitFailure, nil, "examine this host: no /proc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := newTestApp(t)
			a.doctor = func() (doctorReport, error) { return test.report, test.err }
			if code := a.run([]string{"doctor"}); code != test.code {
				t.Errorf("exit code %d, want %d", code, test.code)
			}
			for _, want := range test.out {
				if !strings.Contains(a.out.String(), want) {
					t.Errorf("stdout misses %q:\n%s", want, a.out)
				}
			}
			if !strings.Contains(a.err.String(), test.words) {
				t.Errorf("stderr misses %q: %s", test.words, a.err)
			}
		})
	}
}
