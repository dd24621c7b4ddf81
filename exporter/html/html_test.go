package html

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"regexp"
	"runtime/pprof"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/exporter"
)

// line is a line of a location.
type line struct{ name, system, file string }

// made is a profile under construction.
type made struct{ *profile.Profile }

func newProfile() made {
	return made{&profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}, {Type: "cpu", Unit: "nanoseconds"}},
		Period:     1000, PeriodType: &profile.ValueType{Type: "cpu", Unit: "nanoseconds"},
	}}
}

func (m made) mapping(file string) *profile.Mapping {
	for _, known := range m.Mapping {
		if known.File == file {
			return known
		}
	}
	n := &profile.Mapping{ID: uint64(len(m.Mapping) + 1), File: file, Start: 0x1000, Limit: 0x9000}
	m.Mapping = append(m.Mapping, n)
	return n
}

// location makes one whose lines are innermost first.
func (m made) location(file string, lines ...line) *profile.Location {
	l := &profile.Location{ID: uint64(len(m.Location) + 1), Address: 0x1234}
	if file != "" {
		l.Mapping = m.mapping(file)
	}
	for _, x := range lines {
		f := &profile.Function{ID: uint64(len(m.Function) + 1), Name: x.name, SystemName: x.system, Filename: x.file}
		m.Function = append(m.Function, f)
		l.Line = append(l.Line, profile.Line{Function: f})
	}
	m.Location = append(m.Location, l)
	return l
}

// add adds a sample, its leaf first.
func (m made) add(count, pid int64, comm string, stack ...*profile.Location) {
	m.Sample = append(m.Sample, &profile.Sample{
		Location: stack, Value: []int64{count, count * 1000},
		Label:    map[string][]string{staccato.LabelComm: {comm}},
		NumLabel: map[string][]int64{staccato.LabelPID: {pid}},
	})
}

