package process

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/staccato-profiler/staccato"
)

func openFile(t testing.TB, path string) staccato.File {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return memoryFile{bytes.NewReader(content)}
}

// oracle is what binutils says of a file.
type oracle struct {
	buildID  string
	segments []segment
}

var (
	buildIDLine = regexp.MustCompile(`Build ID: ([0-9a-f]+)`)
	loadLine    = regexp.MustCompile(`(?m)^\s+LOAD\s+0x(\S+) 0x(\S+) 0x\S+ 0x(\S+) 0x\S+ ([R ][W ][E ])`)
)

func askReadelf(t *testing.T, path string) oracle {
	t.Helper()
	out, err := exec.Command("readelf", "-nlW", path).Output()
	if err != nil {
		t.Fatalf("readelf -nlW %s: %v", path, err)
	}
	var o oracle
	if m := buildIDLine.FindSubmatch(out); m != nil {
		o.buildID = string(m[1])
	}
	for _, m := range loadLine.FindAllStringSubmatch(string(out), -1) {
		var numbers [3]uint64
		for i := range numbers {
			if numbers[i], err = strconv.ParseUint(m[i+1], 16, 64); err != nil {
				t.Fatal(err)
			}
		}
		o.segments = append(o.segments, segment{numbers[0], numbers[1], numbers[2], strings.Contains(m[4], "E")})
	}
	return o
}

