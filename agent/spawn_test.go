package agent

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/pprof/profile"

	"github.com/staccato-profiler/staccato"
)

// publicDir returns a folder that every user may look into; those of
// testing.T are for root alone.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "staccato-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// copyFile copies a program under another name.
func copyFile(t *testing.T, from, to string) string {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// burner begins every program of these tests: BURN makes a function that uses
// CPU time for some seconds of the clock, and has a frame of its own.
const burner = `
#ifndef _GNU_SOURCE // C++ has it
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
static volatile uint64_t sink;
__attribute__((noinline, noclone, unused)) static uint64_t keep(uint64_t x) { return x ^ x >> 33; }
__attribute__((unused)) static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
#define BURN(name)                                                        \
	__attribute__((noinline, noclone)) void name(double seconds)      \
	{                                                                 \
		double end = now() + seconds;                             \
		uint64_t x = sink;                                        \
		do                                                        \
			for (int i = 0; i < 2000; i++) {                  \
				for (int j = 0; j < 64; j++)              \
					x = x * 6364136223846793005u + __LINE__; \
				x = keep(x);                              \
			}                                                 \
		while (now() < end);                                      \
		sink = x;                                                 \
	}
__attribute__((unused)) static void wait_line(void)
{
	char c;
	while (read(0, &c, 1) == 1 && c != '\n')
		;
}
`

// compileC builds a C program from source behind burner.
func compileC(t *testing.T, path, source string, flags ...string) string {
	t.Helper()
	args := append([]string{"-O2", "-g", "-fno-omit-frame-pointer", "-Werror", "-x", "c", "-o", path}, flags...)
	cmd := exec.Command("gcc", append(args, "-")...)
	cmd.Stdin = strings.NewReader(burner + source)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("compile %s: %v\n%s", filepath.Base(path), err, out)
	}
	return path
}

// target is a program to be profiled. It and its children end with the test.
type target struct {
	*exec.Cmd
	in io.WriteCloser
}

func spawn(t *testing.T, cmd *exec.Cmd) target {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		in.Close()
		cmd.Wait()
	})
	return target{cmd, in}
}

func run(t *testing.T, path string, args ...string) target {
	t.Helper()
	return spawn(t, exec.Command(path, args...))
}

func (p target) pid() int { return p.Process.Pid }

// goOn sends the line that the program waits for.
func (p target) goOn(t *testing.T) {
	t.Helper()
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		t.Fatal(err)
	}
}

// cpuTime is what a process of one thread has used, by the scheduler's count.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	if err != nil {
		t.Fatal(err)
	}
	ns, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(ns)
}

// record profiles while a function runs, and checks what holds for every
// profile.
func record(t *testing.T, cfg Config, during func()) *Profile {
	t.Helper()
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	during()
	prof, err := p.Stop()
	if err != nil {
		t.Fatal(err)
	}
	checkSound(t, prof)
	return prof
}

// checkSound fails unless the profile is valid, its samples are all there, and
// its texts are such as a protocol buffer can hold.
func checkSound(t *testing.T, p *Profile) {
	t.Helper()
	if err := p.Profile.CheckValid(); err != nil {
		t.Error(err)
	}
	checkConserved(t, p)
	for _, text := range texts(p) {
		if text != strings.ToValidUTF8(text, "?") {
			t.Errorf("text %q in the profile is not valid UTF-8", text)
		}
	}
}

// texts are all strings of a profile that come from what was profiled.
func texts(p *Profile) (list []string) {
	for _, s := range p.Profile.Sample {
		for _, values := range s.Label {
			list = append(list, values...)
		}
	}
	for _, f := range p.Profile.Function {
		list = append(list, f.Name, f.SystemName, f.Filename)
	}
	for _, m := range p.Profile.Mapping {
		list = append(list, m.File, m.BuildID)
	}
	for _, attributes := range p.Side.Processes {
		for _, a := range attributes {
			list = append(list, a.Value.String())
		}
	}
	return list
}

// byPID adds up samples by process. Lost samples belong to none, 0.
func byPID(p *Profile) map[int]int64 {
	n := make(map[int]int64)
	for _, s := range p.Profile.Sample {
		pid := 0
		if v := s.NumLabel["pid"]; len(v) == 1 {
			pid = int(v[0])
		}
		n[pid] += s.Value[0]
	}
	return n
}

// ofPIDs keeps only the samples of some processes.
func ofPIDs(p *Profile, pids ...int) *Profile {
	part := *p
	part.Profile = p.Profile.Copy()
	part.Profile.Sample = nil
	for _, s := range p.Profile.Sample {
		if v := s.NumLabel["pid"]; len(v) == 1 && slices.Contains(pids, int(v[0])) {
			part.Profile.Sample = append(part.Profile.Sample, s)
		}
	}
	return &part
}

// userSamples keeps only the samples that were not taken in the kernel.
func userSamples(p *Profile) *Profile {
	part := *p
	part.Profile = p.Profile.Copy()
	part.Profile.Sample = slices.DeleteFunc(part.Profile.Sample, func(s *profile.Sample) bool {
		return p.Side.Kinds.Of(s.Location[0].ID) == staccato.KindKernel
	})
	return &part
}

func has(name string) func([]string) bool {
	return func(names []string) bool { return slices.Contains(names, name) }
}
