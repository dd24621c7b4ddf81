package symbolizer

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
)

// growing is a perf map in memory.
type growing struct {
	text    string
	missing bool
}

func (g *growing) Refresh() error {
	if g.missing {
		return errors.New("no perf map here")
	}
	return nil
}

func (g *growing) Size() int64 { return int64(len(g.text)) }

func (g *growing) ReadAt(b []byte, offset int64) (int, error) {
	return bytes.NewReader([]byte(g.text)).ReadAt(b, offset)
}

func TestGeneratedCode(t *testing.T) {
	list := &growing{missing: true}
	m := &staccato.Mapping{Path: "/tmp/perf-42.map", Generated: list}
	done := 0
	s := New(Config{Done: func(*staccato.Mapping) { done++ }})
	for _, step := range []struct {
		what, add  string
		missing    bool
		want       string
		wantReason string
	}{
		{"not there", "", true, "", "no perf map here"},
		{"there", "1000 10 first\n", false, "first", ""},
		{"changed", "1000 20 _Z6secondv\n", false, "second", ""},
		{"gone", "", true, "second", "no perf map here"},
		{"malformed", "x\n", false, "second", `a line of the perf map is malformed: "x"`},
	} {
		list.text += step.add
		list.missing = step.missing
		f := &staccato.Frame{Mapping: m, Address: 0x1010, Return: true}
		s.Symbolize([]*staccato.Frame{f})
		if got := names(f); got != step.want || s.Reason(m) != step.wantReason {
			t.Errorf("%s: %q, %q, want %q, %q", step.what, got, s.Reason(m), step.want, step.wantReason)
		}
	}
	if done != 0 {
		t.Errorf("the list was said to be read %d times", done)
	}

	list.text = ""
	for i := range 100 {
		list.text += fmt.Sprintf("%x 10 function%d\n", 0x1000+16*i, i)
	}
	small := New(Config{MemoryLimit: 4096})
	f := &staccato.Frame{Mapping: m, Address: 0x1000}
	if small.Symbolize([]*staccato.Frame{f}); len(f.Lines) > 0 || !strings.Contains(small.Reason(m), "too large") {
		t.Errorf("without memory: %q, %q", names(f), small.Reason(m))
	}
}
