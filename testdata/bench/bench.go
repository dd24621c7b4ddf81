package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/staccato-profiler/staccato/testdata/workloads"
)

// bench holds the programs and the local sink that measurements need.
type bench struct {
	dir   string
	scale float64
	begin time.Time
	sink  *sink
	loads []string // of the part roots; none: all
	files []string // of the part names, besides its own
	// warm is how long the agent runs before it is measured, span how long it
	// is measured.
	warm, span time.Duration
}

func newBench(scale float64) (*bench, error) {
	dir, err := os.MkdirTemp("", "staccato-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, scale: scale, begin: time.Now()}
	b.warm, b.span = b.scaled(30*time.Second), b.scaled(60*time.Second)
	if err := b.build(); err != nil {
		b.close()
		return nil, err
	}
	if b.sink, err = newSink(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) build() error {
	_, here, _, _ := runtime.Caller(0)
	cmd := exec.Command("go", "build", "-o", b.path("staccato"), "./cmd/staccato")
	cmd.Dir = filepath.Join(filepath.Dir(here), "../..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as make build
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build staccato: %w: %s", err, out)
	}
	for _, source := range []string{"c/idle.c", "c/manystacks.c", "c/paced.c", "c/remap.c", "c/spawn.c", "c/split.c"} {
		if err := workloads.Compile(b.path(workloads.Name(source)), source); err != nil {
			return err
		}
	}
	// As most C++ programs are built.
	return workloads.Compile(b.path("mixed"), "cpp/mixed.cc", "-fomit-frame-pointer")
}

func (b *bench) close() {
	if b.sink != nil {
		b.sink.close()
	}
	os.RemoveAll(b.dir)
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) scaled(d time.Duration) time.Duration { return time.Duration(float64(d) * b.scale) }

// say tells what is going on.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%7s  %s\n", time.Since(b.begin).Round(time.Second), fmt.Sprintf(format, args...))
}

// table begins a table.
func table(columns ...string) {
	row(columns...)
	fmt.Println(strings.Repeat("|---", len(columns)) + "|")
}

func row(cells ...string) { fmt.Println("| " + strings.Join(cells, " | ") + " |") }
