package input_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/exporter/input"
)

const perfStacks = `# hostname : vm

app  4242/4243 [001] 11549.500000:    1001001 cpu-clock:ppp:
	ffffffff816ae824 __check_object_size+0x134 ([kernel.kallsyms])
	    7f69c1537d92 ns::run<ns::A>(ns::A&, int)+0x2 (/usr/bin/s prog)
	          401136 main+0x1f (/usr/bin/s prog (deleted))
	               0 [unknown] ([unknown])

kworker/u8:2-ev    77 [000] 11550.750000:    1001001 cpu-clock:ppp:
	ffffffff81000000 inner (inlined)
	ffffffff81000000 middle (inlined)
	ffffffff81000000 outer+0x10 ([kernel.kallsyms])

`

func TestParsePerfScript(t *testing.T) {
	p, err := input.ParsePerfScript(strings.NewReader(perfStacks))
	if err != nil {
		t.Fatal(err)
	}
	want := "__check_object_size ns::run<ns::A>(ns::A&, int) main ? 1,1001001\n" +
		"inner middle outer 1,1001001\n"
	if got := text(p); got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	if err := p.CheckValid(); err != nil {
		t.Error(err)
	}
	if p.SampleType[1].Type != "cpu" || p.SampleType[1].Unit != "nanoseconds" || p.DurationNanos != 1_250_000_000 {
		t.Errorf("second type %v, duration %d", p.SampleType[1], p.DurationNanos)
	}
	first, second := p.Sample[0], p.Sample[1]
	if !reflect.DeepEqual(first.NumLabel, map[string][]int64{"pid": {4242}, "tid": {4243}}) ||
		!reflect.DeepEqual(first.Label, map[string][]string{"comm": {"app"}}) {
		t.Errorf("labels %v %v", first.NumLabel, first.Label)
	}
	if !reflect.DeepEqual(second.NumLabel, map[string][]int64{"tid": {77}}) ||
		second.Label["comm"][0] != "kworker/u8:2-ev" {
		t.Errorf("labels %v %v", second.NumLabel, second.Label)
	}
	if files := []string{p.Mapping[0].File, p.Mapping[1].File}; !reflect.DeepEqual(files, []string{"[kernel.kallsyms]", "/usr/bin/s prog"}) {
		t.Errorf("mappings %q", files)
	}
	if second.Location[0].Mapping.File != "[kernel.kallsyms]" || len(second.Location) != 1 {
		t.Errorf("inlined calls are in %v", second.Location)
	}
	if first.Location[1].Address != 0x7f69c1537d92 {
		t.Errorf("address %#x", first.Location[1].Address)
	}
}

func TestParsePerfScriptForms(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"without stacks", "  ls  6884 11549.845585:  1001001 cpu-clock:ppp:      7f69c1537d92 _setjmp+0x2 (/lib/libc.so.6)\n" +
			"  ls  6884 11549.846802:  1001001 cpu-clock:ppp:  ffffffff816ae824 f+0x134 ([kernel.kallsyms])\n",
			"_setjmp 1,1001001\nf 1,1001001\n"},
		{"no period", "a 1 1.5: cycles:\n\t1 f (x)\n", "f 1\n"},
		{"numbers in the command's name", "worker 3 of 4  77 [000] 1.5:  5 cycles:\n\t1 f (x)\n", "f 1,5\n"},
		{"two events", "a 1 1.5: 7 cycles:\n\t1 f (x)\n\na 1 1.5: 1 page-faults:\n\t1 g (x)\n", "f 1\ng 1\n"},
		{"tracepoints", "a 1 [000] 1.5: sched:sched_switch: prev_comm=a prev_pid=1\na 1 [000] 1.6: sched:sched_switch: prev_comm=b\n\t1 f (x)\n", " 1\nf 1\n"},
		{"source lines", "a 1 1.5: 1 cycles:\n\t1 f+0x0 (x)\n\t  f.c:12\n\t2 main+0x0 (x)\n\t  f.c:20\n", "f main 1,1\n"},
		{"spaces for tabs", "a 1 1.5: 1 cycles:\n      1 f (x)\n      2 main (x)\n", "f main 1,1\n"},
		{"name with +0x in it", "a 1 1.5: 1 cycles:\n\t1 f+0xyz+0x4 (x)\n", "f+0xyz 1,1\n"},
		{"equal frames with and without inlined calls", "a 1 1.5: 1 cycles:\n\t1 in (inlined)\n\t1 f (x)\n\na 1 1.5: 1 cycles:\n\t1 f (x)\n", "in f 1,1\nf 1,1\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := input.ParsePerfScript(strings.NewReader(test.in))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll("\n"+text(p), "\n1", "\n 1"); got != "\n"+test.want {
				t.Errorf("read %q, want %q", got, test.want)
			}
			if err := p.CheckValid(); err != nil {
				t.Error(err)
			}
		})
	}
}

// What perf 6.1 printed, see the file's first lines.
func TestParsePerfScriptOfPerf(t *testing.T) {
	content, err := os.ReadFile("testdata/perf-script.txt")
	if err != nil {
		t.Fatal(err)
	}
	p, err := input.Parse(content, input.Config{})
	if err != nil {
		t.Fatal(err)
	}
	var cpu int64
	for _, s := range p.Sample {
		cpu += s.Value[1]
	}
	if len(p.Sample) != 3 || cpu != 3*1001001 || p.DurationNanos != 2_405_000 || p.Sample[0].Label["comm"][0] != "ls" {
		t.Errorf("%d samples, %d ns in %d ns: %v", len(p.Sample), cpu, p.DurationNanos, p)
	}
}

func TestParsePerfScriptErrors(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"", "no samples"},
		{"# only a header\n", "no samples"},
		{"hello\n", "line 1: want the first line of a sample"},
		{"a 1 1.5: 1 cycles:\nno frame\n", "line 2: want a frame"},
		{"a 99999999999 1.5: 1 cycles:\n", "no process"},
		{"a 1 1.5: 99999999999999999999 cycles:\n", "period"},
		{"a 1 99999999999999999999.5: 1 cycles:\n", "time"},
		{"a 1 1.5: 9223372036854775807 cycles:\n\na 1 1.5: 1 cycles:\n", "line 3: the sum"},
	} {
		_, err := input.ParsePerfScript(strings.NewReader(test.in))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: error %v, want one with %q", test.in, err, test.want)
		}
	}
}

func FuzzPerfScript(f *testing.F) {
	f.Add(perfStacks)
	f.Add("a 1 1.5: cycles:\n\t1 f (x)\n")
	f.Add("a 1 [0] 1.5: x:y: z\n\t1 f (inlined)\n\t1 f (x (deleted))")
	f.Fuzz(func(t *testing.T, in string) {
		p, err := input.ParsePerfScript(strings.NewReader(in))
		if err != nil {
			return
		}
		if err := p.CheckValid(); err != nil {
			t.Errorf("not valid: %v", err)
		}
	})
}
