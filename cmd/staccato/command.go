package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// command is a child process that waits before its first instruction until it
// is released, so that it can be sampled from there on.
//
// The child asks to be traced and so stops when it has executed its program.
// Linux ties tracing to one thread: the one that started the child must also
// let it go, which is why a goroutine with a thread of its own does both.
type command struct {
	cmd     *exec.Cmd
	release chan struct{}
	letGo   chan error
	// ended is closed when the child has, after release.
	ended   chan struct{}
	waitErr error
}

// startStopped starts a program (the first argument) with arguments.
func startStopped(args []string) (*command, error) {
	c := &command{
		cmd:     exec.Command(args[0], args[1:]...),
		release: make(chan struct{}),
		letGo:   make(chan error, 1),
		ended:   make(chan struct{}),
	}
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}

	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := c.start()
		started <- err
		if err != nil {
			return
		}
		<-c.release
		c.letGo <- syscall.PtraceDetach(c.cmd.Process.Pid)
	}()
	if err := <-started; err != nil {
		switch {
		case errors.Is(err, exec.ErrNotFound), errors.Is(err, fs.ErrNotExist):
			return nil, &exitError{code: exitNotFound, err: fmt.Errorf("run command: %w", err)}
		case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ENOEXEC), errors.Is(err, unix.EISDIR):
			return nil, &exitError{code: exitNotExecutable, err: fmt.Errorf("run command: %w", err)}
		}
		return nil, fmt.Errorf("run command: %w", err)
	}
	return c, nil
}

// start returns when the child has stopped.
func (c *command) start() error {
	if err := c.cmd.Start(); err != nil {
		return err
	}
	pid := c.cmd.Process.Pid
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err == nil {
			break
		}
		if err != syscall.EINTR {
			c.cmd.Process.Kill()
			return fmt.Errorf("wait until %s has started: %w", c.cmd.Path, err)
		}
	}
	if !status.Stopped() {
		return fmt.Errorf("%s ended before it had started (wait status %#x)", c.cmd.Path, int(status))
	}
	// Should we be killed before it is let go, it must not stay stopped.
	if err := syscall.PtraceSetOptions(pid, unix.PTRACE_O_EXITKILL); err != nil {
		c.cmd.Process.Kill()
		c.cmd.Wait()
		return fmt.Errorf("trace %s: %w", c.cmd.Path, err)
	}
	return nil
}

func (c *command) pid() int { return c.cmd.Process.Pid }

// run lets the program begin.
func (c *command) run() error {
	close(c.release)
	if err := <-c.letGo; err != nil {
		return fmt.Errorf("let the command begin: %w", err)
	}
	go func() {
		c.waitErr = c.cmd.Wait()
		close(c.ended)
	}()
	return nil
}

// kill ends a child that was not released. It has not done anything yet.
func (c *command) kill() {
	c.cmd.Process.Kill()
	c.cmd.Wait()
	close(c.release) // the thread finds its child gone
}

// status returns the child's exit code, or 128 + the number of the signal that
// ended it, after ended.
func (c *command) status() (int, error) {
	var exit *exec.ExitError
	if c.waitErr != nil && !errors.As(c.waitErr, &exit) {
		return 0, fmt.Errorf("wait for the command: %w", c.waitErr)
	}
	status, ok := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		return 0, fmt.Errorf("wait for the command: no wait status")
	}
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// inForeground says that we are among the processes that the terminal sends
// Ctrl-C to, and so is a child of ours.
func inForeground() bool {
	tty, err := os.Open("/dev/tty")
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
