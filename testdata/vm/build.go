package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

const module = "github.com/staccato-profiler/staccato/"

// tests are the packages whose tests run in virtual machines, by the name of
// the executable.
var tests = []struct{ program, pkg string }{
	{"bpf.test", "bpf"},
	{"sideband.test", "bpf/sideband"},
	{"native.test", "bpf/unwind/native"},
	{"agent.test", "agent"},
	{"guest.test", "testdata/vm/guest"},
}

// sources are the workloads that these tests build. They are linked statically
// since the virtual machine has no libraries.
var sources = []struct {
	source string
	flags  []string // as the tests give them
	extra  []string
}{
	{"c/split.c", nil, []string{"-static"}},
	{"c/deep.c", nil, []string{"-static"}},
	{"c/badfp.c", nil, []string{"-static"}},
	{"c/manystacks.c", nil, []string{"-static"}},
	{"c/stacks.c", nil, []string{"-static", "-Wno-error", "-fomit-frame-pointer"}},
	{"go/chain", []string{"-ldflags=-s -w"}, nil},
	{"go/shapes", []string{"-ldflags=-s -w"}, nil},
	{withCgo, nil, []string{"-ldflags=-linkmode=external -extldflags=-static"}},
}

const withCgo = "go/cgo"

var compilers = map[string]string{"amd64": "x86_64-linux-gnu-gcc", "arm64": "aarch64-linux-gnu-gcc"}

// build fills a folder with the programs of a virtual machine.
func build(ctx context.Context, p *packages, arch, dir string) error {
	for _, d := range []string{"bin", "t", "w"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"GOARCH": arch, "CGO_ENABLED": "0", "CC": compilers[arch]} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	small := "-ldflags=-s -w"
	for _, t := range tests {
		if err := goTool(ctx, "test", "-c", small, "-o", filepath.Join(dir, "t", t.program), module+t.pkg); err != nil {
			return err
		}
	}
	for out, pkg := range map[string]string{"init": "testdata/vm/init", "bin/staccato": "cmd/staccato"} {
		if err := goTool(ctx, "build", small, "-o", filepath.Join(dir, out), module+pkg); err != nil {
			return err
		}
	}
	for _, s := range sources {
		out := filepath.Join(dir, "w", workloads.Name(s.source, s.flags...))
		if s.source == withCgo {
			if err := os.Setenv("CGO_ENABLED", "1"); err != nil {
				return err
			}
		}
		if err := workloads.Compile(out, s.source, append(s.flags, s.extra...)...); err != nil {
			return err
		}
	}
	deb, err := p.download(ctx, "busybox-static", arch)
	if err != nil {
		return err
	}
	return extract(ctx, deb, filepath.Join(dir, "bin/busybox"), func(path string) bool { return filepath.Base(path) == "busybox" })
}

func goTool(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	return nil
}
