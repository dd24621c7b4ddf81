// Package collectortest runs a real OpenTelemetry Collector in tests, and
// reads what arrived in it.
package collectortest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Collector is an OpenTelemetry Collector that listens on loopback and writes
// the profiles it receives to a file.
type Collector struct {
	// GRPC and HTTP are the addresses it listens on, HOST:PORT; they stay the
	// same when it is started again.
	GRPC, HTTP string

	binary, config, file string
	command              *exec.Cmd
	exited               chan struct{}
}

// Build builds the Collector of testdata/collector, or the program in a folder
// below it, and returns the file. The first build on a machine downloads
// modules and takes minutes.
func Build(t testing.TB, folder string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "collector")
	build := exec.Command("go", "build", "-C", filepath.Join(root, "testdata", "collector", folder), "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build collector: %v\n%s", err, out)
	}
	return binary
}

// moduleRoot finds staccato's go.mod above the test's folder.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		text, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(text), "module github.com/staccato-profiler/staccato\n") {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", fmt.Errorf("find staccato's go.mod: there is none above the test")
		}
		dir = filepath.Dir(dir)
	}
}

// New prepares a Collector on free ports; Start starts it.
func New(t testing.TB, binary string) *Collector {
	t.Helper()
	dir := t.TempDir()
	c := &Collector{
		GRPC: freeAddress(t), HTTP: freeAddress(t),
		binary: binary, config: filepath.Join(dir, "config.yaml"), file: filepath.Join(dir, "profiles"),
	}
	config := fmt.Sprintf(`
receivers:
  otlp:
    protocols:
      grpc: {endpoint: %q}
      http: {endpoint: %q}
exporters:
  file: {path: %q, format: proto, append: true, flush_interval: 50ms}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    profiles: {receivers: [otlp], exporters: [file]}
`, c.GRPC, c.HTTP, c.file)
	if err := os.WriteFile(c.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// Start returns when the Collector listens.
func (c *Collector) Start(t testing.TB) {
	t.Helper()
	c.command = exec.Command(c.binary, "--config", c.config, "--feature-gates=+service.profilesSupport")
	log := &strings.Builder{}
	c.command.Stdout, c.command.Stderr = log, log
	if err := c.command.Start(); err != nil {
		t.Fatal(err)
	}
	command, exited := c.command, make(chan struct{})
	c.exited = exited
	go func() {
		command.Wait()
		close(exited)
	}()
	deadline := time.After(30 * time.Second)
	for _, address := range []string{c.GRPC, c.HTTP} {
		for !listens(address) {
			select {
			case <-exited:
				t.Fatalf("the collector ended:\n%s", log)
			case <-deadline:
				t.Fatal("the collector does not listen after 30 s")
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

func listens(address string) bool {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return false
	}
	connection.Close()
	return true
}

// Stop asks the Collector to end and waits for it. What it accepted is in its
// file then.
func (c *Collector) Stop(t testing.TB) {
	t.Helper()
	if err := c.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-c.exited:
	case <-time.After(30 * time.Second):
		t.Fatal("the collector does not end")
	}
}

// kill ends a Collector that a failed test left.
func (c *Collector) kill() {
	if c.command != nil && c.command.Process != nil {
		c.command.Process.Kill()
		<-c.exited
	}
}

// Received returns the totals of all profiles that the Collector has written
// so far, over all its runs.
func (c *Collector) Received(t testing.TB) Totals {
	t.Helper()
	data, err := os.ReadFile(c.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	totals, err := ofFile(data)
	if err != nil {
		t.Fatal(err)
	}
	return totals
}

// WaitFor waits until that many samples arrived, at most for a time, and
// returns what did. It fails the test when they do not arrive.
func (c *Collector) WaitFor(t testing.TB, samples int64, timeout time.Duration) Totals {
	t.Helper()
	for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Millisecond) {
		got := c.Received(t)
		if got.Samples >= samples {
			return got
		}
		if time.Now().After(deadline) {
			t.Errorf("after %v the collector has %d samples of %d", timeout, got.Samples, samples)
			return got
		}
	}
}