func write1(t testing.TB, in ...exporter.Input) *decoded {
	t.Helper()
	d, err := decodePage(writeBytes(t, in...))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func writeBytes(t testing.TB, in ...exporter.Input) []byte {
	t.Helper()
	var b bytes.Buffer
	var err error
	if len(in) == 2 {
		err = Diff(t.Context(), &b, in[0], in[1])
	} else {
		err = Write(t.Context(), &b, in[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWrite(t *testing.T) {
	m := newProfile()
	main := m.location("/bin/app", line{name: "main"})
	work := m.location("/bin/app", line{name: "inner"}, line{name: "work"})
	nameless := m.location("/bin/app")
	nowhere := m.location("")
	kernel := m.location("[kernel.kallsyms]", line{name: "schedule"})
	m.add(3, 7, "app", work, main)
	m.add(2, 7, "app", work, main) // the same again
	m.add(4, 8, "app", work, main)
	m.add(1, 7, "app", kernel, nameless, main)
	m.add(5, 7, "app", nowhere, main)
	m.add(0, 9, "none", main)
	m.add(6, 7, "app")

	side := &exporter.Side{}
	side.Kinds.Set(work.ID, staccato.KindGo)
	got := write1(t, exporter.Input{Profile: m.Profile, Side: side})
	want := map[string][]int64{
		"7,app,,,|main@/bin/app:native;work@/bin/app:go;~inner@/bin/app:go":                          {5, 5000},
		"8,app,,,|main@/bin/app:native;work@/bin/app:go;~inner@/bin/app:go":                          {4, 4000},
		"7,app,,,|main@/bin/app:native;app+0x1234@/bin/app:native;schedule@[kernel.kallsyms]:kernel": {1, 1000},
		"7,app,,,|main@/bin/app:native;0x1234@:native":                                               {5, 5000},
		"7,app,,,|": {6, 6000},
	}
	if stacks := got.stacks(); !reflect.DeepEqual(stacks, want) {
		t.Errorf("stacks %v\nwant %v", stacks, want)
	}
	if h := got.header; h.Default != 1 || h.Count != 0 || h.Columns[1] != (headerColumn{Of: 0, Factor: 1000}) || h.Pruned != 0 {
		t.Errorf("header %+v", h)
	}
}

func TestDiff(t *testing.T) {
	before, after := newProfile(), newProfile()
	before.SampleType = []*profile.ValueType{{Type: "alloc", Unit: "bytes"}, {Type: "cpu", Unit: "nanoseconds"}}
	main := before.location("/bin/app", line{name: "main"})
	before.add(3, 7, "app", before.location("/bin/app", line{name: "old"}), main)
	before.add(2, 7, "app", main)
	after.add(9, 100, "app", after.location("/bin/app", line{name: "main"}))

	got := write1(t, exporter.Input{Profile: before.Profile}, exporter.Input{Profile: after.Profile})
	if want := []headerType{{"cpu", "nanoseconds"}}; !slices.Equal(got.header.Types, want) || len(got.header.Profiles) != 2 {
		t.Errorf("header %+v, want types %v of 2 profiles", got.header, want)
	}
	want := map[string][]int64{",app,,,|main@/bin/app:native;old@/bin/app:native": {3000, 0}, ",app,,,|main@/bin/app:native": {2000, 9000}}
	if stacks := got.stacks(); !reflect.DeepEqual(stacks, want) {
		t.Errorf("stacks %v, want %v", stacks, want)
	}
}

// Profiles of Go's runtime have other types, no side table, and lines that are
// inlined.
func TestWriteOfGoRuntime(t *testing.T) {
	for _, name := range []string{"heap", "goroutine", "mutex"} {
		var file bytes.Buffer
		if err := pprof.Lookup(name).WriteTo(&file, 0); err != nil {
			t.Fatal(err)
		}
		p, err := profile.ParseData(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		got := write1(t, exporter.Input{Profile: p})
		want := make([]int64, len(p.SampleType))
		for _, s := range p.Sample {
			for i, v := range s.Value {
				want[i] += v
			}
		}
		if !slices.Equal(got.totals(), want) || len(got.header.Types) != len(want) {
			t.Errorf("%s: totals %v of %v, want %v", name, got.totals(), got.header.Types, want)
		}
		if name == "goroutine" && !slices.ContainsFunc(got.frames, func(f string) bool { return strings.HasSuffix(f, ":go") }) {
			t.Errorf("%s: no frame of Go: %v", name, got.frames)
		}
	}
}

func TestErrors(t *testing.T) {
	negative, huge, other := newProfile(), newProfile(), newProfile()
	negative.add(-1, 1, "app", negative.location("/bin/app", line{name: "main"}))
	huge.add(1, 1, "app")
	huge.Sample[0].Value[1] = math.MaxInt64
	huge.add(1, 1, "app")
	other.SampleType = []*profile.ValueType{{Type: "alloc", Unit: "bytes"}}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name string
		ctx  context.Context
		in   []exporter.Input
		want string
	}{
		{"negative", t.Context(), []exporter.Input{{Profile: negative.Profile}}, "negative values"},
		{"huge", t.Context(), []exporter.Input{{Profile: huge.Profile}}, "too large to add up"},
		{"nothing in common", t.Context(), []exporter.Input{{Profile: newProfile().Profile}, {Profile: other.Profile}}, "no type of value in common"},
		{"no types", t.Context(), []exporter.Input{{Profile: &profile.Profile{}}}, "no type of value"},
		{"invalid", t.Context(), []exporter.Input{{Profile: &profile.Profile{Sample: []*profile.Sample{{Value: []int64{1}}}}}}, "check profile"},
		{"ended", ended, []exporter.Input{{Profile: newProfile().Profile}}, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var b bytes.Buffer
			err := write(test.ctx, &b, test.in)
			if err == nil || !strings.Contains(err.Error(), test.want) || b.Len() > 0 {
				t.Errorf("wrote %d bytes, error %v, want one about %q", b.Len(), err, test.want)
			}
		})
	}
}

// A page is pruned as far as it must be to fit, and refused if that is not enough.
func TestLimit(t *testing.T) {
	b, err := build(t.Context(), []exporter.Input{{Profile: bushy(5000).Profile}})
	if err != nil {
		t.Fatal(err)
	}
	whole, err := b.smallest(t.Context(), maxSize)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		limit int
		share float64 // in percent
	}{{len(whole), 0}, {len(whole) - 4, 0.01}, {len(whole) / 8, 0.1}, {len(whole) / 20, 1}} {
		text, err := b.smallest(t.Context(), test.limit)
		if err != nil {
			t.Errorf("at most %d bytes: %v", test.limit, err)
			continue
		}
		d, err := decodePage([]byte(`<script type="text/plain" id="data">` + text + `</script>`))
		if err != nil {
			t.Fatal(err)
		}
		if len(text) > test.limit || d.header.PrunedShare != test.share {
			t.Errorf("at most %d bytes: %d bytes, without what is below %v%%, want %v%%", test.limit, len(text), d.header.PrunedShare, test.share)
		}
		if d.header.Strings > 2*d.header.Frames+10 {
			t.Errorf("%d strings for %d frames", d.header.Strings, d.header.Frames)
		}
	}
	if _, err := b.smallest(t.Context(), 500); !errors.Is(err, ErrTooLarge) {
		t.Errorf("at most 500 bytes: %v", err)
	}
}

// The page loads nothing: its policy forbids it, and there is no address in it.
func TestPageIsSelfContained(t *testing.T) {
	m := newProfile()
	m.add(1, 1, `</script><img src="http://example.com/x">`, m.location(`/"><script src=//example.com>`, line{name: `</script><script>alert(1)</script>`}))
	m.Comments = []string{"command: </title><script>alert(1)</script>", "host: {{script}}"}
	page := string(writeBytes(t, exporter.Input{Profile: m.Profile}))
	policy := regexp.MustCompile(`<meta http-equiv="Content-Security-Policy" content="([^"]*)">`).FindStringSubmatch(page)
	if policy == nil || !strings.HasPrefix(policy[1], "default-src 'none'; ") || strings.Contains(policy[1], "unsafe") {
		t.Fatalf("policy %q", policy)
	}
	for _, tag := range []string{"script", "style"} {
		content := regexp.MustCompile(`(?s)<`+tag+`>(.*?)</`+tag+`>`).FindAllStringSubmatch(page, -1)
		if len(content) != 1 {
			t.Fatalf("%d elements %s", len(content), tag)
		}
		sum := sha256.Sum256([]byte(content[0][1]))
		if want := tag + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy[1], want) {
			t.Errorf("policy %q, want %q in it", policy[1], want)
		}
	}
	for _, address := range regexp.MustCompile(`[a-z]+://[^\s"'<>]*|(?:src|href)="[^"]*"`).FindAllString(page, -1) {
		if address != "http://www.w3.org/2000/svg" && address != `href="data:,"` {
			t.Errorf("the page has the address %q", address)
		}
	}
	if strings.Contains(page, "{{") || strings.Contains(page, "alert(1)") {
		t.Error("text of the profile, or a mark of the template, is in the page")
	}
}

func TestAllSourcesAreUsed(t *testing.T) {
	entries, err := sources.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".js") {
			found = append(found, e.Name())
		}
	}
	want := slices.Sorted(slices.Values(scripts))
	if !slices.Equal(found, want) {
		t.Errorf("the folder has %v, the page %v", found, want)
	}
}

