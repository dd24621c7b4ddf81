package symbolizer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
	"github.com/staccato-profiler/staccato/symbolizer/debugfile"
)

// host is the root of this machine.
type host struct{}

type hostFile struct {
	*os.File
	size int64
}

func (f hostFile) Size() int64 { return f.size }

func (host) Open(path string) (staccato.OpenFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("open %s: not a regular file: %w", path, err)
	}
	return hostFile{f, info.Size()}, nil
}

// TestDistributionsDebugFile names addresses in every function of the stripped
// C library, by the package of its debug files, and compares the names with
// those that elfutils finds, in the same file and by its own search.
func TestDistributionsDebugFile(t *testing.T) {
	out := run(t, "gcc", "gcc", "-print-file-name=libc.so.6")
	path, err := filepath.EvalSymlinks(strings.TrimSpace(out))
	if err != nil {
		t.Fatal(err)
	}
	m := mapping(t, path)
	m.Roots = []staccato.Root{host{}}
	exported := strings.Count(run(t, "binutils", "nm", "-D", "--defined-only", path), " T ")

	_, after, _ := strings.Cut(run(t, "binutils", "readelf", "-n", path), "Build ID: ")
	id, _, _ := strings.Cut(after, "\n")
	debug := fmt.Sprintf("/usr/lib/debug/.build-id/%s/%s.debug", id[:2], id[2:])
	type function struct{ start, size uint64 }
	var functions []function
	names := map[uint64][]string{} // by start
	for line := range strings.Lines(run(t, "binutils", "readelf", "-sW", debug)) {
		f := strings.Fields(line)
		if len(f) < 8 || f[3] != "FUNC" && f[3] != "IFUNC" || f[6] == "UND" {
			continue
		}
		start, err := strconv.ParseUint(f[1], 16, 64)
		if err != nil {
			t.Fatal(err)
		}
		size, err := strconv.ParseUint(f[2], 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		name, _, _ := strings.Cut(f[7], "@")
		names[start] = append(names[start], name)
		if size > 0 {
			functions = append(functions, function{start, size})
		}
	}
	if len(functions) < 3000 {
		t.Fatalf("readelf knows %d functions in %s: install it with apt-get install libc6-dbg", len(functions), debug)
	}

	r := rand.New(rand.NewPCG(1, 2))
	var frames []*staccato.Frame
	var starts []uint64
	var addresses bytes.Buffer
	for range 10_000 {
		f := functions[r.IntN(len(functions))]
		frames = append(frames, &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: f.start + r.Uint64N(f.size)})
		starts = append(starts, f.start)
		if len(frames) <= 2000 {
			fmt.Fprintf(&addresses, "%#x\n", frames[len(frames)-1].Address)
		}
	}
	s := withIndex(t, filepath.Join(t.TempDir(), "index"), Config{})
	s.Symbolize(frames)
	if why := s.Reason(m); why != "" {
		t.Errorf("reason is %q", why)
	}
	for i, f := range frames {
		if !slices.Contains(names[starts[i]], nameOf(f)) {
			t.Errorf("%#x is %q, readelf says %q", f.Address, nameOf(f), names[starts[i]])
		}
	}

	// elfutils takes the name from DWARF where there is any (-S: from symbols).
	cmd := exec.Command("eu-addr2line", "-S", "-e", path)
	cmd.Stdin = &addresses
	lines, err := cmd.Output()
	if err != nil {
		t.Fatalf("eu-addr2line: %v", err)
	}
	in := bufio.NewScanner(bytes.NewReader(lines))
	compared := 0
	for i := 0; in.Scan(); i++ {
		name, _, _ := strings.Cut(in.Text(), "+")
		name, _, _ = strings.Cut(name, "@")
		if !in.Scan() {
			t.Fatal("half an answer of eu-addr2line")
		}
		compared++
		if got := nameOf(frames[i]); !slices.Contains(names[starts[i]], name) {
			t.Errorf("%#x is %q, eu-addr2line says %q", frames[i].Address, got, name)
		}
	}
	t.Logf("%d functions, of which %d are exported; %d names compared, %d with eu-addr2line", len(functions), exported, len(frames), compared)
	if compared != 2000 {
		t.Errorf("%d names compared with eu-addr2line", compared)
	}

	// Without the roots there is less.
	m = mapping(t, path)
	s = withIndex(t, filepath.Join(t.TempDir(), "index"), Config{})
	unnamed := 0
	for _, f := range frames {
		f.Mapping, f.Lines = m, nil
	}
	s.Symbolize(frames)
	for _, f := range frames {
		if f.Lines == nil {
			unnamed++
		}
	}
	if why := s.Reason(m); unnamed < len(frames)/10 || !strings.Contains(why, "no debug file found") {
		t.Errorf("without debug files %d of %d have no name; reason is %q", unnamed, len(frames), why)
	}
}

