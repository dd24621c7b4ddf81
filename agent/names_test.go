package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer"
)

// Whoever makes news get lost, which any process can, does not make us read all
// of the kernel's symbols all the time.
func TestNamesRefresh(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kallsyms")
	write := func(name string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("ffffffff81000000 T "+name+"\nffffffff81001000 T end\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := newNames(NamesConfig{}, Debuginfod{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.close()
	n.symbolizer = symbolizer.New(symbolizer.Config{Kallsyms: path})
	check := func(want string) {
		t.Helper()
		f := &staccato.Frame{Kind: staccato.KindKernel, Mapping: n.kernel, Address: 0xffffffff81000010}
		n.name([]*staccato.Frame{f})
		if len(f.Lines) != 1 || f.Lines[0].Function.Name != want {
			t.Fatalf("lines %+v, want %q", f.Lines, want)
		}
	}
	write("one")
	check("one")
	write("two")
	check("one")
	n.symbolsChanged(nil)
	check("two")
	write("three")
	n.symbolsChanged(nil)
	check("two") // too soon
	n.refreshed = n.refreshed.Add(-refreshAfter + time.Millisecond)
	time.Sleep(time.Millisecond)
	check("three") // what was missed is not forgotten
}
