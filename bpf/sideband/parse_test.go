package sideband

import (
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// raw puts a record together: header, body padded to 8 bytes, trailer.
func raw(kind uint32, misc uint16, time uint64, body ...any) []byte {
	order := binary.NativeEndian
	b := make([]byte, headerSize)
	for _, part := range body {
		switch part := part.(type) {
		case string:
			b = append(b, part...)
			b = append(b, 0)
		default:
			b, _ = binary.Append(b, order, part)
		}
	}
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	b, _ = binary.Append(b, order, [2]uint32{7, 8})
	b, _ = binary.Append(b, order, time)
	b, _ = binary.Append(b, order, [2]uint32{3, 0})
	order.PutUint32(b, kind)
	order.PutUint16(b[4:], misc)
	order.PutUint16(b[6:], uint16(len(b)))
	return b
}

var records = []struct {
	name string
	raw  []byte
	want Record
}{
	{
		"mmap with inode",
		raw(unix.PERF_RECORD_MMAP2, unix.PERF_RECORD_MISC_USER, 99, uint32(41), uint32(42), uint64(0x1000), uint64(0x2000), uint64(0x3000),
			uint32(8), uint32(1), uint64(555), uint64(6), uint32(5), uint32(2), "/usr/bin/a b"),
		Mmap{Time: 99, PID: 41, TID: 42, Addr: 0x1000, Len: 0x2000, Offset: 0x3000, Maj: 8, Min: 1, Inode: 555, Gen: 6, Prot: 5, Flags: 2, Path: "/usr/bin/a b"},
	},
	{
		"mmap with build ID",
		raw(unix.PERF_RECORD_MMAP2, unix.PERF_RECORD_MISC_MMAP_BUILD_ID, 100, uint32(41), uint32(42), uint64(0x1000), uint64(0x2000), uint64(0),
			[4]byte{3}, [20]byte{0xab, 0, 0xff}, uint32(5), uint32(2), "[vdso]"),
		Mmap{Time: 100, PID: 41, TID: 42, Addr: 0x1000, Len: 0x2000, BuildID: "ab00ff", Prot: 5, Flags: 2, Path: "[vdso]"},
	},
	{
		"exec",
		raw(unix.PERF_RECORD_COMM, unix.PERF_RECORD_MISC_COMM_EXEC, 1, uint32(5), uint32(5), "bash"),
		Comm{Time: 1, PID: 5, TID: 5, Name: "bash", Exec: true},
	},
	{
		"thread renamed",
		raw(unix.PERF_RECORD_COMM, 0, 1, uint32(5), uint32(6), "fifteen letters"),
		Comm{Time: 1, PID: 5, TID: 6, Name: "fifteen letters"},
	},
	{
		"fork",
		raw(unix.PERF_RECORD_FORK, 0, 4, uint32(11), uint32(1), uint32(12), uint32(2), uint64(4)),
		Fork{Time: 4, PID: 11, TID: 12, ParentPID: 1, ParentTID: 2},
	},
	{
		"exit",
		raw(unix.PERF_RECORD_EXIT, 0, 4, uint32(11), uint32(1), uint32(12), uint32(2), uint64(4)),
		Exit{Time: 4, PID: 11, TID: 12},
	},
	{
		"BPF program removed",
		raw(unix.PERF_RECORD_KSYMBOL, 0, 9, uint64(0xffffffffc0000000), uint32(77), uint16(1), uint16(1), "bpf_prog_0123456789abcdef_f"),
		Symbol{Time: 9, Addr: 0xffffffffc0000000, Len: 77, Name: "bpf_prog_0123456789abcdef_f", Unregister: true, BPF: true},
	},
	{
		"lost",
		raw(unix.PERF_RECORD_LOST, 0, 12, uint64(1), uint64(345)),
		Lost{Time: 12, CPU: 3, Count: 345},
	},
}

func TestParse(t *testing.T) {
	for _, test := range records {
		t.Run(test.name, func(t *testing.T) {
			got, err := Parse(test.raw)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %+v\nwant %+v", got, test.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	resized := func(b []byte, n int) []byte {
		b = append([]byte(nil), b...)[:n]
		if n >= headerSize {
			binary.NativeEndian.PutUint16(b[6:], uint16(n))
		}
		return b
	}
	for n := range headerSize + trailerSize {
		if _, err := Parse(resized(records[0].raw, n)); err == nil {
			t.Errorf("took a record of %d bytes", n)
		}
	}
	if _, err := Parse(resized(records[0].raw, headerSize+63+trailerSize)); err == nil {
		t.Error("took an MMAP2 record without room for its fields")
	}
	if _, err := Parse(records[0].raw[:len(records[0].raw)-8]); err == nil {
		t.Error("took a record that is shorter than it says")
	}
	long := append([]byte(nil), records[1].raw...)
	long[headerSize+32] = 21
	if _, err := Parse(long); err == nil || !strings.Contains(err.Error(), "21 bytes") {
		t.Errorf("build ID of 21 bytes: %v", err)
	}
	if _, err := Parse(raw(unix.PERF_RECORD_SAMPLE, 0, 1)); !errors.Is(err, ErrUnknownType) {
		t.Errorf("sample record: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, test := range records {
		f.Add(test.raw)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		record, err := Parse(b)
		if (record == nil) == (err == nil) {
			t.Fatalf("record %v with error %v", record, err)
		}
		if m, ok := record.(Mmap); ok && (len(m.BuildID) > 2*maxBuildID || len(m.Path) > len(b)) {
			t.Fatalf("%+v from %d bytes", m, len(b))
		}
	})
}

func TestParseCPUs(t *testing.T) {
	for text, want := range map[string][]int{"0\n": {0}, "0-1\n": {0, 1}, "0,2-4,7\n": {0, 2, 3, 4, 7}, "": nil, "a": nil, "3-1": nil, "0-4294967295": nil, "-1": nil} {
		got, err := parseCPUs(text)
		if !reflect.DeepEqual(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}