// nameOf returns the linker's name.
func nameOf(f *staccato.Frame) string {
	if len(f.Lines) == 0 {
		return ""
	}
	return f.Lines[0].Function.SystemName
}

// later is a Fetcher that has the file only after a while.
type later struct {
	path   string
	asked  int
	call   func()
	answer bool
}

func (l *later) Fetch(_ string, call func()) (staccato.OpenFile, error) {
	l.asked++
	if !l.answer {
		l.call = call
		return nil, debugfile.ErrPending
	}
	return host{}.Open(l.path)
}

// TestNamesComeLater has a debug file that arrives after the first frames, when
// the executable itself may be closed.
func TestNamesComeLater(t *testing.T) {
	whole := program(t, "-Wl,--build-id")
	stripped := filepath.Join(t.TempDir(), "stripped")
	run(t, "binutils", "strip", "-o", stripped, whole)
	address := addressOf(t, whole, "_ZN5space4workEi")
	for _, closed := range []bool{false, true} {
		m := mapping(t, stripped)
		server := &later{path: whole}
		done := 0
		s := withIndex(t, filepath.Join(t.TempDir(), "index"), Config{Fetcher: server, Done: func(*staccato.Mapping) { done++ }})
		frame := func() *staccato.Frame {
			f := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: address}
			s.Symbolize([]*staccato.Frame{f})
			return f
		}
		if f := frame(); names(f) != "" || !strings.Contains(s.Reason(m), "debug file being asked for") {
			t.Errorf("before, frame is %q, reason %q", names(f), s.Reason(m))
		}
		if frame(); server.asked != 1 || done != 1 {
			t.Errorf("asked %d times, done %d times", server.asked, done)
		}
		server.answer = true
		if closed {
			m.File.(*content).close()
		}
		server.call()
		f := frame()
		if closed {
			if !strings.Contains(s.Reason(m), os.ErrClosed.Error()) {
				t.Errorf("closed: frame is %q, reason %q", names(f), s.Reason(m))
			}
			continue
		}
		if names(f) != "space::work" || s.Reason(m) != "" || done != 2 {
			t.Errorf("after, frame is %q, reason %q, done %d times", names(f), s.Reason(m), done)
		}
	}
}

// A debug file whose symbols cannot be read leaves the executable its own.
func TestBrokenDebugFile(t *testing.T) {
	whole := program(t, "-Wl,--build-id", "-rdynamic")
	stripped, broken := filepath.Join(t.TempDir(), "stripped"), filepath.Join(t.TempDir(), "broken")
	run(t, "binutils", "strip", "-o", stripped, whole)
	b, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	var symtab int64
	for line := range strings.Lines(run(t, "binutils", "readelf", "-SW", whole)) {
		if i := strings.Index(line, "] .symtab"); i >= 0 {
			index, err := strconv.ParseInt(strings.TrimSpace(line[strings.Index(line, "[")+1:i]), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			symtab = index
		}
	}
	// Its offset becomes one beyond the end of the file.
	shoff := int64(b[40]) | int64(b[41])<<8 | int64(b[42])<<16
	b[shoff+64*symtab+24+5] = 1
	if err := os.WriteFile(broken, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m := mapping(t, stripped)
	s := withIndex(t, filepath.Join(t.TempDir(), "index"), Config{Fetcher: &later{path: broken, answer: true}})
	f := &staccato.Frame{Kind: staccato.KindNative, Mapping: m, Address: addressOf(t, whole, "_ZN5space4workEi")}
	s.Symbolize([]*staccato.Frame{f})
	if names(f) != "space::work" || !strings.Contains(s.Reason(m), io.ErrUnexpectedEOF.Error()) {
		t.Errorf("frame is %q, reason %q", names(f), s.Reason(m))
	}
}
