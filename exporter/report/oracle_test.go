package report_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	runtimepprof "runtime/pprof"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/input"
	"github.com/staccato-profiler/staccato/exporter/report"
)

// goPprof is the program behind go tool pprof.
var goPprof = sync.OnceValues(func() (string, error) {
	// go tool builds it when it is first run.
	if out, err := exec.Command("go", "tool", "pprof", "-h").CombinedOutput(); !strings.Contains(string(out), "nodefraction") {
		return "", fmt.Errorf("go tool pprof: %w: %s", err, out)
	}
	out, err := exec.Command("go", "tool", "-n", "pprof").Output()
	return strings.TrimSpace(string(out)), err
})

// runPprof runs go tool pprof on a file, without names from executables that
// happen to be here.
func runPprof(t *testing.T, args ...string) string {
	t.Helper()
	pprof, err := goPprof()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(pprof, append([]string{"-symbolize=none", "-nodefraction=0", "-edgefraction=0", "-nodecount=0"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "PPROF_BINARY_PATH=/nonexistent")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("pprof %s: %v: %s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// figures are a row of a table, to compare.
type figures struct {
	name        string
	self, total int64
}

func sortFigures(rows []figures) []figures {
	slices.SortFunc(rows, func(a, b figures) int {
		return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.self, b.self), cmp.Compare(a.total, b.total))
	})
	return rows
}

var (
	topRow   = regexp.MustCompile(`^ *(-?[\d.]+)\S* +\S+% +\S+% +(-?[\d.]+)\S* +\S+%  (.*)$`)
	topTotal = regexp.MustCompile(`of (-?[\d.]+)\S* total`)
)

// top reads what pprof -top prints, with values in the profile's own unit.
func top(t *testing.T, out string) (rows []figures, all int64) {
	t.Helper()
	number := func(text string) int64 {
		v, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatalf("%q in:\n%s", text, out)
		}
		return v
	}
	all = -1
	header := true
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if m := topTotal.FindStringSubmatch(line); header && m != nil {
			all = number(m[1])
		}
		if strings.HasPrefix(line, "      flat  flat%") {
			header = false
			continue
		}
		if header {
			continue
		}
		m := topRow.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no row of -top: %q", line)
		}
		name := strings.TrimSuffix(strings.TrimSuffix(m[3], " (inline)"), " (partial-inline)")
		rows = append(rows, figures{name, number(m[1]), number(m[2])})
	}
	if header {
		t.Fatalf("no table:\n%s", out)
	}
	return sortFigures(rows), all
}

func ours(r *report.Report) []figures {
	var rows []figures
	for _, f := range r.Functions() {
		rows = append(rows, figures{f.Label(), f.Self, f.Total})
	}
	return sortFigures(rows)
}

// othersFiles returns the profiles to compare about, by name.
func othersFiles(t *testing.T) map[string]string {
	t.Helper()
	files := goProfiles(t)

	// Those that pprof's own tests read: gperftools', Java's and old Go's.
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/pprof").Output()
	if err != nil {
		t.Fatal(err)
	}
	module := strings.TrimSpace(string(dir))
	for _, name := range []string{
		"profile/testdata/cppbench.cpu", "profile/testdata/cppbench.heap", "profile/testdata/cppbench.contention",
		"profile/testdata/cppbench.growth", "profile/testdata/cppbench.thread", "profile/testdata/gobench.cpu",
		"profile/testdata/gobench.heap", "profile/testdata/go.crc32.cpu", "profile/testdata/java.cpu",
		"profile/testdata/java.heap", "profile/testdata/java.contention", "internal/driver/testdata/cppbench.small.contention",
		"internal/report/testdata/sample.cpu",
	} {
		files[filepath.Base(name)] = filepath.Join(module, name)
	}
	files["staccato"] = "testdata/staccato.pb.gz"
	return files
}

