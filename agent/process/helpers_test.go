package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/staccato-profiler/staccato/bpf"
)

func compile(t testing.TB, source string, flags ...string) string {
	t.Helper()
	dir := t.TempDir()
	file, program := filepath.Join(dir, "program.c"), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("gcc", append([]string{"-O1", "-Wl,--build-id", "-o", program, file}, flags...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return program
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// uploads is an Uploader that keeps what it got.
type uploads struct {
	t       testing.TB
	entries map[imageID][]bpf.Entry
	current map[uint32]uint64 // generation by PID
	fail    error
}

func newUploads(t testing.TB) *uploads {
	return &uploads{t: t, entries: map[imageID][]bpf.Entry{}, current: map[uint32]uint64{}}
}

func (u *uploads) SetProcess(pid uint32, generation uint64, entries []bpf.Entry) error {
	if u.fail != nil {
		return u.fail
	}
	if generation == 0 {
		u.t.Errorf("process %d uploaded without a generation", pid)
	}
	for i, e := range entries {
		if e.Start >= e.End || i > 0 && e.Start < entries[i-1].End {
			u.t.Errorf("process %d: entry %d of %+v is out of order", pid, i, entries)
		}
		if e.Chunk != 0 && uint64(e.Base)+e.End-e.Start > 1<<chunkShift {
			u.t.Errorf("process %d: entry %+v goes over the end of its chunk", pid, e)
		}
	}
	u.entries[imageID{pid, generation}] = slices.Clone(entries)
	u.current[pid] = generation
	return nil
}

func (u *uploads) RemoveProcess(pid uint32) error {
	delete(u.current, pid)
	return nil
}

func newTable(t testing.TB, config Config) (*Table, *uploads) {
	t.Helper()
	u := newUploads(t)
	config.Uploader = u
	table, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(table.Close)
	return table, u
}

func flush(t testing.TB, table *Table) {
	t.Helper()
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
}
