package kallsyms

import (
	"os"
	"path/filepath"
	"testing"
)

func TestModules(t *testing.T) {
	path := filepath.Join(t.TempDir(), "modules")
	read := func(text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Modules(path)
	}
	before := read("veth 40960 0 - Live 0xffffffffc0a00000\next4 1146880 1 - Live 0xffffffffc0800000\n")
	if before == "" {
		t.Fatal("no modules")
	}
	for what, text := range map[string]string{
		"used by more": "veth 40960 2 - Live 0xffffffffc0a00000\next4 1146880 1 x, Live 0xffffffffc0800000 (E)\n",
		"ready":        "veth 40960 2 - Loading 0xffffffffc0a00000\next4 1146880 1 - Live 0xffffffffc0800000\n",
	} {
		if got := read(text); got != before {
			t.Errorf("%s: %q, want %q", what, got, before)
		}
	}
	for what, text := range map[string]string{
		"gone":        "veth 40960 0 - Live 0xffffffffc0a00000\n",
		"another":     "xfs 40960 0 - Live 0xffffffffc0a00000\next4 1146880 1 - Live 0xffffffffc0800000\n",
		"moved":       "veth 40960 0 - Live 0xffffffffc0b00000\next4 1146880 1 - Live 0xffffffffc0800000\n",
		"nothing":     "",
		"unreadable":  "what is this\n",
		"another one": "veth 40961 0 - Live 0xffffffffc0a00000\next4 1146880 1 - Live 0xffffffffc0800000\n",
	} {
		if read(text) == before {
			t.Errorf("%s: the same as before", what)
		}
	}
	if got := Modules(filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("without the file: %q", got)
	}
}