func TestIdentifyAgainstReadelf(t *testing.T) {
	files, _ := filepath.Glob("/usr/bin/*")
	libraries, _ := filepath.Glob("/usr/lib/*-linux-gnu/*.so*")
	if len(files) > 250 {
		files = files[:250]
	}
	if len(libraries) > 100 {
		libraries = libraries[:100]
	}
	compared, withID := 0, 0
	for _, path := range append(append(files, libraries...), filepath.Join(goroot(t), "bin/go")) {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > 64<<20 {
			continue
		}
		id, err := identify(openFile(t, path))
		if errors.Is(err, errNotELF) {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		want := askReadelf(t, path)
		if id.buildID != want.buildID {
			t.Errorf("%s: build ID %q, readelf says %q", path, id.buildID, want.buildID)
		}
		if !slices.Equal(id.segments, want.segments) {
			t.Errorf("%s: segments %+v, readelf says %+v", path, id.segments, want.segments)
		}
		compared++
		if id.buildID != "" {
			withID++
		}
	}
	if compared < 50 || withID < 40 {
		t.Errorf("compared %d files, %d with build ID", compared, withID)
	}
	t.Logf("%d files equal, %d with build ID", compared, withID)
}

func TestIdentifyGo(t *testing.T) {
	path := filepath.Join(goroot(t), "bin/go")
	out, err := exec.Command("go", "tool", "buildid", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	id, err := identify(openFile(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimSpace(string(out)); want == "" || id.goBuildID != want {
		t.Errorf("Go build ID %q, go tool buildid says %q", id.goBuildID, want)
	}
}

// Without PT_NOTE the sections must do, and without both there is no ID.
func TestIdentifyNotes(t *testing.T) {
	path := compile(t, "int main(void) { return 0; }")
	want := askReadelf(t, path).buildID
	content, err := os.ReadFile(path)
	if err != nil || want == "" {
		t.Fatal(err, want)
	}
	phoff, phnum := binary.LittleEndian.Uint64(content[32:]), binary.LittleEndian.Uint16(content[56:])
	for i := range uint64(phnum) {
		if header := content[phoff+i*56:]; binary.LittleEndian.Uint32(header) == 4 {
			binary.LittleEndian.PutUint32(header, 0)
		}
	}
	id, err := identify(memoryFile{bytes.NewReader(content)})
	if err != nil || id.buildID != want {
		t.Errorf("without PT_NOTE: %q, %v; want %q", id.buildID, err, want)
	}
	binary.LittleEndian.PutUint16(content[60:], 0)
	id, err = identify(memoryFile{bytes.NewReader(content)})
	if err != nil || id.buildID != "" {
		t.Errorf("without PT_NOTE and sections: %q, %v", id.buildID, err)
	}
}

func TestIdentify32(t *testing.T) {
	source := filepath.Join(t.TempDir(), "a.go")
	if err := os.WriteFile(source, []byte("package main\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, arch := range []string{"386", "mips"} { // 32 bits in both byte orders
		program := filepath.Join(t.TempDir(), arch)
		build := exec.Command("go", "build", "-o", program, source)
		build.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=-p=1")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		id, err := identify(openFile(t, program))
		if err != nil {
			t.Fatal(err)
		}
		if want := askReadelf(t, program); !slices.Equal(id.segments, want.segments) || id.buildID != want.buildID || id.goBuildID == "" {
			t.Errorf("%s: %+v, readelf says %+v", arch, id, want)
		}
	}
}

// The definition of the hash, by the tools that its specification uses.
func TestContentHash(t *testing.T) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		path := filepath.Join(t.TempDir(), "file")
		content := bytes.Repeat([]byte("staccato "), size/9+1)[:size]
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf(`(head -c 4096 %[1]s; tail -c 4096 %[1]s; printf "%%016x" %[2]d | xxd -r -p) | sha256sum | head -c 32`, path, size)
		want, err := exec.Command("sh", "-c", script).Output()
		if _, missing := exec.LookPath("xxd"); missing != nil {
			sum := sha256.New()
			sum.Write(content[:min(size, 4096)])
			sum.Write(content[max(0, size-4096):])
			binary.Write(sum, binary.BigEndian, uint64(size))
			want, err = []byte(hex.EncodeToString(sum.Sum(nil)[:16])), nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := contentHash(openFile(t, path)); err != nil || got != string(want) {
			t.Errorf("%d bytes: %s, %v; want %s", size, got, err, want)
		}
	}
}

func TestAddress(t *testing.T) {
	id := identity{segments: []segment{
		{offset: 0, address: 0x10000, size: 0x2100},
		{offset: 0x2100, address: 0x13100, size: 0x0200, executable: true},
		{offset: 0x2300, address: 0x14300, size: 0x1000, executable: true},
		{offset: 0x4000, address: 0x20000, size: 0x100},
	}}
	for _, test := range []struct {
		name           string
		offset, expect uint64
	}{
		{"in the first executable segment", 0x2180, 0x13180},
		{"its first byte", 0x2100, 0x13100},
		{"in the second, which shares a page with the first", 0x2300, 0x14300},
		{"last byte", 0x32ff, 0x152ff},
		{"before it, in its page", 0x2010, 0x13010},
		{"behind it, in its page", 0x3ff0, 0x15ff0},
		{"data, made executable", 0x4010, 0x20010},
		{"nowhere", 0x9000, 0x9000},
	} {
		if got := id.address(test.offset, 0x1000); got != test.expect {
			t.Errorf("%s: %#x, want %#x", test.name, got, test.expect)
		}
	}
	if start, limit, offset := id.bounds(); start != 0x13100 || limit != 0x15300 || offset != 0x2100 {
		t.Errorf("bounds %#x to %#x from %#x", start, limit, offset)
	}
}

func TestVDSO(t *testing.T) {
	image, err := readVDSO()
	if err != nil {
		t.Fatal(err)
	}
	if image == nil {
		t.Skip("this kernel maps no vDSO")
	}
	path := filepath.Join(t.TempDir(), "vdso.so")
	if err := os.WriteFile(path, image, 0o644); err != nil {
		t.Fatal(err)
	}
	id, err := identify(openFile(t, path))
	if err != nil {
		t.Fatal(err)
	}
	if want := askReadelf(t, path); id.buildID != want.buildID || !slices.Equal(id.segments, want.segments) {
		t.Errorf("%+v, readelf says %+v", id, want)
	}
}

// countingFile counts what is read of endless zeros behind a head.
type countingFile struct {
	head []byte
	size int64
	read int
}

func (f *countingFile) Size() int64 { return f.size }
func (f *countingFile) ReadAt(b []byte, offset int64) (int, error) {
	f.read += len(b)
	clear(b)
	if offset < int64(len(f.head)) {
		copy(b, f.head[offset:])
	}
	return len(b), nil
}

func FuzzIdentify(f *testing.F) {
	if program, err := os.ReadFile("/bin/true"); err == nil {
		f.Add(program[:1024], int64(len(program)))
	}
	if vdso, err := readVDSO(); err == nil {
		f.Add(vdso[:1024], int64(len(vdso)))
	}
	f.Add([]byte("\x7fELF\x02\x01\x01"), int64(1<<62))
	f.Add(append([]byte("\x7fELF\x01\x02\x01"), bytes.Repeat([]byte{0xff}, 60)...), int64(100))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		if size < 0 {
			size = 0
		}
		file := &countingFile{head: head, size: size}
		id, err := identify(file)
		if limit := 8192 + 64 + maxSegments*56 + maxSections*64 + 2*maxNotes*maxNoteBytes; file.read > limit {
			t.Fatalf("read %d bytes", file.read)
		}
		if err != nil && (id.buildID != "" || len(id.segments) > 0) {
			t.Fatalf("%+v with error %v", id, err)
		}
		if len(id.buildID) > 2*maxGNUBuildID || len(id.goBuildID) > maxGoBuildID || len(id.segments) > maxSegments {
			t.Fatalf("%+v", id)
		}
		for _, s := range id.segments {
			id.address(s.offset, 4096)
		}
		id.address(^uint64(0), 4096)
		id.bounds()
	})
}

// goroot is where the Go toolchain is installed.
func goroot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
