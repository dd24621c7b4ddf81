package input_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strconv"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato/exporter/input"
)

func compress(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// mainWork is work ← main, three times.
func mainWork() *profile.Profile {
	main, work := &profile.Function{ID: 1, Name: "main"}, &profile.Function{ID: 2, Name: "work"}
	inMain := &profile.Location{ID: 1, Line: []profile.Line{{Function: main}}}
	inWork := &profile.Location{ID: 2, Line: []profile.Line{{Function: work}}}
	return &profile.Profile{
		SampleType: []*profile.ValueType{{Type: "samples", Unit: "count"}},
		Sample:     []*profile.Sample{{Location: []*profile.Location{inWork, inMain}, Value: []int64{3}}},
		Location:   []*profile.Location{inMain, inWork},
		Function:   []*profile.Function{main, work},
	}
}

func encoded(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := mainWork().WriteUncompressed(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// text writes a profile as "leaf root value" lines, to compare.
func text(p *profile.Profile) string {
	var b strings.Builder
	for _, s := range p.Sample {
		for _, l := range s.Location {
			for _, line := range l.Line {
				b.WriteString(line.Function.Name + " ")
			}
			if len(l.Line) == 0 {
				b.WriteString("? ")
			}
		}
		for i, v := range s.Value {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strconv.FormatInt(v, 10))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestRead(t *testing.T) {
	dir := t.TempDir()
	plain := encoded(t)
	var threads bytes.Buffer
	if err := pprof.Lookup("threadcreate").WriteTo(&threads, 1); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		content []byte
		config  input.Config
		want    string
	}{
		{"profile.pb", plain, input.Config{}, "work main 3\n"},
		{"profile.pb.gz", compress(t, plain), input.Config{}, "work main 3\n"},
		{"any name", compress(t, plain), input.Config{}, "work main 3\n"},
		{"stacks.folded", []byte("main;work 3\n"), input.Config{}, "work main 3\n"},
		{"stacks.folded.gz", compress(t, []byte("# comment\n\nmain;work 3\n")), input.Config{}, "work main 3\n"},
		{"perf.txt", []byte("app 1 1.5:  1 cycles:\n\t12 work+0x1 (/a)\n\t13 main (/a)\n"), input.Config{}, "work main 1,1\n"},
		{"odd.folded", []byte("app 1 1.5: 1 cycles: 3\n"), input.Config{Format: input.Folded}, "app 1 1.5: 1 cycles: 3\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(dir, test.name)
			if err := os.WriteFile(file, test.content, 0o666); err != nil {
				t.Fatal(err)
			}
			test.config.Stdin = bytes.NewReader(test.content)
			for _, name := range []string{file, "-"} {
				p, err := input.Read(t.Context(), name, test.config)
				if err != nil {
					t.Fatal(err)
				}
				if got := text(p); got != test.want {
					t.Errorf("read %q, want %q", got, test.want)
				}
				if err := p.CheckValid(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Text that pprof wrote before it had its format.
	p, err := input.Parse(threads.Bytes(), input.Config{})
	if err != nil || len(p.Sample) == 0 {
		t.Errorf("%d samples in %q: %v", len(p.Sample), threads.Bytes(), err)
	}
}

func TestReadErrors(t *testing.T) {
	dir := t.TempDir()
	large := bytes.Repeat([]byte("main;work 3\n"), 1000)
	for _, test := range []struct {
		name    string
		content []byte
		config  input.Config
		want    string
	}{
		{"empty", nil, input.Config{}, "it is empty"},
		{"perf.data", []byte("PERFILE2\x01\x02"), input.Config{}, "perf record"},
		{"json", []byte(`{"version": 1}`), input.Config{}, "JSON"},
		{"page", []byte("<!doctype html>\n"), input.Config{}, "web page"},
		{"words", []byte("no profile at all\n"), input.Config{}, "unrecognized"},
		{"cut short", encoded(t)[:20], input.Config{}, "profile"},
		{"gzip cut short", compress(t, encoded(t))[:30], input.Config{}, "decompress: unexpected EOF"},
		{"gzip only begun", []byte{0x1f, 0x8b}, input.Config{}, "decompress"},
		{"twice", compress(t, compress(t, encoded(t))), input.Config{}, "compressed twice"},
		{"large", large, input.Config{MaxBytes: 100}, "larger than"},
		{"bomb", compress(t, large), input.Config{MaxBytes: 1000}, "decompress: it is larger than"},
		{"folded as perf", []byte("main;work 3\n"), input.Config{Format: input.Perf}, "line 1: want the first line of a sample"},
		{"folded as pprof", []byte("main;work 3\n"), input.Config{Format: input.Pprof}, "unrecognized"},
		{"no types", []byte{0x32, 0x00, 0x48, 0x01}, input.Config{Format: input.Pprof}, "no sample types"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(dir, test.name)
			if err := os.WriteFile(file, test.content, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := input.Read(t.Context(), file, test.config)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	if _, err := input.Read(t.Context(), filepath.Join(dir, "none"), input.Config{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
	if _, err := input.Read(t.Context(), dir, input.Config{}); err == nil {
		t.Error("a folder was read")
	}
}

func TestFormatByName(t *testing.T) {
	for _, f := range []input.Format{input.Auto, input.Pprof, input.Folded, input.Perf} {
		if got, err := input.FormatByName(f.String()); err != nil || got != f {
			t.Errorf("%v: %v, %v", f, got, err)
		}
	}
	if _, err := input.FormatByName("svg"); err == nil || !strings.Contains(err.Error(), "pprof, folded, perf") {
		t.Errorf("error %v", err)
	}
}

// Whatever a file holds: a valid profile or an error, with little more memory
// than it is large.
func FuzzParse(f *testing.F) {
	f.Add(encoded(f))
	f.Add(compress(f, encoded(f)))
	f.Add([]byte("main;work 3\n"))
	f.Add([]byte("heap profile: 1: 2 [3: 4] @ heap/1048576\n1: 2 [3: 4] @ 0x1 0x2\n"))
	f.Add([]byte("goroutine profile: total 1\n1 @ 0x1 0x2\n"))
	f.Add([]byte("--- contention:\ncycles/second=1\n1 2 @ 0x1\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := input.Parse(content, input.Config{MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		if err := p.CheckValid(); err != nil {
			t.Errorf("not valid: %v", err)
		}
		if len(p.SampleType) == 0 {
			t.Error("no sample types")
		}
	})
}
