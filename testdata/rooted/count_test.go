package rooted

import (
	"debug/elf"
	"strings"
	"testing"

	"github.com/google/pprof/profile"
)

// What ends where a program begins is whole, and nothing else.
func TestOf(t *testing.T) {
	f, err := elf.Open("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sh, kernel := &profile.Mapping{File: "/bin/sh"}, &profile.Mapping{File: "[kernel.kallsyms]"}
	at := func(m *profile.Mapping, address uint64, name string) *profile.Location {
		return &profile.Location{Mapping: m, Address: address, Line: []profile.Line{{Function: &profile.Function{Name: name}}}}
	}
	p := &profile.Profile{}
	add := func(comm string, n int64, stack ...*profile.Location) {
		p.Sample = append(p.Sample, &profile.Sample{Value: []int64{n, n * 1e9}, Location: stack, Label: map[string][]string{"comm": {comm}}})
	}
	inside := at(sh, f.Entry+4096, "inside")
	add("sh", 1, at(kernel, 1, "work"), inside, at(sh, f.Entry+37, ""))
	add("sh", 2, inside, at(nil, 0, "runtime.goexit"))
	add("sh", 4, inside)
	add("sh", 8, inside, at(nil, 0, "[truncated: too deep]"))
	add("sh", 16, at(nil, 7, ""))
	add("sh", 32, at(kernel, 1, "do_exit"))
	add("sh", 64, at(kernel, 1, "do_exit"), at(nil, 0, "[truncated: kernel stack]"))
	add("other", 128, inside)

	n := Of(p, "sh", "none")
	if n.Samples != 31 || n.Rooted != 3 || n.Kernel != 96 || n.CPU != 127 {
		t.Errorf("%+v", n)
	}
	if got, want := n.Causes(), "16 ends in no file, 8 too deep, 4 ends in inside of /bin/sh"; got != want {
		t.Errorf("causes %q, want %q", got, want)
	}
	var text strings.Builder
	n.Explain(&text)
	if lines := strings.Split(strings.TrimSpace(text.String()), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "16: 0x7") {
		t.Errorf("explained:\n%s", text.String())
	}
}
