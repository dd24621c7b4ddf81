package sideband

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/ring"
)

const (
	headerSize = ring.HeaderSize
	// trailerSize is what sample_id_all appends to every record, given
	// sampleType: u32 PID, u32 TID, u64 time, u32 CPU, u32 reserved.
	trailerSize = 24
	sampleType  = unix.PERF_SAMPLE_TID | unix.PERF_SAMPLE_TIME | unix.PERF_SAMPLE_CPU
	maxBuildID  = 20
)

// ErrUnknownType is the error for a record of a type that was not asked for.
var ErrUnknownType = errors.New("unknown record type")

var errShort = errors.New("record is too short")

// Parse decodes one record from its header to its end. The format is that of
// the kernel's include/uapi/linux/perf_event.h, in the machine's byte order,
// with a trailer of sample_type TID, TIME and CPU. It fails with
// [ErrUnknownType] for other types of record.
func Parse(raw []byte) (Record, error) {
	order := binary.NativeEndian
	if len(raw) < headerSize+trailerSize {
		return nil, errShort
	}
	kind, misc, size := order.Uint32(raw), order.Uint16(raw[4:]), order.Uint16(raw[6:])
	if int(size) != len(raw) {
		return nil, fmt.Errorf("record of %d bytes says it has %d", len(raw), size)
	}
	body, trailer := raw[headerSize:len(raw)-trailerSize], raw[len(raw)-trailerSize:]
	time := order.Uint64(trailer[8:])

	switch kind {
	case unix.PERF_RECORD_MMAP2:
		return parseMmap(body, misc, time)
	case unix.PERF_RECORD_COMM:
		if len(body) < 8 {
			return nil, errShort
		}
		return Comm{
			Time: time,
			PID:  order.Uint32(body),
			TID:  order.Uint32(body[4:]),
			Name: cString(body[8:]),
			Exec: misc&unix.PERF_RECORD_MISC_COMM_EXEC != 0,
		}, nil
	case unix.PERF_RECORD_FORK, unix.PERF_RECORD_EXIT:
		if len(body) < 24 {
			return nil, errShort
		}
		pid, parent := order.Uint32(body), order.Uint32(body[4:])
		tid, parentTID := order.Uint32(body[8:]), order.Uint32(body[12:])
		if kind == unix.PERF_RECORD_EXIT {
			return Exit{Time: time, PID: pid, TID: tid}, nil
		}
		return Fork{Time: time, PID: pid, TID: tid, ParentPID: parent, ParentTID: parentTID}, nil
	case unix.PERF_RECORD_KSYMBOL:
		if len(body) < 16 {
			return nil, errShort
		}
		return Symbol{
			Time:       time,
			Addr:       order.Uint64(body),
			Len:        order.Uint32(body[8:]),
			BPF:        order.Uint16(body[12:]) == unix.PERF_RECORD_KSYMBOL_TYPE_BPF,
			Unregister: order.Uint16(body[14:])&unix.PERF_RECORD_KSYMBOL_FLAGS_UNREGISTER != 0,
			Name:       cString(body[16:]),
		}, nil
	case unix.PERF_RECORD_LOST:
		if len(body) < 16 {
			return nil, errShort
		}
		return Lost{Time: time, CPU: order.Uint32(trailer[16:]), Count: order.Uint64(body[8:])}, nil
	}
	return nil, fmt.Errorf("%w %d", ErrUnknownType, kind)
}

// mappingOf returns whose mapping a record is of, and its time; ok is false for
// other records, and for those too short to be one.
func mappingOf(raw []byte) (pid uint32, time uint64, ok bool) {
	order := binary.NativeEndian
	if len(raw) < headerSize+4+trailerSize || order.Uint32(raw) != unix.PERF_RECORD_MMAP2 {
		return 0, 0, false
	}
	return order.Uint32(raw[headerSize:]), order.Uint64(raw[len(raw)-trailerSize+8:]), true
}

func parseMmap(body []byte, misc uint16, time uint64) (Record, error) {
	order := binary.NativeEndian
	if len(body) < 64 {
		return nil, errShort
	}
	m := Mmap{
		Time:   time,
		PID:    order.Uint32(body),
		TID:    order.Uint32(body[4:]),
		Addr:   order.Uint64(body[8:]),
		Len:    order.Uint64(body[16:]),
		Offset: order.Uint64(body[24:]),
		Prot:   order.Uint32(body[56:]),
		Flags:  order.Uint32(body[60:]),
		Path:   cString(body[64:]),
	}
	if misc&unix.PERF_RECORD_MISC_MMAP_BUILD_ID != 0 {
		n := body[32]
		if n > maxBuildID {
			return nil, fmt.Errorf("build ID of %d bytes", n)
		}
		m.BuildID = hex.EncodeToString(body[36 : 36+int(n)])
	} else {
		m.Maj, m.Min = order.Uint32(body[32:]), order.Uint32(body[36:])
		m.Inode, m.Gen = order.Uint64(body[40:]), order.Uint64(body[48:])
	}
	return m, nil
}

// cString returns the text before the first NUL; the kernel pads names with
// NULs to a multiple of 8 bytes.
func cString(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
