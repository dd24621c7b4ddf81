package agent

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/staccato-profiler/staccato"
)

// What is wrong with a file's call frame information is said in the summary and in
// the profile.
func TestTableFaults(t *testing.T) {
	dir := publicDir(t)
	path := compileC(t, filepath.Join(dir, "broken"), "BURN(in_broken)\nint main(void) { in_broken(60); return 0; }")
	frames := filepath.Join(dir, "frames")
	// An entry whose length is not in the section.
	if err := os.WriteFile(frames, []byte{0xef, 0xff, 0xff, 0xff, 0, 0, 0, 0}, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("objcopy", "--update-section", ".eh_frame="+frames, path).CombinedOutput(); err != nil {
		t.Fatalf("objcopy: %v: %s", err, out)
	}
	p := asNobody(t, path)
	prof := record(t, Config{Frequency: 499}, func() { time.Sleep(time.Second) })
	onlyIn(t, prof, p.pid(), "in_broken")
	i := slices.IndexFunc(prof.Summary.TableFaults, func(f TableFault) bool { return f.Path == path })
	if i < 0 {
		t.Fatalf("faults are %q", prof.Summary.TableFaults)
	}
	want := fmt.Sprintf("no or not all unwind tables, %s: %s", path, prof.Summary.TableFaults[i].Reason)
	if !strings.Contains(want, "read entry at 0x0: ends early") || !slices.Contains(prof.Profile.Comments, want) {
		t.Errorf("%q is not in %q", want, prof.Profile.Comments)
	}
}

// However many files there are, and however long their reasons: the list is not
// long.
func TestTableFaultsAreBounded(t *testing.T) {
	var f tableFaults
	for i := range 1000 {
		m := &staccato.Mapping{Path: fmt.Sprint("/tmp/", i)}
		for range 3 {
			f.add(m, errors.Join(errors.New("one\x1b[2J"), errors.New(strings.Repeat("ä", 10_000))))
		}
	}
	if len(f.list) != maxTableFaults || f.beyond < 1000-maxTableFaults || len(f.list[0].Reason) > maxFaultText+3 {
		t.Errorf("%d faults, %d beyond, a reason of %d bytes", len(f.list), f.beyond, len(f.list[0].Reason))
	}
	if got := printable(f.list[0].Reason); !strings.HasPrefix(got, "one?[2J; ää") {
		t.Errorf("reason is %q", got)
	}
}