// goProfiles makes profiles with Go's runtime, and others of them with pprof.
func goProfiles(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	files := make(map[string]string)
	create := func(name string, write func(f *os.File) error) {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := write(f); err != nil {
			t.Fatal(err)
		}
		files[name] = f.Name()
	}
	for _, name := range []string{"go cpu 1", "go cpu 2"} {
		create(name, func(f *os.File) error {
			if err := runtimepprof.StartCPUProfile(f); err != nil {
				return err
			}
			work(t.Context())
			runtimepprof.StopCPUProfile()
			return nil
		})
	}
	for _, name := range []string{"heap", "allocs", "mutex", "block", "goroutine", "threadcreate"} {
		for _, debug := range []int{0, 1} {
			create(fmt.Sprintf("go %s debug=%d", name, debug), func(f *os.File) error {
				return runtimepprof.Lookup(name).WriteTo(f, debug)
			})
		}
	}
	for _, kind := range []string{"base", "diff_base"} {
		file := filepath.Join(dir, kind)
		runPprof(t, "-proto", "-output="+file, "-"+kind+"="+files["go cpu 1"], files["go cpu 2"])
		files["negative values, "+kind] = file
	}
	return files
}

// filterSet is the same filter for both.
type filterSet struct {
	name  string
	ours  report.Filter
	pprof []string
}

// filtersFor chooses filters that have something to do in this profile.
func filtersFor(p *profile.Profile) []filterSet {
	sets := []filterSet{{name: "none"}}
	r, err := report.New(p, "", nil)
	if err != nil {
		return nil
	}
	rows := r.Functions()
	var leaf, caller string
	for _, f := range rows {
		if leaf == "" && f.Name != "" {
			leaf = "^" + regexp.QuoteMeta(f.Name) + "$"
		}
	}
	report.SortByTotal(rows)
	for _, f := range rows[:min(5, len(rows))] {
		if f.Name != "" {
			caller = regexp.QuoteMeta(f.Name)
		}
	}
	if leaf == "" || caller == "" {
		leaf, caller = "libc", "prog|bench"
	}
	sets = append(sets,
		filterSet{"focus", report.Filter{Focus: caller}, []string{"-focus=" + caller}},
		filterSet{"ignore", report.Filter{Ignore: leaf}, []string{"-ignore=" + leaf}},
		filterSet{"hide", report.Filter{Hide: leaf}, []string{"-hide=" + leaf}},
		filterSet{"show", report.Filter{Show: caller + "|" + leaf}, []string{"-show=" + caller + "|" + leaf}},
		filterSet{"show-from", report.Filter{ShowFrom: caller}, []string{"-show_from=" + caller}},
		filterSet{"a file", report.Filter{Focus: `\.go$|\.so`}, []string{`-focus=\.go$|\.so`}},
		filterSet{"all at once", report.Filter{Focus: ".", Ignore: "nothing", Hide: leaf, ShowFrom: caller}, []string{"-focus=.", "-ignore=nothing", "-hide=" + leaf, "-show_from=" + caller}},
	)
	tags := make(map[string]bool)
	for _, s := range p.Sample {
		for key, values := range s.Label {
			tags[key+"="+regexp.QuoteMeta(values[0])] = true
			tags[regexp.QuoteMeta(key+":"+values[0])] = true
		}
		for key, values := range s.NumLabel {
			tags[fmt.Sprintf("%s=%d", key, values[0])] = true
			tags[fmt.Sprintf("%s=:%d", key, values[0])] = true
			tags[fmt.Sprintf("%s=%d:", key, values[0]/1024)] = true
			if len(s.NumUnit[key]) > 0 || key == "bytes" {
				tags[fmt.Sprintf("%s=%db:%dkb", key, values[0], values[0])] = true
				tags[fmt.Sprintf("%db", values[0])] = true
			}
		}
		if len(tags) > 12 {
			break
		}
	}
	for tag := range tags {
		sets = append(sets,
			filterSet{"tag " + tag, report.Filter{Tags: []string{tag}}, []string{"-tagfocus=" + tag}},
			filterSet{"tag-ignore " + tag, report.Filter{TagIgnore: []string{tag}}, []string{"-tagignore=" + tag}})
		if len(sets) >= 14 {
			break
		}
	}
	return sets
}

