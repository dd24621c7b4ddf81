package bpf

import (
	"encoding/binary"
	"errors"
	"os"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/staccato-profiler/staccato/bpf/ring"
)

// NoticeType says what a Notice is about.
type NoticeType uint32

const (
	NoticeFork    = NoticeType(layoutNoticeTypeNOTICE_FORK)
	NoticeExec    = NoticeType(layoutNoticeTypeNOTICE_EXEC)
	NoticeExit    = NoticeType(layoutNoticeTypeNOTICE_EXIT)
	NoticeUnknown = NoticeType(layoutNoticeTypeNOTICE_UNKNOWN)
	NoticeMiss    = NoticeType(layoutNoticeTypeNOTICE_MISS)
)

// Notice is what the kernel side tells at once.
type Notice struct {
	Type       NoticeType
	PID        uint32
	Generation uint64 // program image; see staccato.Process
	Time       uint64 // CLOCK_MONOTONIC, ns
	Address    uint64 // NoticeMiss: the address without a mapping
	Parent     uint32 // NoticeFork
}

// Notices reads what the kernel side tells: an event for each CPU, into which
// the programs that run there write.
type Notices struct {
	rings     *ring.Set
	left      []Notice // of CPUs that went offline
	lost      uint64
	malformed uint64
}

// noticeBytes is the ring's size per CPU: 256 KiB hold some 3,000 notices.
const noticeBytes = 256 << 10

func openNotices(events *ebpf.Map, cpus []int) (*Notices, error) {
	n := &Notices{rings: ring.NewSet(noticeBytes/os.Getpagesize(), func(cpu int) (int, error) {
		return openOutput(events, cpu)
	})}
	if err := n.sync(cpus); err != nil {
		return nil, errors.Join(permission("open notices", err), n.rings.Close())
	}
	return n, nil
}

// openOutput opens the event that programs on a CPU write to, and gives it to
// them.
func openOutput(events *ebpf.Map, cpu int) (int, error) {
	attr := unix.PerfEventAttr{
		Type:        unix.PERF_TYPE_SOFTWARE,
		Size:        uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Config:      unix.PERF_COUNT_SW_BPF_OUTPUT,
		Sample_type: unix.PERF_SAMPLE_RAW,
		Sample:      1,
		// Nobody waits for notices: Drain is called at each tick.
		Bits:   unix.PerfBitWatermark,
		Wakeup: noticeBytes / 2,
	}
	fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return 0, err
	}
	if err := events.Put(uint32(cpu), uint32(fd)); err != nil {
		return 0, errors.Join(err, unix.Close(fd))
	}
	return fd, nil
}

// sync follows CPUs that came or went. What those that went had to tell is kept.
func (n *Notices) sync(cpus []int) error {
	return n.rings.Sync(cpus, func(_ int, gone *ring.Ring) {
		n.collect(gone, func(x Notice) { n.left = append(n.left, x) })
	})
}

// Drain hands over every notice that has arrived, CPU by CPU, each CPU's in
// order of time.
func (n *Notices) Drain(take func(Notice)) {
	for _, x := range n.left {
		take(x)
	}
	n.left = n.left[:0]
	n.rings.Each(func(_ int, from *ring.Ring) { n.collect(from, take) })
}

func (n *Notices) collect(from *ring.Ring, take func(Notice)) {
	err := from.Consume(from.Head(), func(raw []byte) bool {
		word := binary.NativeEndian
		body := raw[ring.HeaderSize:]
		switch word.Uint32(raw) {
		case unix.PERF_RECORD_LOST: // u64 event ID, u64 number
			if len(body) >= 16 {
				n.lost += word.Uint64(body[8:])
			}
		case unix.PERF_RECORD_SAMPLE: // u32 length, what the program wrote
			var x layoutNotice
			size := int(unsafe.Sizeof(x))
			if len(body) < 4+size {
				n.malformed++
				break
			}
			copy(unsafe.Slice((*byte)(unsafe.Pointer(&x)), size), body[4:])
			take(Notice{NoticeType(x.Type), x.Pid, x.Generation, x.Time, x.Address, x.Parent})
		default:
			n.malformed++
		}
		return true
	})
	if err != nil {
		n.malformed++
	}
}

// Lost is the number of notices the rings had no room for, or did not hold as
// they should.
func (n *Notices) Lost() uint64 { return n.lost + n.malformed }

func (n *Notices) close() error { return n.rings.Close() }
