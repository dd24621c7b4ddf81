package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato/agent"
)

// testSystem is a folder that looks like the root of a Debian or another system,
// with a program in it.
func testSystem(t *testing.T, release string) (s system, buildID string) {
	t.Helper()
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/os-release", release)
	write("var/lib/dpkg/info/libssl3:amd64.list", "/.\n/usr/lib\n/usr/lib/libssl.so.3\n")
	write("var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib/libc.so.6\n")
	write("var/lib/dpkg/info/libpython3.11:amd64.list", "/usr/lib/libpython3.11.so.1.0\n")
	write("usr/lib/x", "")
	program := filepath.Join(root, "usr/lib/libssl.so.3")
	cmd := exec.Command("gcc", "-shared", "-Wl,--build-id=0x5f3c0123456789abcdef0123456789abcdef0123", "-x", "c", "-o", program, "-")
	cmd.Stdin = strings.NewReader("int one;")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v: %s", err, out)
	}
	for _, name := range []string{"libc.so.6", "libpython3.11.so.1.0", "own.so"} {
		if err := os.Link(program, filepath.Join(root, "usr/lib", name)); err != nil {
			t.Fatal(err)
		}
	}
	return system(root), "5f3c0123456789abcdef0123456789abcdef0123"
}

func TestFix(t *testing.T) {
	debian, id := testSystem(t, "PRETTY_NAME=\"Debian\"\nID=debian\n")
	mint, _ := testSystem(t, "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n")
	alma, _ := testSystem(t, "ID=\"almalinux\"\nID_LIKE=\"rhel centos fedora\"\n")
	alpine, _ := testSystem(t, "ID=alpine\n")
	const dbgsym = "apt install libssl3-dbgsym (of the archive for debugging symbols), or --debuginfod"
	const other = "do not strip it, or --debuginfod"
	for _, test := range []struct {
		system system
		in     agent.UnnamedIn
		want   string
	}{
		{debian, agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: id, Reason: "no symbols"}, dbgsym},
		{debian, agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: id, Reason: "no symbols; no debug file found"}, dbgsym},
		{debian, agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: id, Reason: "no symbols; x.debug is of another build, with build ID 12"}, ""},
		{mint, agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: id}, dbgsym},
		{debian, agent.UnnamedIn{Path: "/usr/lib/libc.so.6", BuildID: id}, "apt install libc6-dbg, or --debuginfod"},
		{debian, agent.UnnamedIn{Path: "/usr/lib/libpython3.11.so.1.0", BuildID: id}, "apt install python3.11-dbg, or --debuginfod"},
		{debian, agent.UnnamedIn{Path: "/usr/lib/own.so", BuildID: id}, other},
		{debian, agent.UnnamedIn{Path: "/usr/lib/none.so", BuildID: id}, other},
		{debian, agent.UnnamedIn{Path: "/usr/lib/x", BuildID: id}, other},
		{debian, agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: "ab" + id}, other}, // of a container
		{debian, agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: id, Reason: "no permission"}, ""},
		{debian, agent.UnnamedIn{Path: "/usr/lib/x"}, "build it with symbols, and with a build ID (-Wl,--build-id)"},
		{alma, agent.UnnamedIn{Path: "/usr/lib/own.so", BuildID: id}, "dnf --enablerepo='*debug*' install /usr/lib/debug/.build-id/5f/3c0123456789abcdef0123456789abcdef0123.debug, or --debuginfod"},
		{alpine, agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: id}, other},
		{system(t.TempDir()), agent.UnnamedIn{Path: "/usr/lib/libssl.so.3", BuildID: id}, other},
		{debian, agent.UnnamedIn{Path: "[kernel.kallsyms]", BuildID: id}, ""},
		{debian, agent.UnnamedIn{}, ""},
		{debian, agent.UnnamedIn{Program: "/usr/bin/node"}, "node --perf-basic-prof"},
		{debian, agent.UnnamedIn{Program: "/usr/bin/python3.12"}, "python -X perf (3.12 or later)"},
		{debian, agent.UnnamedIn{Program: "/usr/lib/jvm/bin/java"}, "jcmd PID Compiler.perfmap, and java -XX:+PreserveFramePointer"},
		{debian, agent.UnnamedIn{Program: "luajit"}, ""},
	} {
		if got := test.system.fix(test.in); got != test.want {
			t.Errorf("%+v: %q, want %q", test.in, got, test.want)
		}
	}
}
