package debugfile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// withMini follows the recipe of GDB's manual, "Debugging information in a
// special section": symbols of functions that are not in .dynsym.
func withMini(t testing.TB, path string) string {
	t.Helper()
	dir := t.TempDir()
	of := func(flags ...string) (names []string) {
		for line := range strings.Lines(tool(t, "binutils", "nm", append(flags, "--format=posix", "--defined-only", path)...)) {
			if f := strings.Fields(line); len(f) > 1 && (strings.Contains("TtD", f[1]) || flags[0] == "-D") {
				names = append(names, f[0])
			}
		}
		return names
	}
	exported := of("-D")
	kept := slices.DeleteFunc(of("--no-sort"), func(name string) bool { return slices.Contains(exported, name) })
	keep, debug, mini, out := filepath.Join(dir, "keep"), filepath.Join(dir, "debug"), filepath.Join(dir, "mini"), filepath.Join(dir, "program")
	if err := os.WriteFile(keep, []byte(strings.Join(kept, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, "binutils", "objcopy", "--only-keep-debug", path, debug)
	tool(t, "binutils", "objcopy", "-S", "--remove-section", ".gdb_index", "--remove-section", ".comment", "--keep-symbols="+keep, debug, mini)
	tool(t, "binutils", "strip", "--strip-all", "-R", ".comment", "-o", out, path)
	tool(t, "xz-utils", "xz", mini)
	tool(t, "binutils", "objcopy", "--add-section", ".gnu_debugdata="+mini+".xz", out)
	return out
}

func TestMini(t *testing.T) {
	path := build(t, "1")
	set := find(t, withMini(t, path), Config{})
	if set.Mini == nil || set.Debug != nil || set.Reason != "no debug file found" {
		t.Fatalf("%+v", set)
	}
	checkNames(t, set, path)
}

func TestBadMini(t *testing.T) {
	packed := func(content []byte, flags ...string) []byte {
		path := filepath.Join(t.TempDir(), "content")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "xz-utils", "xz", append(flags, path)...)
		b, err := os.ReadFile(path + ".xz")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	sound := packed([]byte(strings.Repeat("no ELF file ", 1000)))
	for _, test := range []struct {
		name    string
		section []byte
		want    string
	}{
		{"not ELF", sound, "not an ELF file"},
		{"not xz", []byte(strings.Repeat("no xz file ", 1000)), "xz:"},
		{"cut off", sound[:len(sound)-40], "xz:"},
		{"too much", packed(make([]byte, maxMini+1)), "more than 32 MiB"},
		{"a dictionary of 1 GiB", packed([]byte("x"), "--lzma2=dict=1GiB"), "dictionary size exceeds"},
	} {
		m, f := image(t, map[string][]byte{".gnu_debugdata": test.section})
		set := Find(m, f, Config{})
		if set.Mini != nil || !strings.Contains(set.Reason, test.want) {
			t.Errorf("%s: reason %q, want %q", test.name, set.Reason, test.want)
		}
	}
}
