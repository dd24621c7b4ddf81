package unwind

import (
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/unwind/native"
	"github.com/staccato-profiler/staccato/bpf/unwind/native/tabletest"
	"github.com/staccato-profiler/staccato/symbolizer/elffile"
)

var (
	roots   = flag.String("roots", "/usr,/lib,/lib64,/bin,/sbin,/opt", "comma-separated folders whose ELF files to make tables of")
	largest = flag.String("largest", "", "ELF file to make tables of, in the place of libLLVM")
)

// maxBytesPerRow is what a row may take of the kernel's memory, with all that is
// needed to find it.
const maxBytesPerRow = 5.5

// TestEveryFile makes the tables of all executables and libraries below -roots,
// and says what they take.
func TestEveryFile(t *testing.T) {
	s := openStore(t)
	var all, most fileTables
	var mostIn string
	files := 0
	not := make(map[string][]string) // files without tables, by reason
	for _, path := range filesBelow(t, strings.Split(*roots, ",")) {
		each, err := load(s, path)
		switch {
		case errors.Is(err, elffile.ErrNotELF), errors.Is(err, elffile.ErrNotExecutable), err == nil && each.chunks == 0:
			continue // nothing that could be running
		case err != nil:
			not[err.Error()] = append(not[err.Error()], path)
			continue
		}
		if each.fault != nil {
			t.Logf("%s: %v", path, each.fault)
		}
		files++
		all.add(each)
		if each.rows > most.rows {
			most, mostIn = each, path
		}
	}
	for reason, paths := range not {
		t.Logf("%d files, %s: %s", len(paths), reason, strings.Join(paths[:min(len(paths), 20)], " "))
	}
	t.Logf("%d files: %v", files, all)
	t.Logf("most of them has %s: %v", mostIn, most)
	if files == 0 || all.perRow() > maxBytesPerRow {
		t.Errorf("%.2f bytes per row, want at most %v", all.perRow(), maxBytesPerRow)
	}
}

// BenchmarkLargest opens a file, and makes and loads all its tables.
func BenchmarkLargest(b *testing.B) {
	s := openStore(b)
	path := *largest
	if path == "" {
		path = library(b, "gcc", "libLLVM-19.so")
	}
	b.ReportAllocs()
	var last fileTables
	for b.Loop() {
		var err error
		if last, err = load(s, path); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(last.cpu.Seconds(), "cpu-s/last")
	b.ReportMetric(float64(last.rows), "rows")
	b.ReportMetric(last.perRow(), "B/row")
}

// fileTables is what the tables of files took.
type fileTables struct {
	chunks, rows int
	bytes        uint64
	cpu          time.Duration // to make and to load them
	fault        error         // what is missing of them
}

func (a *fileTables) add(b fileTables) {
	a.chunks += b.chunks
	a.rows += b.rows
	a.bytes += b.bytes
	a.cpu += b.cpu
}

func (a fileTables) perRow() float64 { return float64(a.bytes) / float64(max(a.rows, 1)) }

func (a fileTables) String() string {
	return fmt.Sprintf("%d chunks, %d rows, %d bytes, %.2f per row, %.3f s of CPU", a.chunks, a.rows, a.bytes, a.perRow(), a.cpu.Seconds())
}

// load makes the tables of all chunks of a file that hold code, loads them as the
// agent does, and takes them away again.
func load(s *native.Store, path string) (f fileTables, err error) {
	begin := usedCPU()
	file, err := os.Open(path)
	if err != nil {
		return f, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return f, err
	}
	content := disk{file, info.Size()}
	headers, err := elffile.Open(content)
	if err != nil {
		return f, err
	}
	var chunks []uint64
	for _, segment := range headers.Segments {
		if segment.Flags&elf.PF_X == 0 || segment.FileSize == 0 {
			continue
		}
		for at := segment.Offset / native.ChunkSize; at <= (segment.Offset+segment.FileSize-1)/native.ChunkSize; at++ {
			chunks = append(chunks, at)
		}
	}
	slices.Sort(chunks)
	chunks = slices.Compact(chunks)
	if len(chunks) == 0 {
		return f, nil
	}
	source, err := Open(content)
	if err != nil {
		return f, err
	}
	f.fault = source.Fault()
	before := s.Stats().Bytes
	for i, at := range chunks {
		offset := at * native.ChunkSize
		size := uint32(min(native.ChunkSize, uint64(info.Size())-offset))
		table, wrong := source.Table(offset, size)
		f.fault = errors.Join(f.fault, wrong)
		if err := s.Load(uint32(i+1), table); err != nil {
			return f, err
		}
		f.rows += table.Rows()
	}
	f.chunks = len(chunks)
	f.cpu = usedCPU() - begin
	f.bytes = s.Stats().Bytes - before
	for i := range chunks {
		s.Unload(uint32(i + 1))
	}
	s.GraceOver(0)
	s.GraceOver(0) // no program looks
	return f, nil
}

// disk is a staccato.File.
type disk struct {
	*os.File
	size int64
}

func (d disk) Size() int64 { return d.size }

// openStore returns a store for as many tables as there may be.
func openStore(t testing.TB) *native.Store {
	t.Helper()
	spec, err := tabletest.Spec()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(objects.Close)
	u := &native.Unwinder{MemoryLimit: 256 << 20}
	if err := u.Open(objects.Maps); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u.Store
}

// filesBelow are the regular files below folders, of several names of a file the
// first. Folders are not left for another file system.
func filesBelow(t *testing.T, roots []string) (paths []string) {
	const maxFiles = 2_000_000
	type inode struct{ dev, number uint64 }
	seen := make(map[inode]bool)
	for _, root := range roots {
		root, err := filepath.EvalSymlinks(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var top unix.Stat_t
		if err == nil {
			err = unix.Stat(root, &top)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			var stat unix.Stat_t
			if err != nil || unix.Lstat(path, &stat) != nil {
				return nil // gone meanwhile
			}
			if d.IsDir() && (stat.Dev != top.Dev || seen[inode{stat.Dev, stat.Ino}]) {
				return fs.SkipDir
			}
			if (d.IsDir() || d.Type().IsRegular()) && !seen[inode{stat.Dev, stat.Ino}] {
				seen[inode{stat.Dev, stat.Ino}] = true
				if !d.IsDir() {
					paths = append(paths, path)
				}
			}
			if len(seen) > maxFiles {
				return fmt.Errorf("more than %d files", maxFiles)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return paths
}

func usedCPU() time.Duration {
	var r unix.Rusage
	// It cannot fail: the pointer is good.
	unix.Getrusage(unix.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