// Flat and cumulative figures are those of go tool pprof -top, for profiles
// made by others.
func TestFiguresArePprofs(t *testing.T) {
	files := othersFiles(t)
	if len(files) < 20 {
		t.Errorf("only %d files", len(files))
	}
	compared, rows, negative := 0, 0, 0
	for name, file := range files {
		p, err := input.Read(t.Context(), file, input.Config{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, valueType := range p.SampleType {
			sets := filtersFor(p.Copy())
			if i > 0 {
				sets = sets[:min(2, len(sets))]
			}
			for _, set := range sets {
				filters, err := set.ours.Compile()
				if err != nil {
					t.Fatal(err)
				}
				r, err := report.New(p.Copy(), strconv.Itoa(i), filters)
				if err != nil {
					t.Fatal(err)
				}
				args := append([]string{"-top", "-unit=" + valueType.Unit, "-sample_index=" + strconv.Itoa(i)}, set.pprof...)
				want, all := top(t, runPprof(t, append(args, file)...))
				got := ours(r)
				if !slices.Equal(got, want) {
					t.Errorf("%s, %s, %s: %d rows, want %d:\n%v\nwant:\n%v", name, valueType.Type, set.name, len(got), len(want), differing(got, want), differing(want, got))
				}
				if all != r.All {
					t.Errorf("%s, %s, %s: all are %d, want %d", name, valueType.Type, set.name, r.All, all)
				}
				compared++
				rows += len(want)
				if slices.ContainsFunc(want, func(f figures) bool { return f.self < 0 }) {
					negative++
				}
			}
		}
	}
	if negative == 0 {
		t.Error("no table had negative values")
	}
	t.Logf("compared %d tables with %d rows of %d files", compared, rows, len(files))
}

var (
	peekEdge = regexp.MustCompile(`^ *(-?[\d.]+)\S* +\S+% \|   (.*)$`)
	peekSelf = regexp.MustCompile(`^ *(-?[\d.]+)\S* +\S+% +\S+% +(-?[\d.]+)\S* +\S+% +\| (.*)$`)
)

// Callers and callees are those of pprof -peek.
func TestPeekIsPprofs(t *testing.T) {
	files := othersFiles(t)
	edges := 0
	for _, name := range []string{"go cpu 1", "go heap debug=0", "go mutex debug=1", "negative values, base", "java.cpu", "cppbench.cpu", "staccato"} {
		p, err := input.Read(t.Context(), files[name], input.Config{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := report.New(p, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range r.Peek(regexp.MustCompile(".")) {
			for _, e := range n.Callers {
				got = append(got, fmt.Sprintf("%d %s → %s %v", e.Value, e.Label(), n.Label(), e.Inlined))
			}
			got = append(got, fmt.Sprintf("%d %d %s", n.Self, n.Total, n.Label()))
			for _, e := range n.Callees {
				got = append(got, fmt.Sprintf("%d %s ← %s %v", e.Value, e.Label(), n.Label(), e.Inlined))
			}
		}
		want := peek(t, runPprof(t, "-peek=.", "-unit="+r.Value.Unit, files[name]))
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %d lines, want %d", name, len(got), len(want))
			for i := range min(len(got), len(want)) {
				if got[i] != want[i] {
					t.Errorf("line %q, want %q", got[i], want[i])
					break
				}
			}
		}
		edges += len(want)
	}
	t.Logf("compared %d lines", edges)
}

// peek reads what pprof -peek prints.
func peek(t *testing.T, out string) (lines []string) {
	t.Helper()
	var callers []string
	name := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "-----") {
			callers, name = nil, ""
		}
		if m := peekSelf.FindStringSubmatch(line); m != nil {
			name = m[3]
			for _, c := range callers {
				value, rest, _ := strings.Cut(c, " ")
				other, inlined := strings.CutSuffix(rest, " (inline)")
				lines = append(lines, fmt.Sprintf("%s %s → %s %v", value, other, name, inlined))
			}
			lines = append(lines, fmt.Sprintf("%s %s %s", m[1], m[2], name))
		} else if m := peekEdge.FindStringSubmatch(line); m != nil {
			if name == "" {
				callers = append(callers, m[1]+" "+m[2])
				continue
			}
			other, inlined := strings.CutSuffix(m[2], " (inline)")
			lines = append(lines, fmt.Sprintf("%s %s ← %s %v", m[1], other, name, inlined))
		}
	}
	if len(lines) == 0 {
		t.Fatalf("nothing in:\n%s", out)
	}
	return lines
}

var (
	listRoutine = regexp.MustCompile(`^ROUTINE =+ (.*) in (.*)$`)
	listLine    = regexp.MustCompile(`^ *(\.|-?[\d.]+\S*) +(\.|-?[\d.]+\S*) +(\d+):`)
)

// Values of source lines are those of pprof -list.
func TestLinesArePprofs(t *testing.T) {
	file := goProfiles(t)["go cpu 1"]
	p, err := input.Read(t.Context(), file, input.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := report.New(p, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	names := `report_test\.|slices\.|runtime\.mall`
	begins := make(map[string]int64) // where functions begin
	for _, f := range p.Function {
		begins[f.Name+" "+f.Filename] = f.StartLine
	}
	var got []string
	for _, l := range r.Lines(regexp.MustCompile(names)) {
		for _, line := range l.Lines {
			// pprof -list prints a function from its first line on. Go's compiler
			// says of an instruction now and then that it is of the line, in another
			// file, of a function that was inlined there.
			if line.Number < begins[l.Name+" "+l.File] || line.Number == 0 || strings.HasPrefix(l.File, "<") {
				continue
			}
			got = append(got, fmt.Sprintf("%s %s:%d %d %d", l.Name, l.File, line.Number, line.Self, line.Total))
		}
	}
	var want []string
	routine := ""
	value := func(text string) string {
		if text == "." {
			return "0"
		}
		return strings.TrimSuffix(text, "ns")
	}
	for line := range strings.Lines(runPprof(t, "-list="+names, "-unit=ns", file)) {
		line = strings.TrimSuffix(line, "\n")
		if m := listRoutine.FindStringSubmatch(line); m != nil {
			routine = m[1] + " " + m[2]
		} else if m := listLine.FindStringSubmatch(line); m != nil && (m[1] != "." || m[2] != ".") {
			want = append(want, fmt.Sprintf("%s:%s %s %s", routine, m[3], value(m[1]), value(m[2])))
		}
	}
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 5 || !slices.Equal(got, want) {
		t.Errorf("%d lines, want %d:\n%s\nwant:\n%s", len(got), len(want),
			strings.Join(differing(got, want), "\n"), strings.Join(differing(want, got), "\n"))
	}
}

// differing are the rows of a that b has not.
func differing[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(f T) bool { return slices.Contains(b, f) })
}

// work keeps a CPU busy for a moment, allocates, blocks and waits for locks.
func work(ctx context.Context) {
	begin := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			labels := runtimepprof.Labels("worker", strconv.Itoa(i), "kind", "busy")
			runtimepprof.Do(ctx, labels, func(context.Context) {
				for time.Since(begin) < 400*time.Millisecond {
					mu.Lock()
					kept = append(kept[:0:0], make([]byte, 100_000)...)
					mu.Unlock()
					slices.Sort(fill(make([]int, 3000)))
				}
			})
		})
	}
	wg.Wait()
}

var kept []byte

func fill(s []int) []int {
	for i := range s {
		s[i] = i * 7919 % 1009
	}
	return s
}
