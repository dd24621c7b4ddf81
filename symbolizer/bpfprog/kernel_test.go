package bpfprog

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
)

// burners compiles testdata/burn.bpf.c and loads its programs.
func burners(t *testing.T) map[string]*ebpf.Program {
	t.Helper()
	object := filepath.Join(t.TempDir(), "burn.o")
	if out, err := exec.Command("clang-19", "-g", "-O2", "-target", "bpf", "-c", "testdata/burn.bpf.c", "-o", object).CombinedOutput(); err != nil {
		t.Fatalf("clang-19: %v: %s", err, out)
	}
	collection, err := ebpf.LoadCollection(object)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(collection.Close)
	return collection.Programs
}

// hotLine is the line of burn.bpf.c that takes the time.
func hotLine(t *testing.T) int64 {
	t.Helper()
	source, err := os.ReadFile("testdata/burn.bpf.c")
	if err != nil {
		t.Fatal(err)
	}
	before, _, found := strings.Cut(string(source), "// hot line")
	if !found {
		t.Fatal("no hot line")
	}
	return int64(strings.Count(before, "\n") + 1)
}

// TestLines compares with what cilium/ebpf says about the same programs.
func TestLines(t *testing.T) {
	table := New(Config{})
	programs := burners(t)
	if err := table.Refresh(); err != nil {
		t.Fatal(err)
	}
	hot := hotLine(t)
	for name, p := range programs {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		places, _ := info.JitedLineInfos()
		lines, err := info.LineInfos()
		if err != nil || len(places) != len(lines) || len(places) < 8 {
			t.Fatalf("%s: %d addresses, %d lines, %v", name, len(places), len(lines), err)
		}
		id, _ := info.ID()
		symbols := symbolsOf(t, info)
		if len(symbols) != 2 {
			t.Errorf("%s: program %d has the symbols %v, want two", name, id, symbols)
		}
		seen := map[int64]bool{}
		for i, address := range places {
			want := lines[i].Line
			var got []int64
			for _, symbol := range symbols {
				if l, ok := table.Line(symbol, address+1); ok {
					got = append(got, l.Line, l.Column)
					if filepath.Base(l.Function.File) != "burn.bpf.c" || l.Function.File != want.FileName() {
						t.Errorf("%s: file %q, want %q", name, l.Function.File, want.FileName())
					}
					if l.Function.StartLine == 0 || l.Function.StartLine > l.Line {
						t.Errorf("%s: line %d in a function that begins in line %d", name, l.Line, l.Function.StartLine)
					}
					seen[l.Line] = true
				}
			}
			if !slices.Equal(got, []int64{int64(want.LineNumber()), int64(want.LineColumn())}) {
				t.Errorf("%s: address %#x is at %v, want %d, %d", name, address, got, want.LineNumber(), want.LineColumn())
			}
		}
		if !seen[hot] {
			t.Errorf("%s: no code in line %d: %v", name, hot, seen)
		}
	}
	if len(programs) != 5 {
		t.Errorf("%d programs", len(programs))
	}

	before := table.bytes
	if err := table.Refresh(); err != nil || table.bytes != before {
		t.Errorf("read again: %v, %d bytes after %d", err, table.bytes, before)
	}
}

// symbolsOf are the names of a program's functions in the kernel's list.
func symbolsOf(t *testing.T, info *ebpf.ProgramInfo) (names []string) {
	t.Helper()
	list, err := os.ReadFile("/proc/kallsyms")
	if err != nil {
		t.Fatal(err)
	}
	starts, _ := info.JitedKsymAddrs()
	for line := range strings.Lines(string(list)) {
		f := strings.Fields(line)
		if at, err := strconv.ParseUint(f[0], 16, 64); err == nil && slices.Contains(starts, uintptr(at)) && IsProgram(f[2]) {
			names = append(names, f[2])
		}
	}
	return names
}

// The struct is the kernel's.
func TestProgramInfo(t *testing.T) {
	var i programInfo
	for name, offset := range map[string][2]uintptr{
		"nr_jited_ksyms": {unsafe.Offsetof(i.nrKsyms), 104}, "btf_id": {unsafe.Offsetof(i.btf), 128},
		"nr_line_info": {unsafe.Offsetof(i.nrLines), 148}, "line_info": {unsafe.Offsetof(i.lines), 152},
		"jited_line_info_rec_size": {unsafe.Offsetof(i.placeSize), 176}, "prog_tags": {unsafe.Offsetof(i.tags), 184},
		"size": {unsafe.Sizeof(i), 192},
	} {
		if offset[0] != offset[1] {
			t.Errorf("%s is at %d, want %d", name, offset[0], offset[1])
		}
	}
}
