package symbolizer

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
)

const cgoProgram = `package main

/*
static inline __attribute__((always_inline)) void inlined(void) {
	__asm__ volatile("nop; nop; nop; nop; nop; nop; nop; nop");
}
void in_c(void) { inlined(); }
*/
import "C"

func main() { C.in_c() }
`

// Functions in C of a Go program are told of by debugging information, all others by
// Go's own table.
func TestCgo(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"main.go": cgoProgram, "go.mod": "module program\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "build", "-o", "program", ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(dir, "program")
	m, index := mapping(t, path), filepath.Join(dir, "index")
	at := map[string]uint64{"inlined<in_c": addressOf(t, path, "in_c") + 5, "main.main": addressOf(t, path, "main.main")}
	for _, test := range []struct {
		what string
		wait bool
		c    string
	}{{"before", false, "in_c"}, {"after", true, "inlined<in_c"}, {"the next time", false, "inlined<in_c"}} {
		s := withIndex(t, index, Config{Done: func(*staccato.Mapping) { t.Error("done with a file that Go's table is read from") }})
		name := func() (c, golang *staccato.Frame) {
			c = &staccato.Frame{Mapping: m, Kind: staccato.KindNative, Address: at["inlined<in_c"]}
			golang = &staccato.Frame{Mapping: m, Kind: staccato.KindNative, Address: at["main.main"]}
			s.Symbolize([]*staccato.Frame{c, golang})
			return c, golang
		}
		c, golang := name()
		if test.wait {
			if err := s.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			c, golang = name()
		}
		if names(c) != test.c || c.Kind != staccato.KindNative || strings.Contains(test.c, "<") && !strings.HasSuffix(c.Lines[0].Function.File, "main.go") {
			t.Errorf("%s, a frame in C is %q, %+v", test.what, names(c), c)
		}
		if names(golang) != "main.main" || golang.Kind != staccato.KindGo || !strings.HasSuffix(golang.Lines[0].Function.File, "main.go") {
			t.Errorf("%s, a frame in Go is %q, %+v", test.what, names(golang), golang)
		}
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if reason := s.Reason(m); reason != "" {
			t.Errorf("%s: %s", test.what, reason)
		}
	}
}
