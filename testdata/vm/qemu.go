package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"time"
)

// emulators are QEMU's arguments by architecture. Nothing needs hardware help.
//
// amd64 runs in one thread: with one for each CPU, QEMU 7.2 goes on executing
// old translations of code that the kernel has just patched, and some boots
// panic. arm64 has a CPU model without pointer authentication, whose emulation
// takes most of the time, and with a counter of CPU cycles that overflows.
//
// There are three CPUs, of which the kernel brings up two; a test plugs in the
// third.
var emulators = map[string][]string{
	"amd64": {"qemu-system-x86_64", "-accel", "tcg,thread=single", "-append", "console=ttyS0 panic=-1 quiet loglevel=1 maxcpus=2"},
	"arm64": {"qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a57", "-accel", "tcg", "-append", "console=ttyAMA0 panic=-1 quiet loglevel=1 maxcpus=2"},
}

type console struct {
	output []byte
	// ended says how the machine ended, "" when it switched itself off.
	ended string
}

// boot runs a virtual machine until it switches itself off, at most for limit.
func boot(ctx context.Context, arch, image, initramfs string, limit time.Duration) (console, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	args := append(slices.Clone(emulators[arch]), "-nographic", "-no-reboot", "-m", "2048", "-smp", "3", "-kernel", image, "-initrd", initramfs)
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return console{out.Bytes(), fmt.Sprintf("hung: killed after %v", limit)}, nil
	case ctx.Err() != nil:
		return console{}, ctx.Err()
	case err != nil:
		return console{}, fmt.Errorf("run %s: %w: %s", args[0], err, out.Bytes())
	case bytes.Contains(out.Bytes(), []byte("Kernel panic")):
		return console{out.Bytes(), "the kernel panicked"}, nil
	}
	return console{out.Bytes(), ""}, nil
}