// bushy is a profile of n stacks, most of them rare, in three processes.
func bushy(n int) made {
	m := newProfile()
	r := rand.New(rand.NewPCG(3, 4))
	pool := make([]*profile.Location, 2000)
	for i := range pool {
		pool[i] = m.location("/bin/app", line{name: fmt.Sprint("f", i)})
	}
	for i := range n {
		stack := make([]*profile.Location, 1+r.IntN(12))
		for k := range stack {
			stack[k] = pool[r.IntN(1+len(pool)*(len(stack)-k)/24)]
		}
		m.add(1+int64(n/(i+1)), int64(i%3), fmt.Sprint("process", i%3), stack...)
	}
	return m
}

// Pruning merges what is small and nothing else: sums of each process stay, and
// each stack is an old one up to "(other)".
func TestPrune(t *testing.T) {
	m := bushy(5000)
	b, err := build(t.Context(), []exporter.Input{{Profile: m.Profile}})
	if err != nil {
		t.Fatal(err)
	}
	decodeShare := func(share float64) *decoded {
		t.Helper()
		var out bytes.Buffer
		if err := b.encode(&out, share); err != nil {
			t.Fatal(err)
		}
		d, err := decode(out.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	perProcess := func(d *decoded) map[string]int64 {
		sums := make(map[string]int64)
		for _, r := range d.rows {
			sums[d.header.Contexts[r.context][1]] += r.values[0]
		}
		return sums
	}
	// totals are those of every way from the root, over all processes.
	totals := func(d *decoded) map[string]int64 {
		sums := make(map[string]int64)
		for stack, values := range d.stacks() {
			_, frames, _ := strings.Cut(stack, "|")
			path := ""
			for frame := range strings.SplitSeq(frames, ";") {
				path += ";" + frame
				sums[path] += values[0]
			}
		}
		return sums
	}
	whole := decodeShare(0)
	all := totals(whole)
	limit := 0.001 * float64(whole.totals()[0])
	cut := decodeShare(0.001)
	if !maps.Equal(perProcess(cut), perProcess(whole)) {
		t.Errorf("processes have %v, want %v", perProcess(cut), perProcess(whole))
	}
	kept := totals(cut)
	others := 0
	for path, v := range kept {
		if strings.HasSuffix(path, ";(other)@:other") {
			others++
			continue
		}
		if v != all[path] {
			t.Errorf("%s has %d, want %d", path, v, all[path])
		}
		if float64(v) < limit {
			t.Errorf("%s with %d should have been merged", path, v)
		}
	}
	for path, v := range all {
		if _, ok := kept[path]; !ok && float64(v) >= limit {
			t.Errorf("%s with %d is gone", path, v)
		}
	}
	if others == 0 || cut.header.Pruned != len(whole.nodes)-(len(cut.nodes)-others) || cut.header.PrunedShare != 0.1 {
		t.Errorf("%d others; %d of %d nodes are left; header says %d below %v%%", others, len(cut.nodes), len(whole.nodes), cut.header.Pruned, cut.header.PrunedShare)
	}
}

func TestKinds(t *testing.T) {
	for _, test := range []struct {
		known      staccato.Kind
		file, name string
		system     string
		source     string
		want       string
	}{
		{"", "/bin/app", "main", "main", "", "native"},
		{"", "/bin/app", "std::sort()", "_ZSt4sortv", "", "c++"},
		{staccato.KindNative, "/bin/app", "std::sort()", "_ZSt4sortv", "", "c++"},
		{staccato.KindNative, "/bin/app", "core::fmt::write", "_ZN4core3fmt5write17h0123456789abcdefE", "", "native"},
		{"", "/bin/app", "mixed::sort", "_ZN5mixed4sort17hc2da38420f365858E.llvm.6355644592509289122", "", "native"},
		{staccato.KindGo, "/bin/app", "main.main", "main.main", "", "go"},
		{"jvm", "", "Foo.bar", "", "", "jvm"},
		{"", "/bin/app", "main.main", "main.main", "/src/main.go", "go"},
		{"", "", "f", "", "/src/f.py", "cpython"},
		{"", "[kernel.kallsyms]", "schedule", "", "", "kernel"},
		{"", "/usr/lib/debug/boot/vmlinux-6.1", "schedule", "", "kernel/sched.c", "kernel"},
		{"", "/lib/modules/ext4.ko", "ext4_read", "", "", "kernel"},
		{"", "", "schedule_[k]", "", "", "kernel"},
		{"", "", "Foo.bar_[j]", "", "", "jit"},
		{"", "/tmp/perf-12.map", "Foo", "", "", "jit"},
		{"", "//anon", "0x12", "", "", "jit"},
		{"", "", "[lost: table full]", "", "", "lost"},
		{"", "", "[truncated: depth]", "", "", "lost"},
		{"", "", "[idle]", "", "", "idle"},
	} {
		loc := &profile.Location{}
		if test.file != "" {
			loc.Mapping = &profile.Mapping{File: test.file}
		}
		f := &profile.Function{Name: test.name, SystemName: test.system, Filename: test.source}
		if got := kindOf(test.known, loc, f); got != test.want {
			t.Errorf("%q, %+v in %q is %q, want %q", test.known, f, test.file, got, test.want)
		}
	}
}

func TestFacts(t *testing.T) {
	p := &profile.Profile{Comments: []string{
		"host: db, Linux 6.1.0, 16 CPUs", "command: staccato record -a", "frequency: asked 99 Hz, achieved 98.7 Hz (cpu-clock)",
		"lost, table full: 3 samples (0.10%)", "lost, not sampled, is an estimate: no counter",
		"stacks complete: 99.00%, truncated: 1.00%", "stacks named: 97.00%, with an unnamed frame: 3.00%", "something\x1belse",
	}, DurationNanos: 5}
	want := facts{
		Host: "db", Kernel: "Linux 6.1.0", CPUs: "16", Command: "staccato record -a", Frequency: "asked 99 Hz, achieved 98.7 Hz (cpu-clock)",
		Lost:     []string{"lost, table full: 3 samples (0.10%)", "lost, not sampled, is an estimate: no counter"},
		Complete: "99.00%", Named: "97.00%", Comments: []string{"something\ufffdelse"}, Duration: 5,
	}
	if got := factsOf(p); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"plain λ": "plain λ", "a\x00b\x1b[31m": "a\ufffdb\ufffd[31m", "a\u202eb": "a\ufffdb", "\xff": "\ufffd", "</script>": "</script>",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
	if got := clean(strings.Repeat("é", 5000)); !utf8.ValidString(got) || len(got) > maxText+3 {
		t.Errorf("a long name becomes %d bytes", len(got))
	}
}

// FuzzWrite takes any pprof file: the page must have the same totals.
func FuzzWrite(f *testing.F) {
	wide := newProfile()
	wide.add(1, 1, "app", wide.location("/bin/app", line{name: "main"}))
	for range 60 {
		wide.SampleType = append(wide.SampleType, wide.SampleType[0])
		wide.Sample[0].Value = append(wide.Sample[0].Value, 3)
	}
	for _, p := range []made{bushy(0), bushy(3), bushy(40), wide} {
		var b bytes.Buffer
		if err := p.WriteUncompressed(&b); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// Slow parsing and checking of huge profiles would find nothing more.
		if len(data) > 1<<14 {
			return
		}
		p, err := profile.ParseUncompressed(data)
		if err != nil || p.CheckValid() != nil {
			return
		}
		for _, inputs := range [][]exporter.Input{{{Profile: p}}, {{Profile: p}, {Profile: p}}} {
			var b bytes.Buffer
			if err := write(t.Context(), &b, inputs); err != nil {
				return
			}
			d, err := decodePage(b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			want := make([]int64, len(d.header.Columns))
			for _, s := range p.Sample {
				for i := range p.SampleType {
					for side := range inputs {
						if i*len(inputs)+side < len(want) {
							want[i*len(inputs)+side] += s.Value[i]
						}
					}
				}
			}
			// Types that occur twice are compared by their first.
			if got := d.totals(); len(inputs) == 1 && !slices.Equal(got, want) {
				t.Errorf("totals %v, want %v", got, want)
			}
			for _, s := range d.strings {
				if !utf8.ValidString(s) {
					t.Errorf("%q is not UTF-8", s)
				}
			}
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	in := exporter.Input{Profile: bushy(20_000).Profile}
	b.ReportAllocs()
	for b.Loop() {
		if err := Write(b.Context(), &bytes.Buffer{}, in); err != nil {
			b.Fatal(err)
		}
	}
}
